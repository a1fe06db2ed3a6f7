//! What is stored about subjects: their keys, which actors hold something about them, and what they consented to.
//! Nothing here touches a store.

use serde::{Deserialize, Serialize};

use super::envelope::KeyId;
use super::wrapping::Wrapped;
use crate::store::record::Record;

/// The row of a subject's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SubjectKey {
    Present {
        id: KeyId,
        /// The name of the wrapping key, and the key wrapped by it.
        by: String,
        wrapped: Vec<u8>,
        created_ms: u64,
    },
    /// The key was destroyed. `id` is what it had.
    Erased { id: KeyId, at_ms: u64 },
}

impl SubjectKey {
    /// The key that opens what is there: any other is erased.
    pub(super) const fn present(&self) -> Option<&KeyId> {
        match self {
            Self::Present { id, .. } => Some(id),
            Self::Erased { .. } => None,
        }
    }

    pub(super) fn new(id: KeyId, wrapped: Wrapped, created_ms: u64) -> Self {
        Self::Present {
            id,
            by: wrapped.by,
            wrapped: wrapped.bytes,
            created_ms,
        }
    }
}

impl Record for SubjectKey {
    const FORMAT: u8 = 1;
}

/// The row of an actor that holds something about a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubjectActor {
    /// One as a rule; one more for each erasure after which it began anew before it was cleared.
    pub(super) lives: Vec<Life>,
}

/// What an actor has stored under one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) key: KeyId,
    /// Keys of rows that the kind has written besides, to be cleared with it.
    pub(super) traces: Vec<Vec<u8>>,
}

impl SubjectActor {
    /// The actor lives under this key, and has these traces. Answers whether that is new.
    pub(crate) fn live(&mut self, key: KeyId, traces: &[Vec<u8>]) -> bool {
        let Some(life) = self.lives.iter_mut().find(|life| life.key == key) else {
            self.lives.push(Life {
                key,
                traces: traces.to_vec(),
            });
            return true;
        };
        if life.traces == traces {
            return false;
        }
        life.traces = traces.to_vec();
        true
    }

    /// It does not live under this key any more. Answers whether there is nothing left.
    pub(crate) fn end(&mut self, key: &KeyId) -> bool {
        self.lives.retain(|life| life.key != *key);
        self.lives.is_empty()
    }
}

impl Record for SubjectActor {
    const FORMAT: u8 = 1;
}

/// The row of a consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConsentRow {
    pub(super) granted: bool,
    pub(super) at_ms: u64,
    /// Who recorded it.
    pub(super) by: String,
    pub(super) note: String,
}

impl Record for ConsentRow {
    const FORMAT: u8 = 1;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::record::golden;

    #[test]
    fn records_are_as_they_always_were() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let wrapped = Wrapped {
            by: "k1".to_owned(),
            bytes: vec![1, 2, 3],
        };
        let present = SubjectKey::new([9; 16], wrapped, 1_000);
        assert_eq!(golden::check(&directory, "subject-key", &present), []);
        let erased = SubjectKey::Erased {
            id: [9; 16],
            at_ms: 1_000,
        };
        assert_eq!(golden::check(&directory, "subject-key-erased", &erased), []);
        let mut actor = SubjectActor::default();
        actor.live([9; 16], &[vec![1], vec![2]]);
        assert_eq!(golden::check(&directory, "subject-actor", &actor), []);
        let consent = ConsentRow {
            granted: true,
            at_ms: 1_000,
            by: "ann".to_owned(),
            note: "by letter".to_owned(),
        };
        assert_eq!(golden::check(&directory, "consent", &consent), []);
    }

    #[test]
    fn an_actor_has_a_life_under_each_key() {
        let mut actor = SubjectActor::default();
        assert!(actor.live([1; 16], &[vec![1]]));
        assert!(!actor.live([1; 16], &[vec![1]]));
        assert!(actor.live([1; 16], &[vec![2]]));
        assert!(actor.live([2; 16], &[]));
        assert!(!actor.end(&[1; 16]));
        assert!(actor.end(&[2; 16]));
    }
}
