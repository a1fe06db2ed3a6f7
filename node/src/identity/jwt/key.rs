//! A public key of an issuer, with the one algorithm that it is for. `key_set` reads keys from what an issuer
//! publishes; nothing else makes one, so no secret is ever taken for a key.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A key that verifies signatures.
pub(super) struct Key {
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

/// How a key signs. Of each there is one way, so the type of a key says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSA of 2,048 bits and more, PKCS #1 v1.5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// Whether this is a name of it. Ed25519 has two (RFC 9864).
    fn is_named(self, name: &str) -> bool {
        match self {
            Self::EdDsa => matches!(name, "EdDSA" | "Ed25519"),
            Self::Es256 => name == "ES256",
            Self::Rs256 => name == "RS256",
        }
    }
}

impl Key {
    /// The key of a JWK (RFC 7517), or why it is left out.
    pub(super) fn read(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        if jwk.contains_key("d") || jwk.contains_key("k") {
            return Err("it is a secret, and published it is none any more");
        }
        let key = match (text(jwk, "kty")?, text(jwk, "crv").ok()) {
            ("OKP", Some("Ed25519")) => Self::ed25519(jwk)?,
            ("EC", Some("P-256")) => Self::p256(jwk)?,
            ("RSA", _) => Self::rsa(jwk)?,
            _ => return Err("its type is not taken; use Ed25519, P-256 or RSA"),
        };
        let is_for_it = |name: &Value| name.as_str().is_some_and(|name| key.is_for(name));
        if !jwk.get("alg").is_none_or(is_for_it) {
            return Err("it is for another algorithm; use EdDSA, ES256 or RS256");
        }
        if !jwk.get("use").is_none_or(|purpose| purpose == "sig") {
            return Err("it is not for signatures");
        }
        let verifies = |purposes: &Value| {
            let mut purposes = purposes.as_array().into_iter().flatten();
            purposes.any(|purpose| purpose == "verify")
        };
        if !jwk.get("key_ops").is_none_or(verifies) {
            return Err("it is not for verifying");
        }
        Ok(key)
    }

    fn ed25519(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let public = ParsedPublicKey::new(&ED25519, bytes(jwk, "x")?);
        Ok(Self {
            algorithm: Algorithm::EdDsa,
            public: public.map_err(|_| "its x is no key of Ed25519")?,
        })
    }

    fn p256(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
        if x.len() != 32 || y.len() != 32 {
            return Err("its x and y are not of 32 bytes");
        }
        // A point, not compressed.
        let point = [[4].as_slice(), &x, &y].concat();
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        Ok(Self {
            algorithm: Algorithm::Es256,
            public: public.map_err(|_| "its x and y are no point of P-256")?,
        })
    }

    fn rsa(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
        // Checked here as well as when it verifies, so that the log says why it is left out.
        let bits = n
            .first()
            .map_or(0, |first| 8 * n.len() - first.leading_zeros() as usize);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err("its n has not 2,048 to 8,192 bits");
        }
        let public = RsaPublicKeyComponents { n, e };
        let public = public.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
        Ok(Self {
            algorithm: Algorithm::Rs256,
            public: public.map_err(|_| "its n and e are no key of RSA")?,
        })
    }

    /// Whether a token that names this algorithm may be signed by this key.
    pub(super) fn is_for(&self, algorithm: &str) -> bool {
        self.algorithm.is_named(algorithm)
    }

    /// Whether the signature over these bytes is of this key.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(signed, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.algorithm)
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<&'a str, &'static str> {
    let value = jwk.get(member).and_then(Value::as_str);
    value.ok_or("a member that its type has is missing")
}

fn bytes(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, &'static str> {
    let decoded = URL_SAFE_NO_PAD.decode(text(jwk, member)?);
    decoded.map_err(|_| "a member is not base64url without padding")
}

/// Below, it can be broken; above, a signature costs a millisecond.
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;
