//! Automatic persisted queries: documents that clients name by their SHA-256 once they have sent them, in the form that
//! Apollo's clients speak. Bounded; what is forgotten is sent again by its client, which is told so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_protocol::limits::GRAPHQL_PERSISTED_BYTES_MAX;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The extension `persistedQuery` of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PersistedQuery {
    pub(super) version: u32,
    /// Hexadecimal.
    pub(super) sha256_hash: String,
}

/// The SHA-256 of a document.
pub(super) type Hash = [u8; 32];

impl PersistedQuery {
    /// `None` where it is no hash.
    pub(super) fn hash(&self) -> Option<Hash> {
        let text = self.sha256_hash.as_bytes();
        let mut hash = Hash::default();
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            // from_str_radix takes a sign as well.
            if digits.starts_with('+') {
                return None;
            }
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(hash)
    }
}

/// The hash of a document.
pub(super) fn hash(document: &str) -> Hash {
    Sha256::digest(document).into()
}

/// Documents by their hashes, the latest ones.
#[derive(Debug, Default)]
pub(super) struct Persisted(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    documents: HashMap<Hash, Arc<str>>,
    /// In the order in which they came.
    order: VecDeque<Hash>,
    bytes: usize,
}

impl Persisted {
    pub(super) fn find(&self, hash: &Hash) -> Option<Arc<str>> {
        self.0.lock().documents.get(hash).cloned()
    }

    /// Keeps a document, and lets the oldest go where there is no room for it.
    pub(super) fn keep(&self, hash: Hash, document: &str) {
        let mut kept = self.0.lock();
        let kept = &mut *kept;
        if kept.documents.contains_key(&hash) {
            return;
        }
        kept.documents.insert(hash, Arc::from(document));
        kept.order.push_back(hash);
        kept.bytes += document.len() + ENTRY_BYTES;
        while kept.bytes > GRAPHQL_PERSISTED_BYTES_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            if let Some(document) = kept.documents.remove(&oldest) {
                kept.bytes -= document.len() + ENTRY_BYTES;
            }
        }
    }
}

/// What a document takes besides its text.
const ENTRY_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(hash: &str) -> Option<Hash> {
        let sha256_hash = hash.to_owned();
        PersistedQuery {
            version: 1,
            sha256_hash,
        }
        .hash()
    }

    #[test]
    fn hashes_are_read_as_clients_write_them() {
        let text = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";
        assert_eq!(named(text), Some(hash("{__typename}")));
        assert_eq!(named(&text.to_uppercase()), named(text));
        for wrong in [
            "",
            "ecf4",
            &text[1..],
            &text.replace('e', "+"),
            &text.replace("ec", "é"),
        ] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_oldest_go_where_there_is_no_room() {
        let persisted = Persisted::default();
        let document = |number: usize| format!("{number:>8192}");
        let most = GRAPHQL_PERSISTED_BYTES_MAX / (8192 + ENTRY_BYTES);
        for number in 0..=most {
            let document = document(number);
            persisted.keep(hash(&document), &document);
        }
        assert_eq!(persisted.find(&hash(&document(0))), None);
        for number in [1, most] {
            let document = document(number);
            assert_eq!(
                persisted.find(&hash(&document)).as_deref(),
                Some(&*document)
            );
        }
    }
}
