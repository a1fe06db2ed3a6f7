//! What a node knows of an issuer's keys over time: when they are fetched, how long they are believed, and what a
//! token is told meanwhile. Pure: `issuers` asks, fetches when told to, and tells what came of it.
//!
//! ```text
//! fetched ── 3/4 of their age ──► fetched again behind the tokens' back
//!         ── their age ─────────► tokens wait for a fetch; if it fails, the last keys stay
//!         ── KEYS_KEPT_MS more ─► no token of the issuer is taken
//! ```
//!
//! One fetch is under way at a time. A key that is not known causes one, at most every [`KEYS_UNKNOWN_MS`].

use std::sync::Arc;

use selvedge_protocol::limits::{
    KEYS_AGE_MS_DEFAULT, KEYS_AGE_MS_MAX, KEYS_AGE_MS_MIN, KEYS_KEPT_MS, KEYS_RETRY_MS,
    KEYS_UNKNOWN_MS,
};

use crate::identity::jwt::key::Key;
use crate::identity::jwt::key_set::KeySet;

/// The keys of one issuer. Times are milliseconds of one monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Keys {
    set: Option<Set>,
    /// When the last fetch began.
    attempted_ms: Option<u64>,
    is_fetching: bool,
    /// Whether the last fetch that ended came to nothing.
    has_failed: bool,
}

#[derive(Debug)]
struct Set {
    keys: KeySet,
    refresh_ms: u64,
    stale_ms: u64,
    end_ms: u64,
}

/// What an issuer has published.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) keys: KeySet,
    /// How long it says that they may be kept, if it does.
    pub(super) age_ms: Option<u64>,
}

/// What a token that names a key is told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) answer: Answer,
    /// Fetch the keys now, and tell [`Keys::fetched`].
    pub(super) fetch: bool,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// Verify with this one.
    Key(Arc<Key>),
    /// There is no such key.
    Unknown,
    /// Ask again when the fetch that is under way has ended.
    Wait,
    /// The issuer cannot be reached, and what it said last does not help.
    Unavailable,
}

impl Keys {
    /// Looks for the key of a token.
    pub(super) fn find(&mut self, id: Option<&str>, now_ms: u64) -> Told {
        let Some(set) = self.set.as_ref().filter(|set| now_ms < set.end_ms) else {
            let fetch = self.begin(KEYS_RETRY_MS, now_ms);
            let answer = match self.is_fetching {
                true => Answer::Wait,
                false => Answer::Unavailable,
            };
            return Told { answer, fetch };
        };
        let found = set.keys.find(id).map(Arc::clone);
        let (is_due, is_stale) = (now_ms >= set.refresh_ms, now_ms >= set.stale_ms);
        let fetch = match (&found, is_due) {
            (_, true) => self.begin(KEYS_RETRY_MS, now_ms),
            (None, false) => self.begin(KEYS_UNKNOWN_MS, now_ms),
            (Some(_), false) => false,
        };
        // While an issuer fails, nobody waits for it to fail again.
        let waits = self.is_fetching && (is_stale && !self.has_failed || found.is_none());
        let answer = match found {
            _ if waits => Answer::Wait,
            Some(key) => Answer::Key(key),
            // It may be a new one.
            None if self.has_failed => Answer::Unavailable,
            None => Answer::Unknown,
        };
        Told { answer, fetch }
    }

    /// A fetch has ended, with what was published or with nothing.
    pub(super) fn fetched(&mut self, published: Option<Published>, now_ms: u64) {
        self.is_fetching = false;
        self.has_failed = published.is_none();
        let Some(published) = published else {
            return;
        };
        let age_ms = published.age_ms.unwrap_or(KEYS_AGE_MS_DEFAULT);
        let age_ms = age_ms.clamp(KEYS_AGE_MS_MIN, KEYS_AGE_MS_MAX);
        self.set = Some(Set {
            keys: published.keys,
            refresh_ms: now_ms + age_ms / 4 * 3,
            stale_ms: now_ms + age_ms,
            end_ms: now_ms + age_ms + KEYS_KEPT_MS,
        });
    }

    /// Whether a fetch is to begin: none is under way, and the last one began so long ago.
    fn begin(&mut self, gap_ms: u64, now_ms: u64) -> bool {
        let is_too_soon = self
            .attempted_ms
            .is_some_and(|last_ms| now_ms < last_ms.saturating_add(gap_ms));
        if self.is_fetching || is_too_soon {
            return false;
        }
        self.is_fetching = true;
        self.attempted_ms = Some(now_ms);
        true
    }
}
