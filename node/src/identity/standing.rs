//! What a principal rests on: its user, key, login and roles, and whether these are still as they were when it was
//! made. Authenticators register it, notices void it, and whatever goes on for a principal ends with it.
//!
//! Each thing has one flag on a node, shared by all principals that rest on it, so a look is a load for each. Nothing
//! here knows why something has changed or what it is now: who was voided comes again and is judged anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use futures::future::select_all;
use parking_lot::Mutex;
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use tokio::sync::Notify;

use crate::notice::{Heard, Notice};

/// A thing that a principal rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The principal itself: it ends when its sessions are closed.
    Principal { tenant: Tenant, name: String },
    /// An own user, by id.
    User { tenant: Tenant, id: String },
    /// An API key, by id.
    ApiKey { tenant: Tenant, id: String },
    /// A login, by the id of its family of tokens.
    TokenFamily { tenant: Tenant, id: String },
    /// A role, also one that there is not: it may come.
    Role { tenant: Tenant, name: String },
    /// An access token of the cluster, by its id.
    Token { tenant: Tenant, id: String },
    /// The key that has signed it.
    SigningKey { id: String },
}

/// Whether what a principal rests on is as it was. Cheap to clone; the default rests on nothing and never ends.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<[Arc<Flag>]>);

#[derive(Debug, Default)]
struct Flag {
    state: AtomicU8,
    ended: Notify,
}

/// All that principals on this node rest on. Cheap to clone. Holds nothing by itself: a flag lives as long as a
/// principal that rests on it, and those are bounded.
#[derive(Debug, Clone, Default)]
pub struct Standings(Arc<All>);

#[derive(Debug, Default)]
struct All {
    flags: Mutex<Flags>,
    /// How often the signing keys have changed, as far as it was heard of.
    key_changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Flags {
    by_basis: HashMap<Basis, Weak<Flag>>,
    /// When to look for those that nobody holds any more.
    sweep_at: usize,
}

impl Standing {
    /// That nothing has changed.
    ///
    /// # Errors
    /// What to tell a client whose principal does not stand any more.
    pub fn check(&self) -> Result<(), Failure> {
        match self.0.iter().find_map(|flag| flag.failure()) {
            None => Ok(()),
            Some(failure) => Err(failure),
        }
    }

    /// Whether it can ever end.
    pub fn may_end(&self) -> bool {
        !self.0.is_empty()
    }

    /// Waits for the first change.
    pub async fn ended(&self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let all = self.0.iter().map(|flag| Box::pin(flag.ended()));
        select_all(all).await;
    }
}

impl Flag {
    fn failure(&self) -> Option<Failure> {
        match self.state.load(Ordering::Acquire) {
            STANDS => None,
            CLOSED => Some(closed()),
            _ => Some(changed()),
        }
    }

    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.ended.notify_waiters();
    }

    async fn ended(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // Before the look, so that nothing falls between both.
        ended.as_mut().enable();
        if self.state.load(Ordering::Acquire) == STANDS {
            ended.await;
        }
    }
}

impl Standings {
    /// What rests on these. To be called before they are read from the store: then a change that the reader has not
    /// seen is one that this hears of.
    pub fn stand(&self, on: impl IntoIterator<Item = Basis>) -> Standing {
        self.extend(&Standing::default(), on)
    }

    /// The same, and on these as well.
    pub fn extend(&self, standing: &Standing, on: impl IntoIterator<Item = Basis>) -> Standing {
        let mut flags = self.0.flags.lock();
        let further = on.into_iter().map(|basis| flags.flag(basis));
        Standing(standing.0.iter().cloned().chain(further).collect())
    }

    /// Ends what the news is about.
    pub fn heard(&self, heard: Heard<'_>) {
        let notice = match heard {
            Heard::Notice(notice) => notice,
            Heard::Lost => {
                self.0.key_changes.fetch_add(1, Ordering::AcqRel);
                return self.0.flags.lock().end_all();
            }
        };
        let (basis, state) = match notice.clone() {
            Notice::User { tenant, id } => (Basis::User { tenant, id }, CHANGED),
            Notice::Role { tenant, name } => (Basis::Role { tenant, name }, CHANGED),
            Notice::ApiKey { tenant, id } => (Basis::ApiKey { tenant, id }, CHANGED),
            Notice::TokenFamily { tenant, id } => (Basis::TokenFamily { tenant, id }, CHANGED),
            Notice::Closed { tenant, principal } => {
                let name = principal;
                (Basis::Principal { tenant, name }, CLOSED)
            }
            Notice::Token { tenant, id } => (Basis::Token { tenant, id }, CHANGED),
            Notice::SigningKey { id } => {
                self.0.key_changes.fetch_add(1, Ordering::AcqRel);
                (Basis::SigningKey { id }, CHANGED)
            }
            Notice::Limit { .. } | Notice::Subject { .. } => return,
        };
        self.0.flags.lock().end(&basis, state);
    }

    /// Another number once the signing keys of the cluster have changed: what was read of them before may be old.
    pub(super) fn key_changes(&self) -> u64 {
        self.0.key_changes.load(Ordering::Acquire)
    }
}

impl Flags {
    fn flag(&mut self, basis: Basis) -> Arc<Flag> {
        if let Some(flag) = self.by_basis.get(&basis).and_then(Weak::upgrade) {
            return flag;
        }
        if self.by_basis.len() >= self.sweep_at {
            self.by_basis.retain(|_, flag| flag.strong_count() > 0);
            self.sweep_at = (2 * self.by_basis.len()).max(SWEEP_MIN);
        }
        let flag = Arc::new(Flag::default());
        self.by_basis.insert(basis, Arc::downgrade(&flag));
        flag
    }

    fn end(&mut self, basis: &Basis, state: u8) {
        // Whoever comes now stands on a flag of its own.
        if let Some(flag) = self.by_basis.remove(basis).and_then(|it| it.upgrade()) {
            flag.end(state);
        }
    }

    fn end_all(&mut self) {
        for flag in self.by_basis.drain().filter_map(|(_, it)| it.upgrade()) {
            flag.end(CHANGED);
        }
    }
}

/// Temporary for clients: they connect again at once, go on with their session if they still may, and else hear why not.
fn changed() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "what you may do here has changed; connect again",
    )
}

fn closed() -> Failure {
    Failure::new(
        ErrorCode::PermissionDenied,
        "the sessions were closed by an administrator; open a new one",
    )
}

const STANDS: u8 = 0;
const CHANGED: u8 = 1;
const CLOSED: u8 = 2;

/// Flags that are not worth a sweep: some ten kilobytes.
const SWEEP_MIN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> Basis {
        let tenant = Tenant::default_tenant();
        let id = id.to_string();
        Basis::ApiKey { tenant, id }
    }

    fn role(name: &str) -> Basis {
        let tenant = Tenant::default_tenant();
        let name = name.to_owned();
        Basis::Role { tenant, name }
    }

    fn told(standings: &Standings, notice: &Notice) {
        standings.heard(Heard::Notice(notice));
    }

    fn key_changed(id: usize) -> Notice {
        let Basis::ApiKey { tenant, id } = key(id) else {
            unreachable!()
        };
        Notice::ApiKey { tenant, id }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_all_that_rest_on_it_and_nobody_else() {
        let standings = Standings::default();
        let one = standings.stand([key(1), role("r")]);
        let same = standings.stand([key(1)]);
        let other = standings.stand([key(2), role("r")]);
        told(&standings, &key_changed(1));
        one.ended().await;
        same.ended().await;
        for ended in [&one, &same] {
            assert_eq!(ended.check().unwrap_err().code, ErrorCode::Unavailable);
        }
        assert!(other.check().is_ok());
        let wait = std::time::Duration::from_secs(3_600);
        assert!(tokio::time::timeout(wait, other.ended()).await.is_err());
        // Who comes after the change stands.
        assert!(standings.stand([key(1)]).check().is_ok());
        let tenant = Tenant::default_tenant();
        let name = "r".to_owned();
        told(&standings, &Notice::Role { tenant, name });
        other.ended().await;
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let standings = Standings::default();
        let standing = standings.stand([role("a"), role("b"), key(1)]);
        let waiting = tokio::spawn(async move { standing.ended().await });
        tokio::task::yield_now().await;
        told(&standings, &key_changed(1));
        waiting.await.unwrap();
    }

    #[test]
    fn a_role_of_another_tenant_is_another_role() {
        let standings = Standings::default();
        let standing = standings.stand([role("r")]);
        let tenant = Tenant::new("other").unwrap();
        let name = "r".to_owned();
        told(&standings, &Notice::Role { tenant, name });
        assert!(standing.check().is_ok());
    }

    #[test]
    fn closed_sessions_are_told_so() {
        let tenant = Tenant::default_tenant();
        let standings = Standings::default();
        let name = "ann".to_owned();
        let basis = Basis::Principal { tenant, name };
        let standing = standings.stand([basis]);
        let tenant = Tenant::default_tenant();
        let principal = "ann".to_owned();
        told(&standings, &Notice::Closed { tenant, principal });
        let failure = standing.check().unwrap_err();
        assert_eq!(failure.code, ErrorCode::PermissionDenied);
    }

    #[test]
    fn a_key_that_is_gone_ends_what_it_has_signed() {
        let standings = Standings::default();
        let id = || "k".to_owned();
        let on = |id: String| standings.stand([Basis::SigningKey { id }]);
        let (signed, other) = (on(id()), on("l".to_owned()));
        let before = standings.key_changes();
        told(&standings, &Notice::SigningKey { id: id() });
        assert!(signed.check().is_err() && other.check().is_ok());
        assert_ne!(standings.key_changes(), before);
    }

    #[test]
    fn what_was_missed_ends_everybody() {
        let standings = Standings::default();
        let all: Vec<_> = (0..10).map(|id| standings.stand([key(id)])).collect();
        let nobody = Standing::default();
        standings.heard(Heard::Lost);
        assert!(all.iter().all(|it| it.check().is_err()));
        assert!(nobody.check().is_ok() && !nobody.may_end());
    }

    #[test]
    fn what_nobody_rests_on_is_not_kept() {
        let standings = Standings::default();
        let held: Vec<_> = (0..100).map(|id| standings.stand([key(id)])).collect();
        for id in 100..100_000 {
            let _ = standings.stand([key(id)]);
        }
        assert!(standings.0.flags.lock().by_basis.len() <= 2 * SWEEP_MIN);
        told(&standings, &key_changed(7));
        assert!(held[7].check().is_err() && held[8].check().is_ok());
    }
}
