//! What makes a request take effect once: `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), as an id of
//! a command.

use actix_web::http::header::HeaderName;
use selvedge_cluster::actor::Identity;
use selvedge_protocol::{CommandId, Target};
use uuid::Uuid;

use crate::bridge::problem::Problem;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::parameters::invalid;

/// The id of a command to this target: the client's, or one that nobody has.
pub(crate) fn command(call: &Call, target: &Target) -> Result<Identity, Problem> {
    Ok(Identity::Id(match key(call)? {
        Some(key) => of_key(&key, &call.scope(target)),
        None => random(call),
    }))
}

/// An id that nobody has.
pub(crate) fn random(call: &Call) -> CommandId {
    let clock = &call.inside.clock;
    CommandId::from_parts(clock.wall_ms(), clock.random_bytes())
}

/// The id of a key: a UUID is one, any other text counts within its scope.
pub(crate) fn of_key(key: &str, scope: &str) -> CommandId {
    if let Ok(uuid) = Uuid::try_parse(key) {
        return CommandId::from_u128(uuid.as_u128());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(scope.as_bytes());
    hasher.update(&[0]);
    hasher.update(key.as_bytes());
    let hash = hasher.finalize();
    CommandId::from_u128(u128::from_be_bytes(std::array::from_fn(|at| {
        hash.as_bytes()[at]
    })))
}

/// The key of the request.
pub(crate) fn key(call: &Call) -> Result<Option<String>, Problem> {
    let Some(text) = call.header(&IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let key = unquoted(&text);
    match (1..=KEY_CHARS_MAX).contains(&key.chars().count()) {
        true => Ok(Some(key)),
        false => Err(invalid(
            "Idempotency-Key",
            format!("a key has 1 to {KEY_CHARS_MAX} characters; a UUID is a good one"),
        )),
    }
}

/// The text of a string of structured fields (RFC 9651), or the text as it is.
fn unquoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        None => text.to_owned(),
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
    }
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What common services take.
const KEY_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_the_id_and_other_keys_are_of_their_scope() {
        let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(of_key(uuid, "one").to_string(), uuid);
        assert_eq!(of_key(uuid, "one"), of_key(uuid, "two"));
        assert_eq!(of_key("a", "one"), of_key("a", "one"));
        assert_ne!(of_key("a", "one"), of_key("a", "two"));
        assert_ne!(of_key("a", "one"), of_key("b", "one"));
    }

    #[test]
    fn quotes_are_optional() {
        for (text, key) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            ("\"a\\\"b\"", "a\"b"),
            ("\"", "\""),
            ("\"\"", ""),
        ] {
            assert_eq!(unquoted(text), key, "{text}");
        }
    }
}
