//! The handshake (RFC 6455, 4.2; RFC 7692, 7.1): what a request asks for, and what it is answered. Pure.

use actix_web::http::Method;
use actix_web::http::header::{
    CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure};

use super::form::Form;

/// What both ends agree on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) form: Form,
    /// The credential among the subprotocols.
    pub(super) token: Option<String>,
    /// Whether messages may be compressed.
    pub(super) is_deflating: bool,
    /// The value of Sec-WebSocket-Accept.
    pub(super) accept: String,
}

/// The extension as it is agreed on: nothing is kept between messages.
pub(super) const EXTENSION: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What starts the subprotocol that holds a token.
const TOKEN: &str = "selvedge.token.";

/// RFC 6455, 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is agreed on, or why there is no connection.
pub(super) fn agree(method: &Method, headers: &HeaderMap) -> Result<Agreed, Failure> {
    let says = |name: HeaderName, word: &str| {
        tokens(headers, name).any(|token| token.eq_ignore_ascii_case(word))
    };
    if *method != Method::GET || !says(UPGRADE, "websocket") || !says(CONNECTION, "upgrade") {
        return refused(
            "Upgrade",
            "ask for a WebSocket here: GET with `Upgrade: websocket`",
        );
    }
    if !says(SEC_WEBSOCKET_VERSION, "13") {
        return refused("Sec-WebSocket-Version", "the version spoken is 13");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let key = key.and_then(|key| key.to_str().ok()).unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return refused("Sec-WebSocket-Key", "the key is 16 bytes in base64");
    }
    let Some(form) = form(headers) else {
        return refused(
            "Sec-WebSocket-Protocol",
            "offer one of the subprotocols selvedge.v1.bin and selvedge.v1.json",
        );
    };
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    Ok(Agreed {
        form,
        token: token(headers)?,
        is_deflating: offers_deflate(headers),
        accept: STANDARD.encode(accept),
    })
}

/// The first that the client names.
fn form(headers: &HeaderMap) -> Option<Form> {
    let forms = [Form::Binary, Form::Json];
    tokens(headers, SEC_WEBSOCKET_PROTOCOL).find_map(|offered| {
        let named = |form: &Form| form.subprotocol() == offered;
        forms.into_iter().find(named)
    })
}

fn token(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut offered = tokens(headers, SEC_WEBSOCKET_PROTOCOL);
    let Some(encoded) = offered.find_map(|offered| offered.strip_prefix(TOKEN)) else {
        return Ok(None);
    };
    let token = URL_SAFE_NO_PAD.decode(encoded).ok();
    match token.and_then(|token| String::from_utf8(token).ok()) {
        Some(token) if token.len() <= TOKEN_BYTES_MAX => Ok(Some(token)),
        Some(_) | None => refused(
            "Sec-WebSocket-Protocol",
            "what follows selvedge.token. is the token in base64url without padding, of at most 8,192 bytes",
        ),
    }
}

/// Whether there is an offer that can be taken: only one that wants a smaller window of the server cannot.
fn offers_deflate(headers: &HeaderMap) -> bool {
    tokens(headers, SEC_WEBSOCKET_EXTENSIONS).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next() == Some("permessage-deflate")
            && parts.all(|parameter| {
                let name = parameter.split('=').next().unwrap_or_default().trim_end();
                matches!(
                    name,
                    "server_no_context_takeover"
                        | "client_no_context_takeover"
                        | "client_max_window_bits"
                )
            })
    })
}

/// The parts of a header that is a list, which may be there more than once.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

fn refused<T>(header: &str, message: &str) -> Result<T, Failure> {
    Err(Failure::field(ErrorCode::Malformed, header, message))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn request(more: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (UPGRADE, "websocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in more {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn agreed(more: &[(HeaderName, &str)]) -> Agreed {
        agree(&Method::GET, &request(more)).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let agreed = agreed(&[(SEC_WEBSOCKET_PROTOCOL, "chat, selvedge.v1.json")]);
        assert_eq!(agreed.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(agreed.form, Form::Json);
        assert_eq!((agreed.token, agreed.is_deflating), (None, false));
    }

    #[test]
    fn the_client_s_first_choice_is_taken_and_a_token_is_none() {
        let agreed = agreed(&[
            (SEC_WEBSOCKET_PROTOCOL, "selvedge.token.c2VjcmV0"),
            (SEC_WEBSOCKET_PROTOCOL, "selvedge.v1.bin,selvedge.v1.json"),
        ]);
        assert_eq!(agreed.form, Form::Binary);
        assert_eq!(agreed.token.as_deref(), Some("secret"));
    }

    #[test]
    fn offers_of_compression_are_taken_that_can_be() {
        for (offer, taken) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits", true),
            (
                "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
                true,
            ),
            ("permessage-deflate; server_max_window_bits=10", false),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                true,
            ),
            ("permessage-deflate; unknown", false),
            ("x-webkit-deflate-frame", false),
        ] {
            let agreed = agreed(&[
                (SEC_WEBSOCKET_PROTOCOL, "selvedge.v1.bin"),
                (SEC_WEBSOCKET_EXTENSIONS, offer),
            ]);
            assert_eq!(agreed.is_deflating, taken, "{offer}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let protocol = (SEC_WEBSOCKET_PROTOCOL, "selvedge.v1.bin");
        let without = |name: HeaderName| {
            let mut headers = request(std::slice::from_ref(&protocol));
            headers.remove(name);
            agree(&Method::GET, &headers)
        };
        for name in [UPGRADE, CONNECTION] {
            assert_eq!(without(name).unwrap_err().field.as_deref(), Some("Upgrade"));
        }
        for (name, field) in [
            (SEC_WEBSOCKET_VERSION, "Sec-WebSocket-Version"),
            (SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key"),
            (SEC_WEBSOCKET_PROTOCOL, "Sec-WebSocket-Protocol"),
        ] {
            assert_eq!(without(name).unwrap_err().field.as_deref(), Some(field));
        }
        let post = agree(&Method::POST, &request(&[protocol.clone()]));
        assert!(post.is_err());
        for token in ["selvedge.token.*", "selvedge.token.c2VjcmV0=="] {
            let headers = request(&[protocol.clone(), (SEC_WEBSOCKET_PROTOCOL, token)]);
            let refused = agree(&Method::GET, &headers).unwrap_err();
            assert!(refused.message.contains("base64url"), "{refused}");
        }
    }
}
