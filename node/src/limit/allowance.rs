//! What somebody may use, resolved once: for a session or connection when it is opened, for a request of HTTP when it
//! comes. To take a token is some atomic numbers then, and no look into any table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use selvedge_protocol::{ErrorCode, Failure};

use crate::limit::account::{Account, Meters};
use crate::limit::lease::Taken;
use crate::limit::name::{Level, LimitName};
use crate::limit::rate::Rate;
use crate::limit::service::Shared;
use crate::limit::top::Refused;

/// The limits of a connection, its principal and its tenant. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Allowance(Option<Arc<Inner>>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    /// `None`: of a request that stands alone.
    pub(super) connection: Option<Meters>,
    pub(super) principal: Arc<Account>,
    pub(super) tenant: Arc<Account>,
}

/// How a limit of the cluster stands for somebody, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub name: LimitName,
    pub level: Level,
    pub rate: Rate,
    /// What this node lets through before it hears of the owner of the limit again.
    pub remaining: u64,
    /// When there is more, if nothing remains.
    pub wait: Duration,
}

impl Allowance {
    /// Nothing is limited: where there is no node behind a service, as in tests.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    pub(super) fn of(inner: Inner) -> Self {
        Self(Some(Arc::new(inner)))
    }

    /// Takes a token of each limit of this name, or tells which of them refuses and when to come back.
    pub fn take(&self, name: LimitName) -> Result<(), Failure> {
        match &self.0 {
            None => Ok(()),
            Some(inner) => inner.take(name),
        }
    }

    /// Counts what has come on the connection already. Nothing more is to be read before it is
    /// [ready](Self::ready).
    pub(crate) fn came(&self, bytes: usize, frames: usize) {
        let Some(inner) = &self.0 else { return };
        let now_ns = inner.shared.ticks.now_ns();
        inner.charge(LimitName::Bytes, now_ns, bytes as u64);
        inner.charge(LimitName::Frames, now_ns, frames as u64);
    }

    /// Whether more may be read of the connection.
    pub(crate) fn is_ready(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|inner| inner.overdue().is_none())
    }

    /// Completes when more may be read of the connection.
    pub(crate) async fn ready(&self) {
        let Some(inner) = &self.0 else { return };
        while let Some(wait) = inner.overdue() {
            tokio::time::sleep(wait).await;
        }
    }

    /// The limits that are set for it over the cluster.
    pub fn standings(&self) -> Vec<Standing> {
        let Some(inner) = &self.0 else {
            return Vec::new();
        };
        let now_ns = inner.shared.ticks.now_ns();
        let accounts = [
            (Level::Principal, &inner.principal),
            (Level::Tenant, &inner.tenant),
        ];
        let each = accounts.into_iter().flat_map(|(level, account)| {
            LimitName::ALL.into_iter().filter_map(move |name| {
                let lease = account.lease(name);
                let remaining = lease.remaining();
                Some(Standing {
                    name,
                    level,
                    rate: lease.rate()?,
                    remaining,
                    wait: match remaining {
                        0 => Duration::from_nanos(lease.wait_ns(now_ns)),
                        _ => Duration::ZERO,
                    },
                })
            })
        });
        each.collect()
    }
}

impl Inner {
    fn take(&self, name: LimitName) -> Result<(), Failure> {
        let shared = &*self.shared;
        let now_ns = || shared.ticks.now_ns();
        let at = name as usize;
        if let Some(connection) = &self.connection
            && let Err(wait_ns) = connection
                .of(name)
                .take(now_ns, shared.paces.connection[at])
        {
            return Err(self.refuse(Level::Connection, name, wait_ns));
        }
        let pace = shared.paces.principal[at];
        if let Err(wait_ns) = self.principal.meters.of(name).take(now_ns, pace) {
            return Err(self.refuse(Level::Node, name, wait_ns));
        }
        let of_principal = self.take_leased(&self.principal, name);
        if of_principal == Taken::Refused {
            let wait_ns = self.principal.lease(name).wait_ns(now_ns());
            return Err(self.refuse(Level::Principal, name, wait_ns));
        }
        if self.take_leased(&self.tenant, name) == Taken::Refused {
            match of_principal {
                Taken::Free | Taken::Refused => {}
                Taken::Granted | Taken::GrantedTend => self.principal.lease(name).give_back(),
            }
            let wait_ns = self.tenant.lease(name).wait_ns(now_ns());
            return Err(self.refuse(Level::Tenant, name, wait_ns));
        }
        Ok(())
    }

    fn take_leased(&self, account: &Arc<Account>, name: LimitName) -> Taken {
        let taken = account.lease(name).take();
        if taken == Taken::GrantedTend {
            Shared::tend(&self.shared, account, name.into());
        }
        taken
    }

    fn charge(&self, name: LimitName, now_ns: u64, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let paces = &self.shared.paces;
        let at = name as usize;
        if let Some(connection) = &self.connection {
            let meter = connection.of(name);
            meter.charge(now_ns, paces.connection[at], tokens);
        }
        let meter = self.principal.meters.of(name);
        meter.charge(now_ns, paces.principal[at], tokens);
        for account in [&self.principal, &self.tenant] {
            if account.lease(name).charge(tokens) == Taken::GrantedTend {
                Shared::tend(&self.shared, account, name.into());
            }
        }
    }

    /// How long to read nothing, at least.
    fn overdue(&self) -> Option<Duration> {
        let shared = &*self.shared;
        let now_ns = shared.ticks.now_ns();
        let mut wait_ns = 0;
        for name in [LimitName::Bytes, LimitName::Frames] {
            let at = name as usize;
            if let Some(connection) = &self.connection {
                let pace = shared.paces.connection[at];
                wait_ns = wait_ns.max(connection.of(name).overdue(now_ns, pace));
            }
            let meter = self.principal.meters.of(name);
            wait_ns = wait_ns.max(meter.overdue(now_ns, shared.paces.principal[at]));
            for account in [&self.principal, &self.tenant] {
                let lease = account.lease(name);
                if lease.is_overdrawn() {
                    wait_ns = wait_ns.max(lease.wait_ns(now_ns));
                }
            }
        }
        (wait_ns > 0).then(|| Duration::from_nanos(wait_ns))
    }

    /// Notes the refusal and says what is to be said of it.
    #[cold]
    fn refuse(&self, level: Level, name: LimitName, wait_ns: u64) -> Failure {
        let shared = &*self.shared;
        crate::metrics::limit_refused(name, level);
        let who = Refused {
            tenant: self.tenant.party.tenant.clone(),
            principal: self.principal.party.principal.clone().unwrap_or_default(),
            name,
            level,
        };
        let (whose, lease) = match level {
            Level::Connection => ("the connection".to_owned(), None),
            Level::Node => (format!("{} at this node", who.principal), None),
            Level::Principal => (who.principal.to_string(), Some(&self.principal)),
            Level::Tenant => (format!("tenant {}", who.tenant), Some(&self.tenant)),
        };
        let lease = lease.map(|account| account.lease(name));
        let rate = match level {
            Level::Connection => Some(shared.local.connection.of(name)),
            Level::Node => Some(shared.local.principal.of(name)),
            Level::Principal | Level::Tenant => lease.and_then(|lease| lease.rate()),
        };
        let rate = rate.map_or_else(String::new, |rate| format!(" of {rate}"));
        let retry_ms = u32::try_from(wait_ns.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let away = match lease {
            Some(lease) if lease.is_cut_off() => {
                "; the node that counts it for the cluster cannot be reached at the moment"
            }
            Some(_) | None => "",
        };
        shared.top.lock().note(shared.ticks.now_ns(), &who);
        Failure {
            retry_after_ms: Some(retry_ms),
            ..Failure::field(
                ErrorCode::LimitExceeded,
                format!("{}.{name}", level.name()),
                format!(
                    "the limit{rate} {name} of {whose} is used up, 0 remain; come back in {retry_ms} ms{away}"
                ),
            )
        }
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Allowance(unlimited)"),
            Some(inner) => write!(f, "Allowance({:?})", inner.principal.party),
        }
    }
}
