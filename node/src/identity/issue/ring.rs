//! Which of the cluster's keys signs now, and when there is to be another one: pure. Whoever signs asks it, and makes and
//! removes in one transaction what it says.
//!
//! The next key is published [`SIGNING_KEY_AHEAD_MS`] before it signs, so that everybody knows it by then.

use selvedge_protocol::limits::{SIGNING_KEY_AHEAD_MS, SIGNING_KEYS_MAX};

use crate::identity::issue::signing_key::SigningKey;

/// What is to be done with the keys that there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// A key that signs from then on is to be made.
    pub(super) make_from_ms: Option<u64>,
    /// These are to be removed.
    pub(super) ended: Vec<String>,
}

/// The key that signs now: of several the one that began last.
pub(super) fn signing(keys: &[SigningKey], now_ms: u64) -> Option<&SigningKey> {
    let current = keys
        .iter()
        .filter(|key| key.signs_from_ms <= now_ms && now_ms < key.signs_until_ms);
    current.max_by_key(|key| (key.signs_from_ms, key.created_ms, &key.id))
}

/// What is due.
pub(super) fn plan(keys: &[SigningKey], now_ms: u64) -> Plan {
    let (ended, kept): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.ends_ms() <= now_ms);
    let until_ms = match signing(keys, now_ms) {
        None => now_ms,
        Some(key) => key.signs_until_ms,
    };
    let is_due = until_ms <= now_ms.saturating_add(SIGNING_KEY_AHEAD_MS);
    let has_next = keys
        .iter()
        .any(|key| key.signs_from_ms <= until_ms && key.signs_until_ms > until_ms);
    let has_room = kept.len() < SIGNING_KEYS_MAX;
    Plan {
        make_from_ms: (is_due && !has_next && has_room).then_some(until_ms),
        ended: ended.into_iter().map(|key| key.id.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::limits::{ACCESS_TOKEN_MS_MAX, SIGNING_KEY_MS, TOKEN_SKEW_MS};

    use super::*;
    use crate::identity::issue::secrets::Secrets;

    fn do_it(keys: &mut Vec<SigningKey>, now_ms: u64) {
        let secrets = Secrets::of_cluster(&[1; 32]);
        let Plan {
            make_from_ms,
            ended,
        } = plan(keys, now_ms);
        keys.retain(|key| !ended.contains(&key.id));
        keys.extend(make_from_ms.and_then(|from_ms| SigningKey::make(&secrets, now_ms, from_ms)));
        // Once is enough.
        assert_eq!(plan(keys, now_ms), Plan::default());
    }

    #[test]
    fn a_year_of_keys() {
        let hour_ms = 60 * 60 * 1_000;
        let begin_ms = 1_000_000_000;
        let (mut keys, mut seen) = (Vec::new(), Vec::<SigningKey>::new());
        for hour in 0..24 * 365 {
            let now_ms = begin_ms + hour * hour_ms;
            do_it(&mut keys, now_ms);
            let signs = signing(&keys, now_ms).expect("one signs at all times");
            if !seen.iter().any(|key| key.id == signs.id) {
                if let Some(before) = seen.last() {
                    // Everybody had the time to hear of it, and what the one before has signed is still verified.
                    assert!(signs.created_ms + SIGNING_KEY_AHEAD_MS <= now_ms + hour_ms);
                    assert!(keys.iter().any(|key| key.id == before.id));
                }
                seen.push(signs.clone());
            }
            assert!(keys.len() <= 3, "{keys:?}");
        }
        assert_eq!(seen.len(), 13);
        let last = seen.last().unwrap();
        assert_eq!(
            last.ends_ms() - last.signs_until_ms,
            ACCESS_TOKEN_MS_MAX + 2 * TOKEN_SKEW_MS
        );
        assert_eq!(last.signs_until_ms - last.signs_from_ms, SIGNING_KEY_MS);
    }

    #[test]
    fn a_cluster_that_slept_has_a_key_at_once() {
        let mut keys = Vec::new();
        do_it(&mut keys, 0);
        let long_ms = 3 * SIGNING_KEY_MS;
        do_it(&mut keys, long_ms);
        assert_eq!(keys.len(), 1);
        assert_eq!(
            signing(&keys, long_ms).map(|key| key.signs_from_ms),
            Some(long_ms)
        );
    }
}
