//! Requests of clients as they come, and where each of them is answered.

use super::*;
use crate::identity::ClientTable;

const APP: &str = "https://app.example/back?from=us";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const ISSUER: &str = "https://node.example";

fn clients() -> Clients {
    let table = ClientTable {
        id: "app".to_owned(),
        name: Some("The app".to_owned()),
        redirect_uris: vec![APP.to_owned()],
    };
    Clients::checked(vec![table], None).unwrap()
}

fn parse(query: &str) -> Result<Asked, NotAsked> {
    let clients = clients();
    let known = Known {
        clients: &clients,
        is_console: |uri: &str| uri == "https://node.example/",
    };
    Asked::parse(&Members::parse(query.as_bytes()), &known)
}

/// A good request with some members in place of their like; an empty one is left out.
fn query(others: &[(&str, &str)]) -> String {
    let mut members = vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", APP),
        ("state", "s & t"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    members.retain(|(name, _)| others.iter().all(|(other, _)| other != name));
    members.extend(others.iter().filter(|(_, value)| !value.is_empty()));
    Serializer::new(String::new())
        .extend_pairs(members)
        .finish()
}

fn refused(others: &[(&str, &str)]) -> (&'static str, String) {
    match parse(&query(others)) {
        Err(NotAsked::Back(back, error, what)) => (error, back.with_error(error, what, ISSUER)),
        other => panic!("{others:?}: {other:?}"),
    }
}

#[test]
fn a_good_request_is_what_it_says() {
    let asked = parse(&query(&[("scope", "profile openid admin"), ("nonce", "n")])).unwrap();
    assert_eq!((&*asked.client, &*asked.title), ("app", "The app"));
    assert_eq!(asked.tenant, Tenant::default_tenant());
    let nonce = Some("n".to_owned());
    assert_eq!(asked.code().id_token, IdToken::Asked { nonce });
    assert_eq!(
        asked.back().with_code("c+d", ISSUER),
        "https://app.example/back?from=us&code=c%2Bd&state=s+%26+t&iss=https%3A%2F%2Fnode.example"
    );
    // Neither is needed.
    let bare = parse(&query(&[("state", ""), ("tenant", "acme")])).unwrap();
    assert_eq!(bare.code().id_token, IdToken::NotAsked);
    assert_eq!(bare.tenant.as_str(), "acme");
    assert!(!bare.back().with_code("c", ISSUER).contains("state"));
    // What nobody knows is let be (RFC 6749, 3.1).
    assert!(parse(&query(&[("ui_locales", "de"), ("claims", "{}")])).is_ok());
    let console = [
        ("client_id", "console"),
        ("redirect_uri", "https://node.example/"),
    ];
    assert!(parse(&query(&console)).is_ok());
}

#[test]
fn who_is_not_known_is_sent_nowhere() {
    for others in [
        [("client_id", ""), ("x", "")],
        [("client_id", "APP"), ("x", "")],
        [("client_id", "console"), ("x", "")],
        [("redirect_uri", ""), ("x", "")],
        [("redirect_uri", "https://app.example/back"), ("x", "")],
        [("redirect_uri", "https://node.example/"), ("x", "")],
        [
            ("redirect_uri", "https://evil.example/"),
            ("response_type", "token"),
        ],
    ] {
        let refused = parse(&query(&others)).unwrap_err();
        assert!(
            matches!(refused, NotAsked::Nowhere(_)),
            "{others:?} {refused:?}"
        );
    }
    // Of two the first is not taken for the right one where it is not, nor the second.
    let twice = format!("redirect_uri=https%3A%2F%2Fevil.example%2F&{}", query(&[]));
    assert!(matches!(parse(&twice), Err(NotAsked::Nowhere(_))));
}

#[test]
fn what_is_wrong_with_the_rest_the_client_is_told() {
    let long = "x".repeat(2_000);
    for (others, error) in [
        ([("response_type", ""), ("x", "")], "invalid_request"),
        (
            [("response_type", "token"), ("x", "")],
            "unsupported_response_type",
        ),
        (
            [("response_type", "code id_token"), ("x", "")],
            "unsupported_response_type",
        ),
        (
            [("response_mode", "fragment"), ("x", "")],
            "invalid_request",
        ),
        (
            [("code_challenge", ""), ("code_challenge_method", "")],
            "invalid_request",
        ),
        ([("code_challenge", ""), ("x", "")], "invalid_request"),
        ([("code_challenge", "short"), ("x", "")], "invalid_request"),
        // The method that is left out is `plain`.
        (
            [("code_challenge_method", ""), ("x", "")],
            "invalid_request",
        ),
        (
            [("code_challenge_method", "plain"), ("x", "")],
            "invalid_request",
        ),
        (
            [("code_challenge_method", "s256"), ("x", "")],
            "invalid_request",
        ),
        ([("tenant", "A b"), ("x", "")], "invalid_request"),
        ([("nonce", long.as_str()), ("x", "")], "invalid_request"),
        ([("scope", long.as_str()), ("x", "")], "invalid_scope"),
        ([("prompt", "login none"), ("x", "")], "login_required"),
        ([("request", "e30"), ("x", "")], "request_not_supported"),
        (
            [("request_uri", "https://evil.example/"), ("x", "")],
            "request_uri_not_supported",
        ),
    ] {
        let (told, location) = refused(&others);
        assert_eq!(told, error, "{others:?}");
        assert!(location.starts_with(APP), "{location}");
        assert!(location.contains(&format!("&error={error}&error_description=")));
        assert!(
            location.ends_with("&state=s+%26+t&iss=https%3A%2F%2Fnode.example"),
            "{location}"
        );
    }
    for state in [long.as_str(), "a\nb", "\u{1b}"] {
        let (told, location) = refused(&[("state", state)]);
        assert_eq!(told, "invalid_request");
        assert!(!location.contains("&state="), "{location}");
    }
    for twice in [
        "&state=again",
        "&x=1&x=2",
        "&client_id=app",
        "&code_challenge=a",
    ] {
        let refused = parse(&format!("{}{twice}", query(&[]))).unwrap_err();
        assert!(
            matches!(refused, NotAsked::Back(_, "invalid_request", _)),
            "{twice}"
        );
    }
}

#[test]
fn no_two_requests_are_the_same_text() {
    let whole = |others: &[(&str, &str)]| parse(&query(others)).unwrap().whole();
    let all = [
        whole(&[]),
        whole(&[("state", "")]),
        whole(&[("state", "s"), ("nonce", "n")]),
        whole(&[("state", "s\",\"nonce\",\"n"), ("nonce", "")]),
        whole(&[("tenant", "default")]),
        whole(&[("scope", "openid")]),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}
