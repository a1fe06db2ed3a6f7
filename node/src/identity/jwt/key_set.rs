//! The keys that an issuer publishes: a JWK set (RFC 7517). `source` reads it, `keys` keeps it.
//!
//! Keys of types that are not taken are left out, as the RFC has it; two keys of one id are not told apart by
//! anybody, so such a set is refused as a whole.

use std::sync::Arc;

use selvedge_protocol::limits::{KEY_SET_KEYS_MAX, KEY_SET_VALUES_MAX};
use serde_json::Value;

use crate::identity::jwt::json;
use crate::identity::jwt::key::Key;
use crate::identity::jwt::token::key_id;

/// The keys of an issuer that verify tokens.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<(Option<String>, Arc<Key>)>);

/// What is no set of keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("the keys are not JSON as it is taken")]
    Json(#[source] serde_json::Error),
    #[error("the keys have no list of objects `keys`")]
    NoList,
    #[error("there are over {KEY_SET_KEYS_MAX} keys; withdraw old ones")]
    TooMany,
    #[error("two keys have the same kid; give each its own")]
    Twice,
}

impl KeySet {
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let set = json::object(text, KEY_SET_VALUES_MAX).map_err(KeySetError::Json)?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or(KeySetError::NoList)?;
        if listed.len() > KEY_SET_KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let mut keys: Vec<(Option<String>, Arc<Key>)> = Vec::new();
        for jwk in listed {
            let jwk = jwk.as_object().ok_or(KeySetError::NoList)?;
            let read = key_id(jwk.get("kid")).map_err(|_| "its kid is no text, or too long");
            match read.and_then(|id| Ok((id, Key::read(jwk)?))) {
                Ok((id, _)) if id.is_some() && keys.iter().any(|(known, _)| *known == id) => {
                    return Err(KeySetError::Twice);
                }
                Ok((id, key)) => keys.push((id, Arc::new(key))),
                Err(reason) => tracing::debug!(reason, "a published key is left out"),
            }
        }
        Ok(Self(keys))
    }

    /// The key of this id; for a token that names none, the one key that there is.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&Arc<Key>> {
        let found = match (id, self.0.as_slice()) {
            (Some(id), keys) => keys.iter().find(|(known, _)| known.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.map(|(_, key)| key)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
