//! Failures as HTTP has them: a status, and a problem (RFC 9457) with the stable code. The one place where a code
//! becomes a status.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use selvedge_protocol::{ErrorCode, Failure};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal. Small, as it is part of every result.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Told>);

/// A refusal as a client of HTTP sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    /// Says what sort of problem it is: a name that resolves to nothing, RFC 9457 section 3.1.1.
    r#type: String,
    title: &'static str,
    status: u16,
    /// What is wrong and what to do about it.
    detail: String,
    /// The stable code, as on the wire.
    code: &'static str,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// When a retry is worth it, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u32>,
    /// By what the log has the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// What else the answer says.
    #[serde(skip)]
    #[schema(ignore)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// With another status than that of its code.
    pub(crate) fn with_status(failure: Failure, status: StatusCode) -> Self {
        let code = failure.code;
        Self(Box::new(Told {
            r#type: format!("urn:selvedge:error:{}", code.name()),
            title: title(code),
            status: status.as_u16(),
            detail: failure.message,
            code: code.name(),
            field: failure.field,
            retry_after_ms: failure.retry_after_ms,
            request_id: None,
            headers: Vec::new(),
        }))
    }

    /// The same with another header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The same of this request.
    pub(crate) fn of_request(mut self, id: &str) -> Self {
        self.0.request_id = Some(id.to_owned());
        self
    }

    /// What the client reads.
    pub(crate) fn to_json(&self) -> String {
        // Serialisation into memory fails only for maps with keys that are not text.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// The field that is wrong, where one is.
    #[cfg(test)]
    pub(crate) fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = status(failure.code);
        Self::with_status(failure, status)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status();
        let mut response = HttpResponse::build(status);
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"selvedge\""));
        }
        if let Some(ms) = self.0.retry_after_ms {
            response.insert_header((RETRY_AFTER, ms.div_ceil(1_000).max(1)));
        } else if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, 1));
        }
        for (name, value) in &self.0.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        response
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("application/problem+json")
            .body(self.to_json())
    }
}

/// The status of a failure.
pub(crate) const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Malformed | ErrorCode::UnsupportedVersion => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated | ErrorCode::SessionExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::NotFound | ErrorCode::UnknownKind | ErrorCode::UnknownCommand => {
            StatusCode::NOT_FOUND
        }
        ErrorCode::Conflict | ErrorCode::SessionReplaced => StatusCode::CONFLICT,
        ErrorCode::OutcomeExpired => StatusCode::GONE,
        ErrorCode::Invalid | ErrorCode::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Overloaded | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn title(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Malformed => "The request cannot be read",
        ErrorCode::UnsupportedVersion => "No version in common",
        ErrorCode::Unauthenticated => "No valid credentials",
        ErrorCode::PermissionDenied => "Not permitted",
        ErrorCode::NotFound => "Not found",
        ErrorCode::Conflict => "In conflict with what is there",
        ErrorCode::Invalid => "A field is not valid",
        ErrorCode::Rejected => "Refused by the actor",
        ErrorCode::UnknownKind => "No such kind or type",
        ErrorCode::UnknownCommand => "No such command or query",
        ErrorCode::TooLarge => "Too large",
        ErrorCode::LimitExceeded => "A limit is used up",
        ErrorCode::Overloaded => "Overloaded",
        ErrorCode::Unavailable => "Not available at the moment",
        ErrorCode::DeadlineExceeded => "The deadline passed",
        ErrorCode::SessionExpired => "The session has expired",
        ErrorCode::SessionReplaced => "The session goes on elsewhere",
        ErrorCode::OutcomeExpired => "The outcome is no longer kept",
        ErrorCode::Internal => "A defect of the server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_of_refusal() {
        for code in ErrorCode::ALL {
            let status = status(code);
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code:?}"
            );
            assert_eq!(
                status.is_server_error(),
                matches!(
                    code,
                    ErrorCode::Overloaded
                        | ErrorCode::Unavailable
                        | ErrorCode::DeadlineExceeded
                        | ErrorCode::Internal
                ),
                "{code:?}"
            );
        }
    }
}
