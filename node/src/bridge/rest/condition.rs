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

/// The version of an entity tag of ours: `"VERSION-HASH"`, or the version alone.
fn tag(text: &str) -> Result<u64, Problem> {
    if text == "*" || text.contains(',') {
        return Err(invalid(
            "If-Match",
            "give the one ETag of what you have read",
        ));
    }
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let version = inner.and_then(|inner| inner.split('-').next()?.parse().ok());
    version.ok_or_else(|| {
        // Such a tag, a weak one too, is of nothing that was ever here.
        let message = "this is no ETag of this node: read what is there, and decide anew";
        let failure = Failure::field(ErrorCode::Conflict, "If-Match", message);
        Problem::with_status(failure, StatusCode::PRECONDITION_FAILED)
    })
}

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
        for (text, version) in [("\"7\"", 7), ("\"12-00ff\"", 12), ("\"0-\"", 0)] {
            assert_eq!(tag(text).unwrap(), version, "{text}");
        }
        for text in ["*", "\"1\", \"2\"", "7", "W/\"7\"", "\"x\"", "\"\"", "\""] {
            let refused = tag(text).unwrap_err();
            assert_eq!(refused.field(), Some("If-Match"), "{text}");
        }
    }
}
