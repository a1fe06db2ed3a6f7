//! The limits of a node: what sessions and requests get their allowance of, and what administrators set and ask.
//!
//! It keeps what is set in force: reads it before anybody is served, and again when a notice says that it has changed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::Host;
use selvedge_cluster::bulletin::{Follower, News};
use selvedge_cluster::store::{self, Store, record};
use selvedge_protocol::limits::{
    LIMIT_ACCOUNTS_MAX, LIMIT_RETRY_MS, LIMIT_SWEEP_MS, LOGIN_TRIES_USERS_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

use crate::limit::account::{Account, Accounts, Full, Meters};
use crate::limit::allowance::{Allowance, Inner};
use crate::limit::lease::Taken;
use crate::limit::local::{LocalLimits, Paces};
use crate::limit::name::{Counted, LimitId, Party};
use crate::limit::rate::Rate;
use crate::limit::rows::{self, Change, Limit, SetError};
use crate::limit::rules::Rules;
use crate::limit::tend::tend;
use crate::limit::ticks::Ticks;
use crate::limit::top::{Refused, Top};
use crate::notice::Notice;

/// What a node needs to limit.
#[derive(Debug)]
pub(crate) struct LimitsParts {
    pub(crate) host: Host,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// What the owners of limits on this node go by.
    pub(crate) rules: Rules,
    pub(crate) local: LocalLimits,
}

/// A cheap handle on the limits of a node.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Shared>);

/// Who is asked for an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// A connection with its session.
    Connection,
    /// A request that stands alone.
    Request,
}

/// What all allowances of a node have in common.
pub(super) struct Shared {
    pub(super) host: Host,
    pub(super) clock: Clock,
    pub(super) ticks: Ticks,
    pub(super) local: LocalLimits,
    pub(super) paces: Paces,
    pub(super) top: Mutex<Top>,
    store: Arc<dyn Store>,
    rules: Rules,
    accounts: Accounts,
    /// Of those as whom passwords are tried, apart: whoever guesses keeps nobody out of sessions.
    tried: Accounts,
    /// The main runtime: tokens are taken on threads of the bridge as well.
    runtime: Handle,
    /// How long owners take to answer, smoothed.
    way_ns: AtomicU64,
    is_stopping: AtomicBool,
}

impl Limits {
    /// Reads what is set. Needs the main runtime.
    pub(crate) async fn start(parts: LimitsParts) -> Result<(Self, JoinHandle<()>), store::Error> {
        let LimitsParts {
            host,
            store,
            clock,
            rules,
            local,
        } = parts;
        // Before the first look, so that no change falls between both.
        let follower = Follower::begin(Arc::clone(&store), clock.clone()).await?;
        let limits = Self(Arc::new(Shared {
            host,
            ticks: Ticks::new(&clock),
            paces: Paces::of(&local),
            local,
            top: Mutex::default(),
            store,
            rules,
            accounts: Accounts::new(LIMIT_ACCOUNTS_MAX),
            tried: Accounts::new(LOGIN_TRIES_USERS_MAX),
            runtime: Handle::current(),
            way_ns: AtomicU64::new(WAY_NS_FIRST),
            is_stopping: AtomicBool::new(false),
            clock,
        }));
        limits.0.read().await?;
        let following = tokio::spawn(follow(Arc::clone(&limits.0), follower));
        Ok((limits, following))
    }

    /// What somebody may use, from now on and whatever is set meanwhile.
    pub fn allowance(
        &self,
        tenant: &Tenant,
        principal: &Arc<str>,
        bearer: Bearer,
    ) -> Result<Allowance, Failure> {
        let shared = &self.0;
        let account = |principal: Option<Arc<str>>| {
            let tenant = tenant.clone();
            let party = Party { tenant, principal };
            let found = shared.accounts.of(&party, &shared.rules);
            found.map_err(|Full| {
                Failure::new(
                    ErrorCode::Overloaded,
                    "the node serves as many tenants and principals as it may; try another, or again in a minute",
                )
            })
        };
        Ok(Allowance::of(Inner {
            connection: match bearer {
                Bearer::Connection => Some(Meters::default()),
                Bearer::Request => None,
            },
            principal: account(Some(Arc::clone(principal)))?,
            tenant: account(None)?,
            shared: Arc::clone(shared),
        }))
    }

    /// Whether one more password may be tried as somebody, of all that the nodes of the cluster try; or when to come back.
    /// `name` is the same on all nodes, and whoever it names need not be there. A node that counts for as many as it may lets
    /// it through: it counts by itself as well.
    pub fn try_password(&self, tenant: &Tenant, name: Arc<str>) -> Result<(), Duration> {
        let shared = &self.0;
        let party = Party {
            tenant: tenant.clone(),
            principal: Some(name),
        };
        let Ok(account) = shared.tried.of(&party, &shared.rules) else {
            return Ok(());
        };
        let lease = account.counted(Counted::Passwords);
        match lease.take() {
            Taken::Free | Taken::Granted => Ok(()),
            Taken::GrantedTend => {
                Shared::tend(shared, &account, Counted::Passwords);
                Ok(())
            }
            Taken::Refused => {
                let wait_ns = lease.wait_ns(shared.ticks.now_ns());
                Err(Duration::from_nanos(wait_ns))
            }
        }
    }

    /// All limits that are set, as they are stored.
    pub(crate) async fn list(&self) -> Result<Vec<Limit>, store::Error> {
        rows::all(&*self.0.store).await
    }

    /// One of them.
    pub(crate) async fn get(&self, id: &LimitId) -> Result<Option<Limit>, store::Error> {
        rows::one(&*self.0.store, id).await
    }

    /// Sets a limit, or with no rate takes it away, and answers what was set before. In force on every node within a
    /// second, on this one at once.
    pub(crate) async fn change(
        &self,
        id: LimitId,
        rate: Option<Rate>,
        principal: &Arc<str>,
    ) -> Result<Option<Limit>, SetError> {
        let change = Change {
            id,
            rate,
            principal: Arc::clone(principal),
        };
        let before = rows::change(&*self.0.store, &self.0.clock, &change).await?;
        // A store that is away now is read when it is back: the notice is there.
        let _ = self.0.read().await;
        Ok(before)
    }

    /// Who this node refused most in the last minute, of those that are wanted.
    pub(crate) fn top(&self, wanted: impl Fn(&Refused) -> bool) -> Vec<(Refused, u64)> {
        let now_ns = self.0.ticks.now_ns();
        self.0.top.lock().list(now_ns, wanted)
    }

    /// Owners of limits are asked no more.
    pub(crate) fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// Has somebody tell the owner of what is counted together what is owed.
    pub(super) fn tend(this: &Arc<Self>, account: &Arc<Account>, counted: Counted) {
        let tending = tend(Arc::downgrade(this), Arc::clone(account), counted);
        this.runtime.spawn(tending);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn way_ns(&self) -> u64 {
        self.way_ns.load(Ordering::Relaxed)
    }

    /// An owner took so long to answer.
    pub(super) fn note_way(&self, ns: u64) {
        let before = self.way_ns();
        self.way_ns.store(
            (before - before / 8).saturating_add(ns / 8),
            Ordering::Relaxed,
        );
    }

    /// Puts what is stored in force.
    async fn read(&self) -> Result<(), store::Error> {
        let limits: HashMap<LimitId, Rate> = rows::rates(rows::all(&*self.store).await?);
        self.rules.replace(limits);
        self.accounts.set(&self.rules);
        Ok(())
    }
}

/// Hears of changes, and forgets who is not here any more.
async fn follow(shared: Arc<Shared>, mut follower: Follower) {
    let sweep = Duration::from_millis(LIMIT_SWEEP_MS);
    let mut next_sweep = shared.clock.monotonic() + sweep;
    loop {
        let news = tokio::select! {
            news = follower.next() => news,
            () = sleep_until(next_sweep) => {
                next_sweep = shared.clock.monotonic() + sweep;
                let now_ns = shared.ticks.now_ns();
                shared.accounts.sweep(now_ns);
                shared.tried.sweep(now_ns);
                continue;
            }
        };
        let is_ours = match &news {
            News::Lost => true,
            News::Notices(notices) => notices.iter().any(|it| is_of_limits(it)),
        };
        if !is_ours {
            continue;
        }
        while let Err(error) = shared.read().await {
            tracing::warn!(%error, "limits that were changed are not in force here yet");
            sleep(Duration::from_millis(LIMIT_RETRY_MS)).await;
        }
    }
}

/// One of a newer binary may be about anything.
fn is_of_limits(notice: &[u8]) -> bool {
    record::decode(NOTICE, notice).map_or(true, |notice| matches!(notice, Notice::Limit { .. }))
}

const NOTICE: &[u8] = b"notice";

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limits of {}", self.host.node())
    }
}

/// Before any owner has answered: some commits of a store.
const WAY_NS_FIRST: u64 = 5_000_000;
