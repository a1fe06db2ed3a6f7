//! What a node remembers of credentials that it has verified, so that a request costs one hash and one look.
//!
//! Kept by the hash of the credential, in bounded memory, for a minute at most; what is heard of a change voids it at
//! once, since a principal that does not stand is not given out. What was refused is not remembered.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;
use selvedge_cluster::Clock;
use selvedge_protocol::limits::{CREDENTIALS_KNOWN_MAX, CREDENTIALS_KNOWN_MS};
use tokio::time::Instant;

use crate::identity::Principal;

pub(super) struct Known {
    by_hash: Cache<[u8; 32], Entry>,
    clock: Clock,
}

#[derive(Clone)]
struct Entry {
    principal: Principal,
    since: Instant,
}

impl Known {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            by_hash: Cache::new(CREDENTIALS_KNOWN_MAX),
            clock,
        }
    }

    /// Whose credential this is, if that was found out a moment ago and still holds.
    pub(super) fn find(&self, credential: &str) -> Option<Principal> {
        let hash = hash(credential);
        let Entry { principal, since } = self.by_hash.get(&hash)?;
        let age = self.clock.monotonic().duration_since(since);
        if age < AGE_MAX && principal.check_present(&self.clock).is_ok() {
            return Some(principal);
        }
        self.by_hash.remove(&hash);
        None
    }

    pub(super) fn keep(&self, credential: &str, principal: &Principal) {
        let entry = Entry {
            principal: principal.clone(),
            since: self.clock.monotonic(),
        };
        self.by_hash.insert(hash(credential), entry);
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({} credentials)", self.by_hash.len())
    }
}

fn hash(credential: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, credential.as_bytes()).as_ref());
    hash
}

const AGE_MAX: Duration = Duration::from_millis(CREDENTIALS_KNOWN_MS);

#[cfg(test)]
mod tests {
    use selvedge_protocol::Tenant;

    use super::*;
    use crate::identity::{Basis, Role, Standings};
    use crate::notice::Heard;

    fn ann() -> Principal {
        Principal::new("ann", Tenant::default_tenant(), [Role::VIEWER])
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_known_for_a_minute() {
        let clock = Clock::simulated(0, 1);
        let known = Known::new(clock);
        known.keep("secret", &ann());
        assert_eq!(&*known.find("secret").unwrap().name, "ann");
        assert!(known.find("secret ").is_none());
        tokio::time::advance(AGE_MAX).await;
        assert!(known.find("secret").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_hold_is_not_known() {
        let clock = Clock::simulated(0, 1);
        let known = Known::new(clock.clone());
        known.keep("short", &ann().until(1_000));
        let standings = Standings::default();
        let tenant = Tenant::default_tenant();
        let name = "ann".to_owned();
        let standing = standings.stand([Basis::Principal { tenant, name }]);
        known.keep("resting", &ann().resting_on(standing));
        assert!(known.find("short").is_some() && known.find("resting").is_some());
        clock.advance(Duration::from_secs(1));
        standings.heard(Heard::Lost);
        assert!(known.find("short").is_none() && known.find("resting").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_may_be() {
        let known = Known::new(Clock::simulated(0, 1));
        for number in 0..2 * CREDENTIALS_KNOWN_MAX {
            known.keep(&number.to_string(), &ann());
        }
        assert!(known.by_hash.len() <= CREDENTIALS_KNOWN_MAX);
    }
}
