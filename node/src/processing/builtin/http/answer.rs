//! The result of an `http` operation.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use selvedge_protocol::limits::HTTP_RESULT_BYTES_MAX;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::processing::builtin::http::error::CallError;

/// A response, as the operation's result shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    status: u16,
    /// By lower-case name; the values of a repeated one are joined by commas.
    headers: BTreeMap<String, String>,
    body: String,
    /// `base64`, of a body that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_encoding: Option<&'static str>,
    /// Where the answer came from, after redirects.
    url: String,
}

impl Answer {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: Bytes, url: &Url) -> Self {
        let mut by_name = BTreeMap::<String, String>::new();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            by_name
                .entry(name.as_str().to_owned())
                .and_modify(|values| {
                    values.push_str(", ");
                    values.push_str(&value);
                })
                .or_insert_with(|| value.to_string());
        }
        let (body, body_encoding) = match String::from_utf8(body.into()) {
            Ok(text) => (text, None),
            Err(error) => (STANDARD.encode(error.as_bytes()), Some("base64")),
        };
        Self {
            status: status.as_u16(),
            headers: by_name,
            body,
            body_encoding,
            url: url.as_str().to_owned(),
        }
    }

    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    /// A header, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body, if it is text.
    pub(super) fn into_text(self) -> Option<String> {
        match self.body_encoding {
            None => Some(self.body),
            Some(_) => None,
        }
    }

    /// The result, if there is room for it in an operation.
    pub(super) fn into_value(self) -> Result<Value, CallError> {
        // Text of many escapes is longer than it looks.
        let length = serde_json::to_string(&self).map_or(usize::MAX, |text| text.len());
        match serde_json::to_value(&self) {
            Ok(value) if length <= HTTP_RESULT_BYTES_MAX => Ok(value),
            Ok(_) | Err(_) => Err(CallError::ResultTooLarge),
        }
    }
}
