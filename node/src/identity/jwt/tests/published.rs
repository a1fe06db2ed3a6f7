//! Sets of keys as issuers publish them, and the test vectors of the RFCs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_protocol::limits::{KEY_SET_KEYS_MAX, KEY_SET_VALUES_MAX};
use serde_json::{Value, json};

use crate::identity::jwt::Fault;
use crate::identity::jwt::key::Key;
use crate::identity::jwt::key_set::{KeySet, KeySetError};
use crate::identity::jwt::tests::signer::{ALGORITHMS, Signer, encode, modulus};
use crate::identity::jwt::token::Token;

fn key(jwk: &Value) -> Result<Key, &'static str> {
    Key::read(jwk.as_object().unwrap())
}

fn set(keys: &[Value]) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

/// Whether the signature of a JWS in compact form is of this key.
fn verifies(jwk: &Value, jws: &str) -> bool {
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = key(jwk).unwrap();
    // And not by chance.
    let mut other = signature.clone();
    other[7] ^= 1;
    assert!(!key.verifies(signed.as_bytes(), &other));
    assert!(!key.verifies(&signed.as_bytes()[1..], &signature));
    key.verifies(signed.as_bytes(), &signature)
}

/// RFC 7515, A.2.
#[test]
fn the_vector_of_rs256_verifies() {
    let n = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql",
        "L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs",
        "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud",
        "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    );
    let jws = concat!(
        "eyJhbGciOiJSUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG",
        "bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K",
        "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6",
        "LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    assert!(verifies(&json!({ "kty": "RSA", "n": n, "e": "AQAB" }), jws));
    assert_eq!(Token::parse(jws).unwrap().claims["iss"], "joe");
}

/// RFC 7515, A.3.
#[test]
fn the_vector_of_es256_verifies() {
    let jwk = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let jws = concat!(
        "eyJhbGciOiJFUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    assert!(verifies(&jwk, jws));
}

/// RFC 8037, A.4.
#[test]
fn the_vector_of_eddsa_verifies() {
    let jwk = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let jws = concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    assert!(verifies(&jwk, jws));
    // It signs a text, which is no claims.
    assert_eq!(Token::parse(jws).unwrap_err(), Fault::ClaimsJson);
}

/// RFC 7515, A.5, and RFC 7519, 6.1: no key is for it, whatever it is called.
#[test]
fn the_vector_without_a_signature_is_of_no_key() {
    let jws = concat!(
        "eyJhbGciOiJub25lIn0.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
    );
    let token = Token::parse(jws).unwrap();
    for signer in ALGORITHMS.map(Signer::new) {
        let key = key(&signer.jwk("1")).unwrap();
        assert!(!key.is_for(&token.header.algorithm));
        assert!(!key.verifies(token.signed, &token.signature));
    }
}

#[test]
fn keys_that_are_not_for_this_are_left_out() {
    let [ed25519, p256, rsa] = ALGORITHMS.map(|algorithm| Signer::new(algorithm).jwk("1"));
    let with = |jwk: &Value, member: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[member] = value;
        jwk
    };
    assert!(key(&with(&ed25519, "alg", json!("Ed25519"))).is_ok());
    assert!(key(&with(&rsa, "key_ops", json!(["verify"]))).is_ok());
    for jwk in [
        json!({}),
        json!({ "kty": "oct", "k": "c2VjcmV0" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": ed25519["x"] }),
        json!({ "kty": "OKP", "crv": "P-256", "x": ed25519["x"] }),
        with(&p256, "crv", json!("P-384")),
        with(&p256, "crv", json!("secp256k1")),
        with(&p256, "alg", json!("ES384")),
        with(&rsa, "alg", json!("RS512")),
        with(&rsa, "alg", json!("PS256")),
        with(&rsa, "alg", json!("RSA-OAEP")),
        with(&rsa, "alg", json!("HS256")),
        with(&rsa, "alg", json!(null)),
        with(&rsa, "use", json!("enc")),
        with(&rsa, "key_ops", json!(["encrypt"])),
        with(&rsa, "key_ops", json!("verify")),
        // Published, they are secrets no more.
        with(&p256, "d", json!("AAAA")),
        with(&rsa, "k", json!("AAAA")),
    ] {
        assert!(key(&jwk).is_err(), "{jwk}");
    }
}

#[test]
fn keys_that_are_none_are_left_out() {
    let [ed25519, p256, rsa] = ALGORITHMS.map(|algorithm| Signer::new(algorithm).jwk("1"));
    let with = |jwk: &Value, member: &str, value: &str| {
        let mut jwk = jwk.clone();
        jwk[member] = json!(value);
        key(&jwk).is_ok()
    };
    let text = |jwk: &Value, member: &str| jwk[member].as_str().unwrap().to_owned();
    let (short, long) = ("A".repeat(42), "A".repeat(44));
    for member in ["x", "y"] {
        for value in ["", "AQAB", "*", short.as_str(), long.as_str()] {
            assert!(!with(&p256, member, value), "{member} {value}");
            assert!(
                member == "y" || !with(&ed25519, member, value),
                "{member} {value}"
            );
        }
    }
    // Not on the curve.
    assert!(!with(&p256, "y", &text(&p256, "x")));
    assert!(!with(&p256, "x", &format!("{}=", text(&p256, "x"))));
    // A bit too short, with zeros in front, and far too long.
    let mut bits = modulus().to_vec();
    bits[0] &= 0x7f;
    assert!(!with(&rsa, "n", &encode(&bits)));
    assert!(!with(&rsa, "n", &encode([&[0], modulus()].concat())));
    assert!(!with(&rsa, "n", &encode(vec![0xff; 128])));
    assert!(!with(&rsa, "n", &encode(vec![0xff; 1_025])));
    assert!(!with(&rsa, "n", ""));
    assert!(!with(&rsa, "e", ""));
}

#[test]
fn weak_exponents_verify_nothing() {
    let mut jwk = Signer::new("RS256").jwk("1");
    for e in ["AQ", "Ag", "AAEAAQ"] {
        jwk["e"] = json!(e);
        // With e = 1 the signature would be the padded hash itself.
        let Ok(key) = key(&jwk) else { continue };
        assert!(!key.verifies(b"text", &pkcs1(b"text")), "{e}");
    }
}

/// What RS256 signs: the hash of a text with its padding.
fn pkcs1(text: &[u8]) -> Vec<u8> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text);
    let of_sha256 = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
        0x05, 0x00, 0x04, 0x20,
    ];
    let end = [&[0], of_sha256.as_slice(), hash.as_ref()].concat();
    let mut padded = vec![0xff; 256 - end.len()];
    padded[..2].copy_from_slice(&[0, 1]);
    [padded, end].concat()
}

#[test]
fn a_set_has_the_keys_that_are_taken() {
    let [one, other] = ["EdDSA", "ES256"].map(Signer::new);
    let foreign = json!({ "kty": "oct", "kid": "1", "k": "AAAA" });
    let found = set(&[foreign.clone(), one.jwk("1"), other.jwk("2")]).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.find(Some("1")).unwrap().is_for("EdDSA"));
    assert!(found.find(Some("2")).unwrap().is_for("ES256"));
    assert!(found.find(Some("3")).is_none() && found.find(None).is_none());
    let only = set(&[foreign, one.jwk("1")]).unwrap();
    assert!(only.find(None).is_some() && only.find(Some("")).is_none());
    assert_eq!(set(&[]).unwrap().len(), 0);
    // Keys without an id are not two of one id, and no token can name them.
    let mut nameless = [one.jwk("1"), other.jwk("2")];
    for jwk in &mut nameless {
        jwk.as_object_mut().unwrap().remove("kid");
    }
    assert!(set(&nameless).unwrap().find(None).is_none());
    assert!(set(&nameless[..1]).unwrap().find(None).is_some());
}

#[test]
fn what_is_no_set_is_refused_as_a_whole() {
    let jwk = Signer::new("EdDSA").jwk("1");
    let twice = set(&[jwk, Signer::new("ES256").jwk("1")]).unwrap_err();
    assert!(matches!(twice, KeySetError::Twice));
    let many: Vec<_> = (0..=KEY_SET_KEYS_MAX).map(|_| json!({})).collect();
    assert!(matches!(set(&many).unwrap_err(), KeySetError::TooMany));
    assert_eq!(set(&many[1..]).unwrap().len(), 0);
    for text in [
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[1]}"#,
        r#"{"keys":null}"#,
    ] {
        let refused = KeySet::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(refused, KeySetError::NoList), "{text}");
    }
    let wide = json!({ "keys": [], "x": vec![1; KEY_SET_VALUES_MAX] }).to_string();
    for text in [
        "",
        "<html>",
        r#"[{"keys":[]}]"#,
        r#"{"keys":[],"keys":[]}"#,
        &wide,
    ] {
        let refused = KeySet::parse(text.as_bytes()).unwrap_err();
        assert!(
            matches!(refused, KeySetError::Json(_)),
            "{}",
            &text[..text.len().min(40)]
        );
    }
}
