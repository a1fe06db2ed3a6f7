//! A login that goes on: the refresh tokens that came of it, of which one is good at a time. The record in the store, and
//! what becomes of it when a token is shown: pure.
//!
//! ```text
//! a code, once             the first one, for who has what its challenge was made of (RFC 7636)
//! the present token        the next one, which is the present one from then on
//! the one before, 10 s     the next one again: the answer was lost
//! any older one            somebody has it who should not: the login ends, for whoever has what came of it
//! ```
//!
//! A code is the token before the first one, so it ends what came of it where it is shown again.
//! Who steals a token within those 10 s of its use gets what its owner got; the next use by either of them is one too many.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use selvedge_cluster::store::record::Record;
use selvedge_protocol::codec::{self, decode_record};
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
    lasts: Lasts,
    /// What a client has to show before there are tokens; `None`: it has.
    awaited: Option<Awaited>,
}

/// How long a login goes on, as it was configured when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lasts {
    /// At the most.
    pub(super) ms: u64,
    /// Without being used.
    pub(super) idle_ms: u64,
}

/// What the code of a login is exchanged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Awaited {
    pub(super) until_ms: u64,
    /// The SHA-256 of the verifier.
    pub(super) challenge: [u8; 32],
    pub(super) redirect_uri: String,
    /// What is to be in an id token, where one was asked for.
    pub(super) id_token: Option<ForIdToken>,
}

/// What a client wants to find in its id token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ForIdToken {
    pub(super) nonce: Option<String>,
}

/// Who exchanges a code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redeemer<'a> {
    pub(super) client: &'a str,
    pub(super) redirect_uri: &'a str,
    /// The SHA-256 of the verifier that it shows.
    pub(super) challenge: [u8; 32],
}

impl Record for Family {
    const FORMAT: u8 = 2;

    fn upcast(format: u8, body: &[u8]) -> Option<Result<Self, codec::Error>> {
        (format == 1).then(|| decode_record::<First>(body).map(Self::from))
    }
}

/// Format 1: all logins went on for as long, and none had a code.
#[derive(Serialize, Deserialize)]
struct First {
    id: Uuid,
    user: Uuid,
    client: String,
    created_ms: u64,
    used_ms: u64,
    generation: u64,
    current: SecretHash,
    ended: Option<Ended>,
}

impl From<First> for Family {
    fn from(first: First) -> Self {
        let First {
            id,
            user,
            client,
            created_ms,
            used_ms,
            generation,
            current,
            ended,
        } = first;
        Self {
            id,
            user,
            client,
            created_ms,
            used_ms,
            generation,
            current,
            ended,
            lasts: Lasts::default(),
            awaited: None,
        }
    }
}

impl Default for Lasts {
    fn default() -> Self {
        Self {
            ms: LOGIN_MS_MAX,
            idle_ms: LOGIN_IDLE_MS_MAX,
        }
    }
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
    /// Its code was shown again.
    CodeReused,
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

/// What comes of a code that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redeemed {
    /// The first token is to be given, and an id token where this is there; the record has changed.
    Taken(Option<ForIdToken>),
    /// It was shown before: it is refused, and the login has ended by it; the record has changed.
    Reused,
    /// It is refused.
    Refused,
}

impl Family {
    /// A login that begins with its first token.
    pub(super) fn begin(first: &RefreshToken, client: String, lasts: Lasts, now_ms: u64) -> Self {
        Self {
            id: first.family,
            user: first.user,
            client,
            created_ms: now_ms,
            used_ms: now_ms,
            generation: first.generation,
            current: first.hash(),
            ended: None,
            lasts,
            awaited: None,
        }
    }

    /// The same, begun with its code.
    pub(super) fn awaiting(self, awaited: Awaited) -> Self {
        Self {
            awaited: Some(awaited),
            ..self
        }
    }

    /// The code of this login was shown; `next` is the hash of the first token, which follows from it.
    pub(super) fn redeem(
        &mut self,
        code: &RefreshToken,
        by: &Redeemer<'_>,
        next: SecretHash,
        now_ms: u64,
    ) -> Redeemed {
        let is_of_it = code.family == self.id && code.user == self.user;
        if !is_of_it || by.client != self.client || !self.goes_on(now_ms) {
            return Redeemed::Refused;
        }
        let Some(awaited) = &self.awaited else {
            self.end(Reason::CodeReused, now_ms);
            return Redeemed::Reused;
        };
        let is_same = |one: &[u8; 32], other| verify_slices_are_equal(one, other).is_ok();
        let is_it = code.generation == self.generation && is_same(&code.hash(), &self.current);
        let is_theirs = is_same(&by.challenge, &awaited.challenge);
        if !is_it || !is_theirs || by.redirect_uri != awaited.redirect_uri {
            return Redeemed::Refused;
        }
        let id_token = awaited.id_token.clone();
        self.awaited = None;
        self.generation = code.generation.saturating_add(1);
        self.current = next;
        self.used_ms = now_ms;
        Redeemed::Taken(id_token)
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
        if !is_of_it || client != self.client || !self.goes_on(now_ms) || self.awaited.is_some() {
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

    /// Whether the token of this hash is the present one, and its first.
    pub(super) fn has_given(&self, first: SecretHash) -> bool {
        let is_first = self.generation == 1 && self.awaited.is_none() && self.ended.is_none();
        is_first && verify_slices_are_equal(&self.current, &first).is_ok()
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
            && now_ms < self.used_ms.saturating_add(self.lasts.idle_ms)
    }

    /// When it ends whatever is done; one whose code is not exchanged, with that.
    pub(super) fn ends_ms(&self) -> u64 {
        let ends_ms = self.created_ms.saturating_add(self.lasts.ms);
        let awaited = self.awaited.as_ref();
        awaited.map_or(ends_ms, |awaited| awaited.until_ms.min(ends_ms))
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
            Self::CodeReused => "code-reused",
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
        let family = Family::begin(&first, CLIENT.to_owned(), Lasts::default(), 1_000);
        (first, family)
    }

    /// A login whose code is not exchanged, and its verifier's hash.
    fn with_code() -> (RefreshToken, Family) {
        let clock = Clock::manual(0, 1);
        let tenant = Tenant::default_tenant();
        let code = RefreshToken::code(tenant, Uuid::from_u128(1), Uuid::from_u128(2), &clock);
        let family = Family::begin(&code, CLIENT.to_owned(), Lasts::default(), 1_000);
        let family = family.awaiting(Awaited {
            until_ms: 61_000,
            challenge: [7; 32],
            redirect_uri: BACK.to_owned(),
            id_token: Some(ForIdToken {
                nonce: Some("n".to_owned()),
            }),
        });
        (code, family)
    }

    const BACK: &str = "https://app.example/back";

    fn redeemer() -> Redeemer<'static> {
        Redeemer {
            client: CLIENT,
            redirect_uri: BACK,
            challenge: [7; 32],
        }
    }

    fn redeem(
        family: &mut Family,
        code: &RefreshToken,
        by: &Redeemer<'_>,
        now_ms: u64,
    ) -> Redeemed {
        family.redeem(code, by, code.next(&secrets()).hash(), now_ms)
    }

    #[test]
    fn a_code_is_exchanged_once_and_what_came_of_it_ends_with_the_second_time() {
        let (code, mut family) = with_code();
        let Redeemed::Taken(Some(asked)) = redeem(&mut family, &code, &redeemer(), 2_000) else {
            panic!("{family:?}");
        };
        assert_eq!(asked.nonce.as_deref(), Some("n"));
        let first = code.next(&secrets());
        assert!(family.has_given(first.hash()) && !family.has_given(code.hash()));
        assert_eq!(show(&mut family, &first, 3_000), Shown::Rotated);
        // At once as well: who lost the answer logs in again.
        assert_eq!(
            redeem(&mut family, &code, &redeemer(), 3_001),
            Redeemed::Reused
        );
        let second = first.next(&secrets());
        assert_eq!(show(&mut family, &second, 3_002), Shown::Refused);
        assert_eq!(family.ended.as_ref().unwrap().reason.name(), "code-reused");
    }

    #[test]
    fn a_code_is_for_its_client_its_place_and_its_verifier_alone() {
        let (code, mut family) = with_code();
        let before = family.clone();
        let mut another = code.clone();
        another.family = Uuid::from_u128(9);
        for by in [
            Redeemer {
                client: "other",
                ..redeemer()
            },
            Redeemer {
                redirect_uri: "https://app.example/back/",
                ..redeemer()
            },
            Redeemer {
                challenge: [8; 32],
                ..redeemer()
            },
        ] {
            assert_eq!(redeem(&mut family, &code, &by, 2_000), Redeemed::Refused);
        }
        let late_ms = 61_000;
        for (code, now_ms) in [(&another, 2_000), (&code, late_ms)] {
            let refused = redeem(&mut family, code, &redeemer(), now_ms);
            assert_eq!(refused, Redeemed::Refused);
        }
        // Neither is it a refresh token, nor is the one that would follow.
        for token in [code.clone(), code.next(&secrets())] {
            assert_eq!(show(&mut family, &token, 2_000), Shown::Refused);
        }
        assert_eq!(family, before);
        assert!(!family.goes_on(late_ms));
        assert_eq!(family.ends_ms(), late_ms);
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
            lasts: Lasts { ms: 6, idle_ms: 7 },
            awaited: Some(Awaited {
                until_ms: 8,
                challenge: [9; 32],
                redirect_uri: "r".to_owned(),
                id_token: Some(ForIdToken {
                    nonce: Some("n".to_owned()),
                }),
            }),
        };
        let older = Family {
            lasts: Lasts::default(),
            awaited: None,
            ..family.clone()
        };
        let found = golden::check(&directory, "token-family", &family);
        assert_eq!(found, [(1, older)]);
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
