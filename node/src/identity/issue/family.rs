//! A login that goes on: the refresh tokens that came of it, of which one is good at a time. The record in the store, and
//! what becomes of it when a token is shown: pure.
//!
//! ```text
//! the present token        the next one, which is the present one from then on
//! the one before, 10 s     the next one again: the answer was lost
//! any older one            somebody has it who should not: the login ends, for whoever has what came of it
//! ```
//!
//! Who steals a token within those 10 s of its use gets what its owner got; the next use by either of them is one too many.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use selvedge_cluster::store::record::Record;
use selvedge_protocol::limits::{LOGIN_IDLE_MS_MAX, LOGIN_MS_MAX, REFRESH_REPEAT_MS};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::identity::issue::refresh::{RefreshToken, SecretHash};

/// A login as it is stored, under its tenant, user and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Family {
    pub(super) id: Uuid,
    pub(super) user: Uuid,
    /// What the user logged in with: the id of a client, or a name that it gave itself.
    pub(super) client: String,
    pub(super) created_ms: u64,
    /// When a token of it was used last.
    pub(super) used_ms: u64,
    generation: u64,
    current: SecretHash,
    pub(super) ended: Option<Ended>,
}

impl Record for Family {
    const FORMAT: u8 = 1;
}

/// That and why a login has ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) at_ms: u64,
    pub(super) reason: Reason,
}

/// Stored: variants are only added, at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reason {
    /// An old token was shown.
    Reused,
    /// The user logged out, or its client did.
    LoggedOut,
    /// An administrator ended it.
    Revoked,
    /// The user has logged in too often since.
    Crowded,
}

/// What comes of a token that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The next one is to be given; the record has changed.
    Rotated,
    /// The next one is to be given again; the record has not changed.
    Repeated,
    /// It is refused, and the login has ended by it; the record has changed.
    Reused,
    /// It is refused.
    Refused,
}

impl Family {
    /// A login that begins with its first token.
    pub(super) fn begin(first: &RefreshToken, client: String, now_ms: u64) -> Self {
        Self {
            id: first.family,
            user: first.user,
            client,
            created_ms: now_ms,
            used_ms: now_ms,
            generation: first.generation,
            current: first.hash(),
            ended: None,
        }
    }

    /// A token of this family was shown by a client; `next` is the hash of what follows from it.
    pub(super) fn show(
        &mut self,
        token: &RefreshToken,
        client: &str,
        next: SecretHash,
        now_ms: u64,
    ) -> Shown {
        let is_of_it = token.family == self.id && token.user == self.user;
        if !is_of_it || client != self.client || !self.goes_on(now_ms) {
            return Shown::Refused;
        }
        let is_present = |hash: &SecretHash| verify_slices_are_equal(hash, &self.current).is_ok();
        if token.generation == self.generation {
            // Another one of the same number is of a store that was set back to a backup.
            if !is_present(&token.hash()) {
                return Shown::Refused;
            }
            self.generation = token.generation.saturating_add(1);
            self.current = next;
            self.used_ms = now_ms;
            return Shown::Rotated;
        }
        if token.generation > self.generation {
            return Shown::Refused;
        }
        let is_before = token.generation.saturating_add(1) == self.generation && is_present(&next);
        let is_soon = now_ms.abs_diff(self.used_ms) <= REFRESH_REPEAT_MS;
        if is_before && is_soon {
            return Shown::Repeated;
        }
        self.end(Reason::Reused, now_ms);
        Shown::Reused
    }

    /// Ends it, unless it has ended.
    pub(super) fn end(&mut self, reason: Reason, now_ms: u64) {
        let at_ms = now_ms;
        self.ended.get_or_insert(Ended { at_ms, reason });
    }

    /// Whether what came of it is good.
    pub(super) fn goes_on(&self, now_ms: u64) -> bool {
        self.ended.is_none()
            && now_ms < self.ends_ms()
            && now_ms < self.used_ms.saturating_add(LOGIN_IDLE_MS_MAX)
    }

    /// When it ends whatever is done.
    pub(super) const fn ends_ms(&self) -> u64 {
        self.created_ms.saturating_add(LOGIN_MS_MAX)
    }
}

impl Reason {
    /// What people and the audit trail read.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reused => "refresh-token-reused",
            Self::LoggedOut => "logged-out",
            Self::Revoked => "revoked",
            Self::Crowded => "too-many-logins",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use selvedge_cluster::Clock;
    use selvedge_cluster::store::record::golden;
    use selvedge_protocol::Tenant;

    use super::*;
    use crate::identity::issue::secrets::Secrets;

    const CLIENT: &str = "console";

    fn secrets() -> Secrets {
        Secrets::of_cluster(&[1; 32])
    }

    fn begun() -> (RefreshToken, Family) {
        let clock = Clock::manual(0, 1);
        let tenant = Tenant::default_tenant();
        let first = RefreshToken::first(tenant, Uuid::from_u128(1), Uuid::from_u128(2), &clock);
        let family = Family::begin(&first, CLIENT.to_owned(), 1_000);
        (first, family)
    }

    fn show(family: &mut Family, token: &RefreshToken, now_ms: u64) -> Shown {
        let next = token.next(&secrets()).hash();
        family.show(token, CLIENT, next, now_ms)
    }

    #[test]
    fn its_record_is_what_it_was() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let family = Family {
            id: Uuid::from_u128(1),
            user: Uuid::from_u128(2),
            client: CLIENT.to_owned(),
            created_ms: 1,
            used_ms: 2,
            generation: 3,
            current: [4; 32],
            ended: Some(Ended {
                at_ms: 5,
                reason: Reason::Crowded,
            }),
        };
        assert_eq!(golden::check(&directory, "token-family", &family), []);
    }

    #[test]
    fn each_token_is_good_once() {
        let (mut token, mut family) = begun();
        for round in 1..100 {
            assert_eq!(
                show(&mut family, &token, round * 60_000),
                Shown::Rotated,
                "{round}"
            );
            token = token.next(&secrets());
        }
    }

    #[test]
    fn an_old_token_ends_all_that_came_of_the_login() {
        for age in 1..4 {
            let (first, mut family) = begun();
            let mut token = first.clone();
            for _ in 0..age {
                assert_eq!(show(&mut family, &token, 2_000), Shown::Rotated);
                token = token.next(&secrets());
            }
            // The thief's or the owner's, whoever comes second.
            let late_ms = 2_000 + REFRESH_REPEAT_MS + 1;
            assert_eq!(show(&mut family, &first, late_ms), Shown::Reused, "{age}");
            assert_eq!(show(&mut family, &token, late_ms), Shown::Refused);
            assert!(!family.goes_on(late_ms));
        }
    }

    #[test]
    fn a_lost_answer_is_given_again_for_some_seconds() {
        let (first, mut family) = begun();
        assert_eq!(show(&mut family, &first, 2_000), Shown::Rotated);
        let before = family.clone();
        assert_eq!(
            show(&mut family, &first, 2_000 + REFRESH_REPEAT_MS),
            Shown::Repeated
        );
        assert_eq!(family, before);
        // Its next one is the present one.
        let next = first.next(&secrets());
        assert_eq!(show(&mut family, &next, 4_000), Shown::Rotated);
        // Two steps behind is no lost answer, however soon.
        assert_eq!(show(&mut family, &first, 4_000), Shown::Reused);
    }

    #[test]
    fn another_client_or_login_has_nothing_of_it() {
        let (first, mut family) = begun();
        let next = first.next(&secrets()).hash();
        let before = family.clone();
        assert_eq!(family.show(&first, "other", next, 2_000), Shown::Refused);
        let (mut of_user, mut of_login, mut ahead) = (first.clone(), first.clone(), first.clone());
        of_user.user = Uuid::from_u128(9);
        of_login.family = Uuid::from_u128(10);
        ahead.generation = 2;
        for other in [of_user, of_login, ahead] {
            assert_eq!(family.show(&other, CLIENT, next, 2_000), Shown::Refused);
        }
        // Of the same number with another secret: of another life of the store.
        let tenant = Tenant::default_tenant();
        let clock = Clock::manual(0, 2);
        let twin = RefreshToken::first(tenant, first.user, first.family, &clock);
        assert_eq!(family.show(&twin, CLIENT, next, 2_000), Shown::Refused);
        assert_eq!(family, before);
    }

    #[test]
    fn it_ends_by_itself() {
        let (mut token, mut family) = begun();
        assert!(!family.goes_on(1_000 + LOGIN_IDLE_MS_MAX));
        let mut now_ms = 1_000;
        while now_ms < family.ends_ms() {
            assert_eq!(show(&mut family, &token, now_ms), Shown::Rotated);
            token = token.next(&secrets());
            now_ms += LOGIN_IDLE_MS_MAX - 1;
        }
        let end_ms = family.ends_ms();
        assert_eq!(show(&mut family, &token, end_ms), Shown::Refused);
    }
}
