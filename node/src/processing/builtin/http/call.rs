//! What an `http` operation asks for: the input as it is submitted, and the call that it comes to once it is
//! checked.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use hyper::{Method, StatusCode};
use selvedge_protocol::limits::{
    HTTP_HEADERS_MAX, HTTP_REDIRECTS_DEFAULT, HTTP_REDIRECTS_MAX, HTTP_REQUEST_BYTES_MAX,
    HTTP_RESPONSE_BYTES_MAX, HTTP_TIMEOUT_MS_DEFAULT, HTTP_TIMEOUT_MS_MAX, HTTP_URL_BYTES_MAX,
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::processing::{HandlerError, InvalidInput};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Who calls.
const AGENT: &str = concat!("selvedge/", env!("CARGO_PKG_VERSION"));

/// What documents are taken: sets of keys have a type of their own.
const DOCUMENTS: &str = "application/json, application/jwk-set+json";

/// The input of an operation of the type `http`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A string is sent as it is, anything else as JSON.
    body: Option<Value>,
    timeout_ms: Option<u64>,
    max_response_bytes: Option<u64>,
    max_redirects: Option<u32>,
    /// The statuses that are a success, instead of 200 to 299.
    expect: Option<Vec<u16>>,
}

/// A call that may be made, if its host may be called.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) timeout: Duration,
    pub(super) response_bytes_max: usize,
    pub(super) redirects_max: u32,
    expect: Option<Vec<StatusCode>>,
}

/// Something to be sent somewhere.
pub(crate) struct Posted {
    pub(crate) url: Url,
    pub(crate) media: &'static str,
    pub(crate) body: String,
    pub(crate) bearer: Option<String>,
}

/// One request of a call: the first, or the one after a redirect.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new(input: Input) -> Result<Self, InvalidInput> {
        let mut headers = headers(&input.headers)?;
        let (body, content_type) = body(input.body)?;
        if let Some(content_type) = content_type {
            headers.entry(CONTENT_TYPE).or_insert(content_type);
        }
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        let timeout_ms = at_most(
            "timeoutMs",
            input.timeout_ms.unwrap_or(HTTP_TIMEOUT_MS_DEFAULT),
            HTTP_TIMEOUT_MS_MAX,
        )?;
        let response_bytes_max = input
            .max_response_bytes
            .map_or(Ok(HTTP_RESPONSE_BYTES_MAX as u64), |bytes| {
                at_most("maxResponseBytes", bytes, HTTP_RESPONSE_BYTES_MAX as u64)
            })?;
        let redirects_max = input.max_redirects.unwrap_or(HTTP_REDIRECTS_DEFAULT);
        at_most(
            "maxRedirects",
            u64::from(redirects_max),
            u64::from(HTTP_REDIRECTS_MAX),
        )?;
        Ok(Self {
            request: Request {
                method: method(&input.method)?,
                url: url(&input.url)?,
                headers,
                body,
            },
            timeout: Duration::from_millis(timeout_ms),
            response_bytes_max: usize::try_from(response_bytes_max)
                .unwrap_or(HTTP_RESPONSE_BYTES_MAX),
            redirects_max,
            expect: input.expect.map(statuses).transpose()?,
        })
    }

    /// A call for one document, that follows no redirect. Its URL is one that may be called.
    pub(super) fn get(url: Url, timeout: Duration, response_bytes_max: usize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(DOCUMENTS));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Self {
            request: Request {
                method: Method::GET,
                url,
                headers,
                body: Bytes::new(),
            },
            timeout,
            response_bytes_max,
            redirects_max: 0,
            expect: Some(vec![StatusCode::OK]),
        }
    }

    /// A call that sends a body of this type to a host that the caller names, and takes whatever it answers.
    pub(super) fn post(posted: Posted, timeout: Duration, response_bytes_max: usize) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(DOCUMENTS));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(posted.media));
        let bearer = posted.bearer.map(|token| format!("Bearer {token}"));
        // What no header takes is nobody's token: who answers says so.
        if let Some(Ok(mut bearer)) = bearer.map(HeaderValue::try_from) {
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let all = (200..600).filter_map(|status| StatusCode::from_u16(status).ok());
        Self {
            request: Request {
                method: Method::POST,
                url: posted.url,
                headers,
                body: posted.body.into(),
            },
            timeout,
            response_bytes_max,
            redirects_max: 0,
            expect: Some(all.collect()),
        }
    }

    /// The call with the key by which the other side recognises its repeat, unless it brings one.
    pub(super) fn with_key(mut self, key: &str) -> Result<Self, HandlerError> {
        if !self.request.headers.contains_key(IDEMPOTENCY_KEY) {
            let key = HeaderValue::from_str(key)
                .map_err(|error| HandlerError::permanent(error.to_string()))?;
            self.request.headers.insert(IDEMPOTENCY_KEY, key);
        }
        Ok(self)
    }

    /// Whether a response with this status is what was asked for.
    pub(super) fn is_expected(&self, status: StatusCode) -> bool {
        match &self.expect {
            None => status.is_success(),
            Some(expected) => expected.contains(&status),
        }
    }
}

/// A URL that may be called as far as its text tells.
pub(super) fn checked(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https are called");
    }
    if url.host().is_none() {
        return Err("it names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials have no place in a URL: send a header");
    }
    if url.as_str().len() > HTTP_URL_BYTES_MAX {
        return Err("it is longer than servers take");
    }
    Ok(())
}

fn url(text: &str) -> Result<Url, InvalidInput> {
    let invalid = |message: String| InvalidInput::new("url", message);
    let mut url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    checked(&url).map_err(|message| invalid(message.to_owned()))?;
    // It is for browsers.
    url.set_fragment(None);
    Ok(url)
}

fn method(text: &str) -> Result<Method, InvalidInput> {
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let found = methods.into_iter().find(|method| method.as_str() == text);
    found.ok_or_else(|| {
        let message = "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS";
        InvalidInput::new("method", message)
    })
}

fn headers(input: &BTreeMap<String, String>) -> Result<HeaderMap, InvalidInput> {
    if input.len() > HTTP_HEADERS_MAX {
        let message = format!("a request has at most {HTTP_HEADERS_MAX} headers");
        return Err(InvalidInput::new("headers", message));
    }
    let mut headers = HeaderMap::new();
    for (text, value) in input {
        let invalid = |message: &str| InvalidInput::new(format!("headers.{text}"), message);
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| invalid("this is no name of a header"))?;
        if is_of_connection(&name) {
            return Err(invalid("the connection sets this one itself"));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid("a header's value is one line of text"))?;
        if headers.insert(name, value).is_some() {
            return Err(invalid("it is there in another spelling"));
        }
    }
    Ok(headers)
}

/// Headers about one connection (hop-by-hop), or about where a message begins and ends: a second opinion
/// on those is how requests are smuggled.
fn is_of_connection(name: &HeaderName) -> bool {
    let known = [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HOST,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    known.contains(name)
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}

fn body(body: Option<Value>) -> Result<(Bytes, Option<HeaderValue>), InvalidInput> {
    let (text, content_type) = match body {
        None => return Ok((Bytes::new(), None)),
        Some(Value::String(text)) => (text, "text/plain; charset=utf-8"),
        Some(json) => (json.to_string(), "application/json"),
    };
    at_most("body", text.len() as u64, HTTP_REQUEST_BYTES_MAX as u64)?;
    let content_type = HeaderValue::from_static(content_type);
    Ok((Bytes::from(text), Some(content_type)))
}

fn statuses(codes: Vec<u16>) -> Result<Vec<StatusCode>, InvalidInput> {
    if codes.is_empty() {
        return Err(InvalidInput::new("expect", "name at least one status"));
    }
    let status = |(at, code): (usize, u16)| {
        let status = StatusCode::from_u16(code).ok();
        // Those below are not the end of a response.
        let status = status.filter(|status| (200..600).contains(&status.as_u16()));
        status.ok_or_else(|| InvalidInput::new(format!("expect[{at}]"), "use 200 to 599"))
    };
    codes.into_iter().enumerate().map(status).collect()
}

fn at_most(field: &str, value: u64, max: u64) -> Result<u64, InvalidInput> {
    match value <= max {
        true => Ok(value),
        false => Err(InvalidInput::new(field, format!("{value} is over {max}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(input: Value) -> Result<Call, InvalidInput> {
        Call::new(InvalidInput::read(&input.to_string())?)
    }

    fn with(field: &str, value: Value) -> Value {
        let mut input = json!({ "method": "POST", "url": "https://example.org/a?b#c" });
        input[field] = value;
        input
    }

    #[test]
    fn a_call_has_what_its_input_says() {
        let plain = call(with("body", json!({ "a": 1 }))).unwrap();
        assert_eq!(plain.request.url.as_str(), "https://example.org/a?b");
        assert_eq!(plain.request.body, r#"{"a":1}"#);
        assert_eq!(plain.request.headers[CONTENT_TYPE], "application/json");
        assert_eq!(plain.timeout, Duration::from_secs(30));
        assert!(plain.is_expected(StatusCode::NO_CONTENT));
        assert!(!plain.is_expected(StatusCode::FOUND));
        let headers = json!({ "Content-Type": "a/b", "X-One": "1" });
        let mut input = with("headers", headers);
        input["body"] = json!("text");
        input["expect"] = json!([404]);
        let call = call(input).unwrap();
        assert_eq!(call.request.body, "text");
        assert_eq!(call.request.headers[CONTENT_TYPE], "a/b");
        assert_eq!(call.request.headers["x-one"], "1");
        assert!(call.is_expected(StatusCode::NOT_FOUND));
        assert!(!call.is_expected(StatusCode::OK));
    }

    #[test]
    fn the_key_of_the_input_wins() {
        let call_with = |headers: Value| call(with("headers", headers)).unwrap();
        let ours = call_with(json!({})).with_key("a/b/http").unwrap();
        assert_eq!(ours.request.headers[IDEMPOTENCY_KEY], "a/b/http");
        let theirs = call_with(json!({ "Idempotency-Key": "mine" }));
        let theirs = theirs.with_key("a/b/http").unwrap();
        assert_eq!(theirs.request.headers[IDEMPOTENCY_KEY], "mine");
    }

    #[test]
    fn wrong_inputs_are_refused_by_field() {
        let large = "x".repeat(HTTP_REQUEST_BYTES_MAX + 1);
        let many: BTreeMap<_, _> = (0..=HTTP_HEADERS_MAX)
            .map(|number| (format!("x{number}"), "1"))
            .collect();
        let mut cases = vec![
            (with("method", json!("CONNECT")), "method"),
            (with("method", json!("get")), "method"),
            (with("method", json!("GET /\r\n")), "method"),
            (with("url", json!("ftp://example.org")), "url"),
            (with("url", json!("file:///etc/passwd")), "url"),
            (with("url", json!("/path")), "url"),
            (with("url", json!("http://")), "url"),
            (with("url", json!("http://user@example.org")), "url"),
            (with("url", json!("http://:word@example.org")), "url"),
            (with("url", json!("http://[fe80::1%25eth0]/")), "url"),
            (with("url", json!(format!("http://a/{large}"))), "url"),
            (with("url", json!(7)), "url"),
            (with("body", json!(large)), "body"),
            (
                with("timeoutMs", json!(HTTP_TIMEOUT_MS_MAX + 1)),
                "timeoutMs",
            ),
            (with("timeoutMs", json!(-1)), "timeoutMs"),
            (with("maxResponseBytes", json!(1 << 30)), "maxResponseBytes"),
            (with("maxRedirects", json!(21)), "maxRedirects"),
            (with("expect", json!([])), "expect"),
            (with("expect", json!([200, 101])), "expect[1]"),
            (with("expect", json!([1000])), "expect[0]"),
            (with("headers", json!(many)), "headers"),
            (with("headers", json!({ "a": 1 })), "headers.a"),
            (with("headers", json!({ "A": "1", "a": "2" })), "headers.a"),
            (with("headers", json!({ "a": "1\r\nb: 2" })), "headers.a"),
            (with("headers", json!({ "a b": "1" })), "headers.a b"),
            (with("verb", json!("GET")), "verb"),
        ];
        for name in [
            "Host",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Content-Length",
            "Upgrade",
            "Expect",
        ] {
            let input = with("headers", json!({ name: "x" }));
            let refused = call(input).unwrap_err();
            assert_eq!(refused.field, format!("headers.{name}"));
        }
        cases.push((json!({ "url": "http://a" }), ""));
        for (input, field) in cases {
            let text = input.to_string();
            let refused = call(input).unwrap_err();
            assert_eq!(refused.field, field, "{}", &text[..text.len().min(200)]);
        }
    }
}
