//! Where a redirect leads: the next request of a call. Pure.

use hyper::header::{
    ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE,
    HeaderName, USER_AGENT,
};
use hyper::{Method, StatusCode};

use crate::processing::builtin::http::call::{self, IDEMPOTENCY_KEY, Request};

/// Headers that say nothing about who calls. Any other may be a credential, whatever its name.
const WITHOUT_CREDENTIALS: [HeaderName; 7] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    USER_AGENT,
    IDEMPOTENCY_KEY,
];

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RedirectError {
    #[error("a redirect leads nowhere: it has no valid location")]
    Location,
    #[error("a redirect is not followed: {0}")]
    Url(&'static str),
    #[error("a redirect from https to http is not followed")]
    Downgrade,
}

/// Whether a response with this status names another place to ask.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// The request after `request` was answered with a redirect.
pub(super) fn next(
    request: &Request,
    status: StatusCode,
    location: &[u8],
) -> Result<Request, RedirectError> {
    let location = std::str::from_utf8(location).map_err(|_| RedirectError::Location)?;
    let mut url = request
        .url
        .join(location)
        .map_err(|_| RedirectError::Location)?;
    call::checked(&url).map_err(RedirectError::Url)?;
    if request.url.scheme() == "https" && url.scheme() == "http" {
        return Err(RedirectError::Downgrade);
    }
    url.set_fragment(None);
    let mut next = request.clone();
    let keeps_method = matches!(
        status,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    if !keeps_method && next.method != Method::HEAD {
        next.method = Method::GET;
        next.body.clear();
        for about_body in [
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LOCATION,
            CONTENT_TYPE,
        ] {
            next.headers.remove(about_body);
        }
    }
    if url.origin() != request.url.origin() {
        let mut kept = hyper::HeaderMap::new();
        for name in WITHOUT_CREDENTIALS {
            if let Some(value) = next.headers.remove(&name) {
                kept.insert(name, value);
            }
        }
        next.headers = kept;
    }
    next.url = url;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::{AUTHORIZATION, COOKIE, HeaderValue};

    use super::*;

    fn request() -> Request {
        let mut headers = HeaderMap::new();
        for name in [
            AUTHORIZATION,
            COOKIE,
            CONTENT_TYPE,
            IDEMPOTENCY_KEY,
            HeaderName::from_static("x-api-key"),
        ] {
            headers.insert(name, HeaderValue::from_static("value"));
        }
        Request {
            method: Method::POST,
            url: "https://example.org/a/b?c".parse().unwrap(),
            headers,
            body: Bytes::from_static(b"body"),
        }
    }

    fn names(request: &Request) -> Vec<&str> {
        let mut names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn within_a_host_credentials_stay() {
        let next = next(&request(), StatusCode::TEMPORARY_REDIRECT, b"../d?e#f").unwrap();
        assert_eq!(next.url.as_str(), "https://example.org/d?e");
        assert_eq!(
            (next.method.as_str(), &next.body[..]),
            ("POST", &b"body"[..])
        );
        let all = [
            "authorization",
            "content-type",
            "cookie",
            "idempotency-key",
            "x-api-key",
        ];
        assert_eq!(names(&next), all);
    }

    #[test]
    fn another_host_or_port_gets_no_credentials() {
        for location in [
            "https://example.com/",
            "https://example.org:444/",
            "//other",
        ] {
            let next = next(
                &request(),
                StatusCode::PERMANENT_REDIRECT,
                location.as_bytes(),
            );
            assert_eq!(names(&next.unwrap()), ["content-type", "idempotency-key"]);
        }
    }

    #[test]
    fn others_than_307_and_308_become_get() {
        for status in [301, 302, 303] {
            let status = StatusCode::from_u16(status).unwrap();
            let got = next(&request(), status, b"/d").unwrap();
            assert_eq!((got.method, got.body.len()), (Method::GET, 0));
            assert!(!got.headers.contains_key(CONTENT_TYPE));
            let mut head = request();
            head.method = Method::HEAD;
            assert_eq!(next(&head, status, b"/d").unwrap().method, Method::HEAD);
        }
    }

    #[test]
    fn some_are_not_followed() {
        let to = |location: &[u8]| next(&request(), StatusCode::FOUND, location).unwrap_err();
        assert_eq!(to(b"http://example.org/"), RedirectError::Downgrade);
        assert!(matches!(to(b"ftp://example.org/"), RedirectError::Url(_)));
        assert!(matches!(to(b"javascript:x"), RedirectError::Url(_)));
        assert!(matches!(
            to(b"https://u:p@example.org/"),
            RedirectError::Url(_)
        ));
        assert_eq!(to(b"https://"), RedirectError::Location);
        assert_eq!(to(b"\xff"), RedirectError::Location);
    }
}
