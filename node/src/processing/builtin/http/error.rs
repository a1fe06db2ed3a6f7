//! Why a call came to nothing, and what its operation makes of it.

use std::io;
use std::time::Duration;

use hyper::StatusCode;
use selvedge_protocol::error::chain;
use selvedge_protocol::limits::HTTP_RESULT_BYTES_MAX;

use crate::processing::HandlerError;
use crate::processing::breaker::Verdict;
use crate::processing::builtin::http::redirect::RedirectError;
use crate::processing::builtin::http::retry_after::RetryAfter;

/// Why a call came to nothing. Hosts are named, paths and queries are not: they may hold secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// It leads to an address that may not be called.
    #[error("{host} is at an address that may not be called; an operator can allow it")]
    Refused { host: String },
    /// The breaker of the host is open.
    #[error("{host} has failed too often; it is left alone for {} s more", wait.as_secs())]
    Open { host: String, wait: Duration },
    #[error("{host} cannot be reached")]
    Connect {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("the conversation with {host} broke")]
    Broken {
        host: String,
        #[source]
        source: hyper::Error,
    },
    #[error("{host} has not answered in full within {} ms", timeout.as_millis())]
    Timeout { host: String, timeout: Duration },
    #[error("the response of {host} is over {bytes_max} bytes")]
    TooLarge { host: String, bytes_max: usize },
    #[error("the result is over {HTTP_RESULT_BYTES_MAX} bytes as JSON")]
    ResultTooLarge,
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    #[error("{redirects_max} redirects did not lead to an answer")]
    Redirects { redirects_max: u32 },
    #[error("{host} answered {status}{}{}", retry(retry_after.as_ref()), said(excerpt))]
    Status {
        host: String,
        status: StatusCode,
        retry_after: Option<RetryAfter>,
        /// How the body begins.
        excerpt: String,
    },
    /// The URL has a path that no request line can hold.
    #[error("the URL cannot be put into a request")]
    Url(#[source] hyper::http::Error),
}

impl CallError {
    /// What the breaker of the host makes of it.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Timeout { .. } => Verdict::Failure,
            Self::Status { status, .. } if status.is_server_error() => Verdict::Failure,
            Self::Status { .. }
            | Self::TooLarge { .. }
            | Self::ResultTooLarge
            | Self::Redirect(_)
            | Self::Redirects { .. } => Verdict::Success,
            Self::Refused { .. } | Self::Open { .. } | Self::Url(_) => Verdict::Neutral,
        }
    }

    /// The error of the attempt. A host that says when it wants to be called again is left alone till then.
    pub(super) fn into_error(self, now_ms: u64) -> HandlerError {
        let message = chain(&self);
        let error = match self.may_be_retried() {
            true => HandlerError::retryable(message),
            false => HandlerError::permanent(message),
        };
        let error = error.with_code(self.code());
        if let Self::Status {
            retry_after: Some(asked),
            ..
        } = self
        {
            return error.retry_after(asked.wait(now_ms));
        }
        error
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "address_refused",
            Self::Open { .. } => "breaker_open",
            Self::Connect { .. } | Self::Broken { .. } => "connection_failed",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } | Self::ResultTooLarge => "response_too_large",
            Self::Redirect(_) => "redirect_refused",
            Self::Redirects { .. } => "too_many_redirects",
            Self::Status { .. } => "http_status",
            Self::Url(_) => "invalid_input",
        }
    }

    /// Whether another attempt may fare better.
    fn may_be_retried(&self) -> bool {
        match self {
            Self::Open { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Timeout { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::REQUEST_TIMEOUT
                            | StatusCode::TOO_EARLY
                            | StatusCode::TOO_MANY_REQUESTS
                    )
            }
            Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::ResultTooLarge
            | Self::Redirect(_)
            | Self::Redirects { .. }
            | Self::Url(_) => false,
        }
    }
}

fn retry(asked: Option<&RetryAfter>) -> String {
    asked.map_or_else(String::new, |asked| format!(", to be retried {asked}"))
}

fn said(excerpt: &str) -> String {
    match excerpt {
        "" => String::new(),
        excerpt => format!(": {excerpt}"),
    }
}
