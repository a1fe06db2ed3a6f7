//! How the endpoints of OAuth are asked, in forms and queries of which each member is there once (RFC 6749, 3.1 and 3.2), and
//! how they refuse (5.2).

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use selvedge_protocol::Failure;
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use serde_json::json;

use crate::bridge::rest::answer;
use crate::bridge::rest::body;

/// Members of a form or a query, in their order.
#[derive(Default)]
pub(super) struct Members {
    all: Vec<(String, String)>,
    /// Those that are given more than once, and what is over the bound.
    is_wrong: bool,
}

impl Members {
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut members = Self::default();
        for (name, value) in url::form_urlencoded::parse(text) {
            let is_known = members.all.iter().any(|(known, _)| *known == name);
            if is_known || members.all.len() >= MEMBERS_MAX {
                members.is_wrong = true;
                continue;
            }
            members.all.push((name.into_owned(), value.into_owned()));
        }
        members
    }

    /// Whether one is given twice, or there are too many.
    pub(super) const fn are_wrong(&self) -> bool {
        self.is_wrong
    }

    /// The value of a member. One without a value was not given (3.2).
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.all.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// The members of a body of `application/x-www-form-urlencoded`.
pub(super) struct Form(Members);

impl Form {
    pub(super) async fn read(request: &HttpRequest, payload: Payload) -> Result<Self, OAuthError> {
        let members = members(request, payload).await?;
        match members.are_wrong() {
            true => Err(OAuthError::invalid(
                "a member is given twice, or there are too many",
            )),
            false => Ok(Self(members)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.text(name)
    }

    pub(super) fn needs(&self, name: &str) -> Result<&str, OAuthError> {
        let missing = || OAuthError::invalid(format!("{name} is missing"));
        self.text(name).ok_or_else(missing)
    }
}

/// What a form has, whatever that is.
pub(super) async fn members(
    request: &HttpRequest,
    payload: Payload,
) -> Result<Members, OAuthError> {
    let given = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let essence = given.map(|it| it.split(';').next().unwrap_or_default().trim());
    if !essence.is_some_and(|it| it.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        return Err(OAuthError::invalid(
            "send application/x-www-form-urlencoded",
        ));
    }
    let bytes = body::bytes(request, payload, FORM_BYTES_MAX).await;
    let bytes = bytes.map_err(|problem| OAuthError::invalid(problem.to_string()))?;
    Ok(Members::parse(&bytes))
}

/// A refusal.
pub(super) struct OAuthError {
    status: StatusCode,
    error: &'static str,
    pub(super) description: String,
    retry_after_ms: Option<u32>,
    /// The client has shown itself by a header (5.2).
    is_basic: bool,
}

impl OAuthError {
    pub(super) fn of(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            retry_after_ms: None,
            is_basic: false,
        }
    }

    pub(super) fn invalid(description: impl Into<String>) -> Self {
        Self::of("invalid_request", description)
    }

    /// A client that is not the one that it says it is.
    pub(super) fn invalid_client(description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            is_basic: true,
            ..Self::of("invalid_client", description)
        }
    }

    pub(super) fn answer(self) -> HttpResponse {
        let told = json!({ "error": self.error, "error_description": self.description });
        let mut response = answer::json(self.status, told);
        let headers = response.headers_mut();
        if let Some(ms) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, ms.div_ceil(1_000).max(1).into());
        }
        if self.is_basic {
            let basic = HeaderValue::from_static("Basic realm=\"selvedge\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, basic);
        }
        response
    }
}

impl From<Failure> for OAuthError {
    fn from(failure: Failure) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after_ms: Some(failure.retry_after_ms.unwrap_or(1_000)),
            ..Self::of("temporarily_unavailable", failure.message)
        }
    }
}

/// Far more than any request has: a browser adds none.
const MEMBERS_MAX: usize = 32;

/// A token, percent-encoded at the worst, and some names.
const FORM_BYTES_MAX: usize = 3 * TOKEN_BYTES_MAX + 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_there_once_and_bounded() {
        let members = Members::parse(b"a=1&b=x%20y+z&c=&d");
        assert_eq!(
            (members.text("a"), members.text("b")),
            (Some("1"), Some("x y z"))
        );
        assert_eq!((members.text("c"), members.text("d")), (None, None));
        assert!(!members.are_wrong());
        for wrong in ["a=1&a=1", "a=1&%61=2", "a&a"] {
            assert!(Members::parse(wrong.as_bytes()).are_wrong(), "{wrong}");
        }
        let many: String = (0..=MEMBERS_MAX).map(|at| format!("&{at}=1")).collect();
        assert!(Members::parse(many.as_bytes()).are_wrong());
        assert!(!Members::parse(&many.as_bytes()[..many.len() - 5]).are_wrong());
    }
}
