//! The pure machine that keeps an issuer's keys, in times of its own.

use proptest::prelude::*;
use selvedge_protocol::limits::{
    KEYS_AGE_MS_DEFAULT, KEYS_AGE_MS_MAX, KEYS_AGE_MS_MIN, KEYS_KEPT_MS, KEYS_RETRY_MS,
    KEYS_UNKNOWN_MS,
};
use serde_json::json;

use crate::identity::jwt::key_set::KeySet;
use crate::identity::jwt::keys::{Answer, Keys, Published};
use crate::identity::jwt::tests::signer::Signer;

fn published(age_ms: Option<u64>) -> Option<Published> {
    let document = json!({ "keys": [Signer::new("EdDSA").jwk("1")] }).to_string();
    let keys = KeySet::parse(document.as_bytes()).unwrap();
    Some(Published { keys, age_ms })
}

/// What a token of key `id` is told, and whether a fetch begins.
fn told(keys: &mut Keys, id: &str, now_ms: u64) -> (&'static str, bool) {
    let told = keys.find(Some(id), now_ms);
    let answer = match told.answer {
        Answer::Key(_) => "key",
        Answer::Unknown => "unknown",
        Answer::Wait => "wait",
        Answer::Unavailable => "unavailable",
    };
    (answer, told.fetch)
}

/// Keys that were fetched at 0.
fn fetched(age_ms: Option<u64>) -> Keys {
    let mut keys = Keys::default();
    assert_eq!(told(&mut keys, "1", 0), ("wait", true));
    // Others wait for the same fetch.
    assert_eq!(told(&mut keys, "2", 0), ("wait", false));
    keys.fetched(published(age_ms), 0);
    keys
}

#[test]
fn keys_are_fetched_anew_before_they_are_too_old() {
    let age_ms = 1_000_000;
    let mut keys = fetched(Some(age_ms));
    assert_eq!(told(&mut keys, "1", age_ms / 4 * 3 - 1), ("key", false));
    assert_eq!(told(&mut keys, "1", age_ms / 4 * 3), ("key", true));
    assert_eq!(told(&mut keys, "1", age_ms - 1), ("key", false));
    // One that takes so long is waited for.
    assert_eq!(told(&mut keys, "1", age_ms), ("wait", false));
    keys.fetched(published(Some(age_ms)), age_ms);
    assert_eq!(
        told(&mut keys, "1", 2 * age_ms - age_ms / 4 - 1),
        ("key", false)
    );
}

#[test]
fn keys_that_nobody_asked_for_in_time_are_waited_for() {
    let mut keys = fetched(None);
    assert_eq!(told(&mut keys, "1", KEYS_AGE_MS_DEFAULT), ("wait", true));
    let mut keys = fetched(None);
    assert_eq!(told(&mut keys, "1", u64::MAX), ("wait", true));
}

#[test]
fn what_an_issuer_says_of_their_age_is_taken_within_bounds() {
    for (said_ms, age_ms) in [
        (Some(0), KEYS_AGE_MS_MIN),
        (Some(KEYS_AGE_MS_MIN + 1), KEYS_AGE_MS_MIN + 1),
        (Some(u64::MAX), KEYS_AGE_MS_MAX),
        (None, KEYS_AGE_MS_DEFAULT),
    ] {
        let mut keys = fetched(said_ms);
        assert_eq!(
            told(&mut keys, "1", age_ms / 4 * 3 - 1),
            ("key", false),
            "{said_ms:?}"
        );
        assert_eq!(told(&mut keys, "1", age_ms), ("wait", true), "{said_ms:?}");
    }
}

#[test]
fn an_unknown_key_is_looked_for_once_a_minute() {
    let mut keys = fetched(Some(KEYS_AGE_MS_MAX));
    assert_eq!(
        told(&mut keys, "2", KEYS_UNKNOWN_MS - 1),
        ("unknown", false)
    );
    assert_eq!(told(&mut keys, "2", KEYS_UNKNOWN_MS), ("wait", true));
    assert_eq!(told(&mut keys, "3", KEYS_UNKNOWN_MS), ("wait", false));
    // Those whose key is known do not wait for that.
    assert_eq!(told(&mut keys, "1", KEYS_UNKNOWN_MS), ("key", false));
    keys.fetched(published(Some(KEYS_AGE_MS_MAX)), KEYS_UNKNOWN_MS + 50);
    assert_eq!(
        told(&mut keys, "2", KEYS_UNKNOWN_MS + 50),
        ("unknown", false)
    );
    assert_eq!(
        told(&mut keys, "2", 2 * KEYS_UNKNOWN_MS - 1),
        ("unknown", false)
    );
    assert_eq!(told(&mut keys, "2", 2 * KEYS_UNKNOWN_MS), ("wait", true));
}

#[test]
fn the_last_keys_stay_for_an_hour_while_the_issuer_fails() {
    let age_ms = KEYS_AGE_MS_MIN;
    let mut keys = fetched(Some(age_ms));
    let end_ms = age_ms + KEYS_KEPT_MS;
    assert_eq!(told(&mut keys, "1", age_ms), ("wait", true));
    keys.fetched(None, age_ms);
    let mut fetches = 0;
    for now_ms in (age_ms..end_ms).step_by(1_000) {
        let (answer, fetch) = told(&mut keys, "1", now_ms);
        // Nobody waits for it to fail again.
        assert_eq!(answer, "key", "{now_ms}");
        if fetch {
            fetches += 1;
            // A new key may be the issuer's next.
            let (answer, _) = told(&mut keys, "2", now_ms);
            assert_eq!(answer, "wait");
            keys.fetched(None, now_ms);
            assert_eq!(told(&mut keys, "2", now_ms), ("unavailable", false));
        }
    }
    assert_eq!(fetches, KEYS_KEPT_MS / KEYS_RETRY_MS - 1);
    keys.fetched(None, end_ms - 1);
    assert_eq!(told(&mut keys, "1", end_ms), ("wait", true));
    keys.fetched(None, end_ms);
    assert_eq!(told(&mut keys, "1", end_ms), ("unavailable", false));
    assert_eq!(told(&mut keys, "1", end_ms + KEYS_RETRY_MS), ("wait", true));
    keys.fetched(published(Some(age_ms)), end_ms + KEYS_RETRY_MS);
    assert_eq!(told(&mut keys, "1", end_ms + KEYS_RETRY_MS), ("key", false));
}

#[test]
fn without_any_keys_an_issuer_is_asked_again_in_a_while() {
    let mut keys = Keys::default();
    assert_eq!(told(&mut keys, "1", 5), ("wait", true));
    keys.fetched(None, 100);
    assert_eq!(told(&mut keys, "1", 100), ("unavailable", false));
    assert_eq!(
        told(&mut keys, "1", KEYS_RETRY_MS + 4),
        ("unavailable", false)
    );
    assert_eq!(told(&mut keys, "1", KEYS_RETRY_MS + 5), ("wait", true));
}

#[derive(Debug, Clone)]
enum Input {
    Find(bool),
    Succeed(Option<u64>),
    Fail,
}

fn inputs() -> impl Strategy<Value = Vec<(Input, u64)>> {
    let input = prop_oneof![
        4 => any::<bool>().prop_map(Input::Find),
        1 => prop::option::of(0..10_000_000_u64).prop_map(Input::Succeed),
        1 => Just(Input::Fail),
    ];
    let gap_ms = prop_oneof![Just(0), 0..20_000_u64, 0..5_000_000_u64];
    prop::collection::vec((input, gap_ms), 1..200)
}

proptest! {
    /// Whatever happens: one fetch at a time, none too soon after the last, and no key that is older than it may be.
    #[test]
    fn it_keeps_its_promises(inputs in inputs()) {
        let mut keys = Keys::default();
        let (mut now_ms, mut is_fetching) = (0, false);
        let (mut attempted_ms, mut succeeded_ms) = (None, None);
        for (input, gap_ms) in inputs {
            now_ms += gap_ms;
            match input {
                Input::Find(is_known) => {
                    let (answer, fetch) = told(&mut keys, if is_known { "1" } else { "2" }, now_ms);
                    if fetch {
                        prop_assert!(!is_fetching);
                        prop_assert!(attempted_ms.is_none_or(|at| now_ms >= at + KEYS_RETRY_MS));
                        attempted_ms = Some(now_ms);
                        is_fetching = true;
                    }
                    prop_assert!(answer != "wait" || is_fetching);
                    if answer == "key" {
                        let oldest_ms = KEYS_AGE_MS_MAX + KEYS_KEPT_MS;
                        prop_assert!(is_known);
                        prop_assert!(succeeded_ms.is_some_and(|at| now_ms < at + oldest_ms));
                    }
                }
                Input::Succeed(age_ms) if is_fetching => {
                    keys.fetched(published(age_ms), now_ms);
                    (is_fetching, succeeded_ms) = (false, Some(now_ms));
                }
                Input::Fail if is_fetching => {
                    keys.fetched(None, now_ms);
                    is_fetching = false;
                }
                Input::Succeed(_) | Input::Fail => {}
            }
        }
    }
}
