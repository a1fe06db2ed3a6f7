//! A token of a foreign issuer verified, its keys at hand: once for each session, and whenever it is shown anew.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench in which this fails has failed")]

use std::io::Write;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use selvedge_cluster::Clock;
use selvedge_node::identity::jwt::{IssuerConfig, IssuerTable, Issuers};
use serde_json::{Value, json};

const NOW_S: u64 = 2_000_000_000;

/// Signs what is given to it.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn ed25519() -> (Value, Sign) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "x": encode(pair.public_key()) });
    (jwk, Box::new(move |text| pair.sign(text).as_ref().to_vec()))
}

fn p256() -> (Value, Sign) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "ES256", "x": x, "y": y });
    let sign = move |text: &[u8]| {
        pair.sign(&SystemRandom::new(), text)
            .unwrap()
            .as_ref()
            .to_vec()
    };
    (jwk, Box::new(sign))
}

fn rsa() -> (Value, Sign) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // The first integer of a sequence in DER.
    let n = encode(&pair.public_key().as_ref()[9..265]);
    let jwk = json!({ "kty": "RSA", "kid": "RS256", "n": n, "e": "AQAB" });
    let sign = move |text: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text,
            &mut signature,
        )
        .unwrap();
        signature
    };
    (jwk, Box::new(sign))
}

/// A token with about the claims that such tokens have.
fn token(algorithm: &str, sign: &Sign) -> String {
    let header = json!({ "alg": algorithm, "kid": algorithm, "typ": "at+jwt" }).to_string();
    let claims = json!({
        "iss": "issuer", "aud": ["account", "selvedge"], "sub": "f3a1b2c4-5d6e-4f70-8192-a3b4c5d6e7f8",
        "exp": NOW_S + 300, "iat": NOW_S, "jti": "0c9ad1c2-7a0b-4c64-9d3b-1f2e3d4c5b6a",
        "client_id": "app", "scope": "openid profile email", "org": "acme",
        "realm_access": { "roles": ["offline_access", "uma_authorization", "staff", "ops"] },
    });
    let signed = format!("{}.{}", encode(header), encode(claims.to_string()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

fn tokens(criterion: &mut Criterion) {
    let signers = [("EdDSA", ed25519()), ("ES256", p256()), ("RS256", rsa())];
    let keys: Vec<_> = signers.iter().map(|(_, (jwk, _))| jwk).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(json!({ "keys": keys }).to_string().as_bytes())
        .unwrap();
    let table = json!({
        "issuer": "issuer", "audience": "selvedge", "jwks": file.path(), "tenant_claim": "org",
        "roles_claim": ["realm_access", "roles"], "roles": { "staff": "viewer", "ops": "operator" },
    });
    let table: IssuerTable = serde_json::from_value(table).unwrap();
    let issuers = Issuers::new(
        IssuerConfig::all(vec![table]).unwrap(),
        None,
        &Clock::system(),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let verify = |token: &str| runtime.block_on(issuers.verify(token, NOW_S * 1_000));
    for (algorithm, (_, sign)) in &signers {
        let token = token(algorithm, sign);
        assert_eq!(verify(&token).unwrap().roles, ["operator", "viewer"]);
        criterion.bench_function(algorithm, |bencher| {
            bencher.iter(|| verify(&token).unwrap());
        });
        // What a flood of junk costs: a signature that is wrong in its last byte, and an issuer nobody knows.
        let at = token.len() - 4;
        let swap = if token.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        let forged = format!("{}{swap}{}", &token[..at], &token[at + 1..]);
        criterion.bench_function(&format!("{algorithm}, forged"), |bencher| {
            bencher.iter(|| verify(&forged).unwrap_err());
        });
    }
    let stranger = format!(
        "{}.{}.AAAA",
        encode(r#"{"alg":"EdDSA"}"#),
        encode(r#"{"iss":"stranger"}"#)
    );
    criterion.bench_function("a stranger", |bencher| {
        bencher.iter(|| verify(&stranger).unwrap_err());
    });
}

criterion_group!(benches, tokens);
criterion_main!(benches);
