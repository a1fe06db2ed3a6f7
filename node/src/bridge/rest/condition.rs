//! Conditions on writes: `If-Match` (RFC 9110, 13.1.1), or `ifVersion` in a body. What is compared is the version, in
//! the commit of the write itself.

use actix_web::http::StatusCode;
use actix_web::http::header::IF_MATCH;
use selvedge_protocol::{ErrorCode, Failure, if_version};

use crate::bridge::problem::Problem;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::parameters::invalid;

/// The version that a write needs its target to have.
pub(crate) fn version(call: &Call, in_body: Option<u64>) -> Result<Option<u64>, Problem> {
    let Some(text) = call.header(&IF_MATCH)? else {
        return Ok(in_body);
    };
    let version = tag(&text)?;
    match in_body {
        Some(other) if other != version => Err(invalid(
            if_version::FIELD,
            "If-Match means another version; send one of the two",
        )),
        Some(_) | None => Ok(Some(version)),
    }
}

/// The version of an entity tag of ours: `"VERSION-HASH"`, or the version alone. Weak tags and those of others match
/// nothing, which is better told than compared.
fn tag(text: &str) -> Result<u64, Problem> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let (version, hash) = inner.map_or(("", None), |inner| match inner.split_once('-') {
        Some((version, hash)) => (version, Some(hash)),
        None => (inner, None),
    });
    let is_digits = (1..=DIGITS_MAX).contains(&version.len())
        && version.bytes().all(|byte| byte.is_ascii_digit());
    let is_hash = hash.is_none_or(|hash| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        hash.len() == HASH_CHARS && hash.bytes().all(is_hex)
    });
    match version.parse() {
        Ok(version) if is_digits && is_hash => Ok(version),
        Ok(_) | Err(_) => Err(invalid(
            "If-Match",
            "give the one ETag of what you have read, as it came",
        )),
    }
}

/// As the description has it.
pub(crate) const TAG: &str = "^\"[0-9]{1,19}(-[0-9a-f]{16})?\"$";
/// Of a version; with one more it might not be of 64 bits.
const DIGITS_MAX: usize = 19;
/// Of the hash in a tag.
const HASH_CHARS: usize = 16;

/// The refusal of a command, a condition that does not hold apart from other conflicts.
pub(crate) fn refused(failure: Failure) -> Problem {
    let is_condition = failure.field.as_deref() == Some(if_version::FIELD);
    match failure.code {
        ErrorCode::Conflict if is_condition => {
            Problem::with_status(failure, StatusCode::PRECONDITION_FAILED)
        }
        _ => failure.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_ours_has_a_version() {
        let whole = "\"12-00ff00ff00ff00ff\"";
        for (text, version) in [("\"7\"", 7), (whole, 12), ("\"0\"", 0)] {
            assert_eq!(tag(text).unwrap(), version, "{text}");
        }
        for text in [
            "*",
            "\"1\", \"2\"",
            "7",
            "W/\"7\"",
            "\"x\"",
            "\"\"",
            "\"",
            "\"0-\"",
            "\"+1\"",
        ] {
            let refused = tag(text).unwrap_err();
            assert_eq!(refused.field(), Some("If-Match"), "{text}");
        }
    }
}
