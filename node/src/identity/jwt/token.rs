//! A token taken apart: a JWS in compact form (RFC 7515, 7.1) whose payload is claims. Nothing of it is believed
//! here; `issuers` has it verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_protocol::limits::{KEY_ID_BYTES_MAX, TOKEN_BYTES_MAX, TOKEN_VALUES_MAX};
use serde_json::{Map, Value};

use crate::identity::jwt::json;
use crate::identity::jwt::refused::Fault;

/// What a token says of itself.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What its signature is over: header and payload as they came.
    pub(super) signed: &'a [u8],
    pub(super) header: Header,
    pub(super) claims: Map<String, Value>,
    pub(super) signature: Vec<u8>,
}

/// The members of its header that matter. `jwk`, `jku`, `x5c` and `x5u` do not: keys come from the issuer alone.
#[derive(Debug)]
pub(super) struct Header {
    /// Only compared with the algorithm that the key has.
    pub(super) algorithm: String,
    /// Only looked for among the issuer's keys.
    pub(super) key_id: Option<String>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        // One part too many is part of the signature, whose alphabet has no dot.
        let (header, rest) = text.split_once('.').ok_or(Fault::Form)?;
        let (claims, signature) = rest.split_once('.').ok_or(Fault::Form)?;
        let signed = &text[..header.len() + 1 + claims.len()];
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Form);
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        let header = json::object(&header, TOKEN_VALUES_MAX).map_err(|_| Fault::HeaderJson)?;
        let header = Header::read(&header)?;
        let claims = json::object(&claims, TOKEN_VALUES_MAX).map_err(|_| Fault::ClaimsJson)?;
        Ok(Self {
            signed: signed.as_bytes(),
            header,
            claims,
            signature,
        })
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, Fault> {
        // No extension is known here, so none that has to be understood is. `b64` would change what is signed.
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err(Fault::Critical);
        }
        if !members.get("typ").is_none_or(is_access_token) {
            return Err(Fault::Type);
        }
        let algorithm = members.get("alg").and_then(Value::as_str);
        Ok(Self {
            algorithm: algorithm.ok_or(Fault::NoAlgorithm)?.to_owned(),
            key_id: key_id(members.get("kid"))?,
        })
    }
}

/// Whether a token of this type may be one for access: by RFC 9068, or without a type of its own.
fn is_access_token(value: &Value) -> bool {
    let Some(name) = value.as_str() else {
        return false;
    };
    // A media type: of any case, and `application/` may be left out (RFC 7515, 4.1.9).
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("application/").unwrap_or(&name);
    matches!(name, "jwt" | "at+jwt")
}

/// The id of a key, in a token or in a set of keys.
pub(super) fn key_id(value: Option<&Value>) -> Result<Option<String>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Ok(Some(id.clone())),
        Some(_) => Err(Fault::KeyId),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.AAAA", encode(header), encode(claims))
    }

    fn header(text: &str) -> Result<Header, Fault> {
        Token::parse(&token(text, "{}")).map(|token| token.header)
    }

    #[test]
    fn its_parts_are_what_was_encoded() {
        let text = token(r#"{"alg":"ES256","kid":"1"}"#, r#"{"sub":"a"}"#);
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.signed, text.rsplit_once('.').unwrap().0.as_bytes());
        assert_eq!(token.header.algorithm, "ES256");
        assert_eq!(token.header.key_id.as_deref(), Some("1"));
        assert_eq!(token.claims["sub"], "a");
        assert_eq!(token.signature, [0, 0, 0]);
    }

    #[test]
    fn another_form_is_none() {
        let whole = token(r#"{"alg":"ES256"}"#, "{}");
        let (signed, _) = whole.rsplit_once('.').unwrap();
        for text in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            signed.to_owned(),
            format!("{whole}.AAAA"),
            format!("{whole}.AAAA.AAAA"),
            format!("{whole}="),
            format!("{whole} "),
            format!("\n{whole}"),
            // Bits that no byte takes: the same signature in another spelling.
            format!("{signed}.AB"),
            format!("{signed}.A"),
            format!("{signed}.A+/A"),
            format!("{{\"payload\":\"{signed}\"}}"),
        ] {
            let fault = Token::parse(&text).unwrap_err();
            assert!(
                matches!(fault, Fault::Form | Fault::HeaderJson),
                "{text}: {fault:?}"
            );
        }
        // No signature at all is one that no key makes.
        assert!(
            Token::parse(&format!("{signed}."))
                .unwrap()
                .signature
                .is_empty()
        );
    }

    #[test]
    fn headers_are_refused_for_what_they_say() {
        for (text, fault) in [
            ("{}", Fault::NoAlgorithm),
            (r#"{"alg":null}"#, Fault::NoAlgorithm),
            (r#"{"alg":["ES256"]}"#, Fault::NoAlgorithm),
            (r#"{"alg":"ES256","alg":"ES256"}"#, Fault::HeaderJson),
            (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, Fault::Critical),
            (r#"{"alg":"ES256","crit":[]}"#, Fault::Critical),
            (r#"{"alg":"ES256","b64":false}"#, Fault::Critical),
            (r#"{"alg":"ES256","typ":"logout+jwt"}"#, Fault::Type),
            (r#"{"alg":"ES256","typ":"dpop+jwt"}"#, Fault::Type),
            (r#"{"alg":"ES256","typ":"JOSE"}"#, Fault::Type),
            (r#"{"alg":"ES256","typ":""}"#, Fault::Type),
            (r#"{"alg":"ES256","typ":7}"#, Fault::Type),
            (r#"{"alg":"ES256","kid":7}"#, Fault::KeyId),
            ("[]", Fault::HeaderJson),
        ] {
            assert_eq!(header(text).unwrap_err(), fault, "{text}");
        }
        for name in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
            assert!(header(&format!(r#"{{"alg":"a","typ":"{name}"}}"#)).is_ok());
        }
        let kid = |length: usize| format!(r#"{{"alg":"a","kid":"{}"}}"#, "k".repeat(length));
        assert!(header(&kid(KEY_ID_BYTES_MAX)).is_ok());
        assert_eq!(
            header(&kid(KEY_ID_BYTES_MAX + 1)).unwrap_err(),
            Fault::KeyId
        );
    }

    #[test]
    fn the_longest_token_is_taken_and_no_longer_one() {
        let parsed = |length: usize| {
            let filled = |fill: usize| {
                let fill = "x".repeat(fill);
                token(r#"{"alg":"a"}"#, &format!(r#"{{"a":"{fill}"}}"#))
            };
            // Four characters of base64 hold three of the text.
            let mut text = filled((length - filled(0).len()) / 4 * 3);
            text.push_str(&"A".repeat((length - text.len()) / 4 * 4));
            (text.len(), Token::parse(&text).map(|_| ()))
        };
        let (length, taken) = parsed(TOKEN_BYTES_MAX);
        assert!(
            length > TOKEN_BYTES_MAX - 8 && taken.is_ok(),
            "{length} {taken:?}"
        );
        assert_eq!(parsed(TOKEN_BYTES_MAX + 8).1, Err(Fault::TooLong));
        assert_eq!(
            Token::parse(&"A".repeat(1 << 24)).unwrap_err(),
            Fault::TooLong
        );
    }

    proptest! {
        #[test]
        fn no_text_does_harm(text in "\\PC{0,200}") {
            let _ = Token::parse(&text);
        }

        #[test]
        fn no_parts_do_harm(header in any::<Vec<u8>>(), claims in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
            let [header, claims, signature] =
                [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part));
            let text = [header, claims, signature].join(".");
            prop_assert!(Token::parse(&text).is_err());
        }
    }
}
