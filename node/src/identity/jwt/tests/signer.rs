//! Keys that sign, and the tokens they sign.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A private key.
pub(super) enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(&'static RsaKeyPair),
}

/// To make one takes long.
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// Each algorithm that is taken.
pub(super) const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

impl Signer {
    /// A new key of this algorithm; that of RSA is always the same.
    pub(super) fn new(algorithm: &str) -> Self {
        match algorithm {
            "EdDSA" => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            "ES256" => {
                Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
            }
            "RS256" => Self::Rsa(&RSA),
            other => panic!("{other} is no algorithm of ours"),
        }
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    /// Its public half, as issuers publish it.
    pub(super) fn jwk(&self, id: &str) -> Value {
        let mut jwk = match self {
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) })
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Self::Rsa(_) => json!({ "kty": "RSA", "n": encode(modulus()), "e": "AQAB" }),
        };
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    pub(super) fn sign(&self, signed: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(pair) => pair.sign(signed).as_ref().to_vec(),
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), signed).unwrap();
                signature.as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A token with the header that such tokens have.
    pub(super) fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "at+jwt", "kid": id });
        self.headed(&header, claims)
    }

    /// A token with any header.
    pub(super) fn headed(&self, header: &Value, claims: &Value) -> String {
        self.texts(&header.to_string(), &claims.to_string())
    }

    /// A token of any texts.
    pub(super) fn texts(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The modulus of the one RSA key.
pub(super) fn modulus() -> &'static [u8] {
    // A sequence of two integers in DER: of 2,048 bits the first begins at the ninth byte, and e is 65,537.
    let der = RSA.public_key().as_ref();
    assert_eq!((der.len(), &der[265..]), (270, [2, 3, 1, 0, 1].as_slice()));
    &der[9..265]
}
