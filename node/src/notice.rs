//! What nodes tell each other of changes: the form of notices, and the one follower on each node that hands them to
//! whoever keeps copies.
//!
//! Who changes something announces it in the commit of the change; listeners drop or void what they hold and read it
//! again when they need it. A notice says which thing has changed and never what it is now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::bulletin::{self, Follower, News};
use selvedge_cluster::store::record::{self, Record};
use selvedge_cluster::store::{self, Store, Transaction};
use selvedge_protocol::{SubjectId, Tenant};
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// That something has changed, appeared or gone. Stored; variants are only ever added, at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    User {
        tenant: Tenant,
        id: String,
    },
    Role {
        tenant: Tenant,
        name: String,
    },
    ApiKey {
        tenant: Tenant,
        id: String,
    },
    /// The refresh tokens that came of one login, and the access tokens that came of those.
    TokenFamily {
        tenant: Tenant,
        id: String,
    },
    SigningKey {
        id: String,
    },
    /// A rate that somebody has set.
    Limit {
        tenant: Tenant,
        scope: String,
        name: String,
    },
    /// All sessions of a principal were closed.
    Closed {
        tenant: Tenant,
        principal: String,
    },
    /// What was stored about a subject is erased.
    Subject {
        tenant: Tenant,
        subject: SubjectId,
    },
    /// An access token was revoked by itself.
    Token {
        tenant: Tenant,
        id: String,
    },
}

impl Record for Notice {
    const FORMAT: u8 = 1;
}

impl Notice {
    /// Writes it in the commit of what it tells of.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn announce(
        &self,
        transaction: &mut dyn Transaction,
        at_ms: u64,
    ) -> Result<(), store::Error> {
        bulletin::announce(transaction, at_ms, &record::encode(self)).await
    }
}

/// What listeners hear.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    Notice(&'a Notice),
    /// There were notices that nobody here has read: any copy may be old.
    Lost,
}

/// Called on the follower's task, so it never waits and does little.
pub type Listener = Box<dyn Fn(Heard<'_>) + Send + Sync>;

/// The notices of a cluster, before anybody hears them.
pub struct Notices {
    follower: Follower,
    listeners: Vec<Listener>,
}

impl Notices {
    /// Stands at the present. What is read from the store after this is as new as what is heard, or newer.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin(store: Arc<dyn Store>, clock: Clock) -> Result<Self, store::Error> {
        Ok(Self {
            follower: Follower::begin(store, clock).await?,
            listeners: Vec::new(),
        })
    }

    /// Tells them to one more.
    #[must_use]
    pub fn tell(mut self, listener: impl Fn(Heard<'_>) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Follows them from now on, within a tokio runtime.
    #[must_use]
    pub fn follow(self) -> Following {
        Following(tokio::spawn(self.run()).abort_handle())
    }

    async fn run(mut self) {
        let mut clear = interval(CLEAR_EVERY);
        clear.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                news = self.follower.next() => self.hand_on(&news),
                _ = clear.tick() => {
                    // Any node does it, and what one leaves the next one finds: a failure is told by the look.
                    if let Ok(Err(error)) = timeout(CLEAR_MAX, self.follower.clear_old()).await {
                        tracing::debug!(%error, "old notices are still there");
                    }
                }
            }
        }
    }

    fn hand_on(&self, news: &News) {
        let News::Notices(notices) = news else {
            tracing::warn!("notices were missed; all that nodes keep copies of is read again");
            return self.all(Heard::Lost);
        };
        for body in notices {
            match record::decode::<Notice>(b"notice", body) {
                Ok(notice) => self.all(Heard::Notice(&notice)),
                // From a newer binary: what it is about is not known, so it may be about anything.
                Err(error) => {
                    tracing::debug!(%error, "a notice is not understood");
                    self.all(Heard::Lost);
                }
            }
        }
    }

    fn all(&self, heard: Heard<'_>) {
        for listener in &self.listeners {
            listener(heard);
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notices({} listeners)", self.listeners.len())
    }
}

/// A follower at work. Dropped, it ends.
#[derive(Debug)]
pub struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// More are not kept than people announce in an hour and this.
const CLEAR_EVERY: Duration = Duration::from_secs(60);

/// What is heard waits for it, and is to be in force within a second.
const CLEAR_MAX: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use selvedge_cluster::store::record::golden;

    use super::*;

    #[test]
    fn notices_of_older_binaries_are_understood() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let tenant = Tenant::default_tenant();
        let text = str::to_owned;
        let all = [
            (
                "user",
                Notice::User {
                    tenant: tenant.clone(),
                    id: text("u"),
                },
            ),
            (
                "role",
                Notice::Role {
                    tenant: tenant.clone(),
                    name: text("r"),
                },
            ),
            (
                "api-key",
                Notice::ApiKey {
                    tenant: tenant.clone(),
                    id: text("k"),
                },
            ),
            (
                "token-family",
                Notice::TokenFamily {
                    tenant: tenant.clone(),
                    id: text("f"),
                },
            ),
            ("signing-key", Notice::SigningKey { id: text("s") }),
            (
                "limit",
                Notice::Limit {
                    tenant: tenant.clone(),
                    scope: text("tenant"),
                    name: text("commands"),
                },
            ),
            (
                "closed",
                Notice::Closed {
                    tenant: tenant.clone(),
                    principal: text("p"),
                },
            ),
            (
                "subject",
                Notice::Subject {
                    tenant: tenant.clone(),
                    subject: SubjectId::new("s").unwrap(),
                },
            ),
            (
                "token",
                Notice::Token {
                    tenant,
                    id: text("t"),
                },
            ),
        ];
        for (name, notice) in all {
            let older = golden::check(&directory, &format!("notice-{name}"), &notice);
            assert_eq!(older, []);
        }
    }
}
