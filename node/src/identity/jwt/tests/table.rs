//! The configuration: what is right is taken as it says, what is wrong is named with its remedy.

use std::io::Write;

use selvedge_protocol::limits::ISSUERS_MAX;
use serde::Deserialize;

use crate::identity::jwt::{IssuerConfig, IssuerTable, WrongIssuer};

#[derive(Debug, Deserialize)]
struct File {
    issuers: Vec<IssuerTable>,
}

fn read(text: &str) -> Result<Vec<IssuerConfig>, WrongIssuer> {
    let file: File = toml::from_str(text).unwrap();
    IssuerConfig::all(file.issuers)
}

fn one(fields: &str) -> Result<Vec<IssuerConfig>, WrongIssuer> {
    let base = "[[issuers]]\nissuer = 'https://a.example'\naudience = 'selvedge'\n";
    read(&format!("{base}{fields}"))
}

#[test]
fn what_is_right_is_taken() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"{\"keys\":[]}").unwrap();
    for fields in [
        String::new(),
        "jwks = 'https://keys.example/a?b=c'".to_owned(),
        "jwks = 'https://10.0.0.1:8443/keys'".to_owned(),
        "jwks = 'http://127.0.0.1:8080/keys'".to_owned(),
        "jwks = 'http://[::1]/keys'".to_owned(),
        "jwks = 'http://localhost/keys'".to_owned(),
        format!("jwks = {:?}", file.path()),
        "tenant = 'acme'".to_owned(),
        "tenant_claim = 'https://a.example/org.id'".to_owned(),
        "roles_claim = ['realm_access', 'roles']\nroles = { A = 'viewer', 'b c' = 'on.call-2' }"
            .to_owned(),
    ] {
        let read = one(&fields);
        assert!(read.is_ok(), "{fields}: {read:?}");
    }
    // With its keys at hand, an issuer may have any name.
    let text = format!(
        "[[issuers]]\nissuer = 'kubernetes/serviceaccount'\naudience = 'a'\njwks = {:?}",
        file.path()
    );
    assert!(read(&text).is_ok());
    assert!(IssuerConfig::all(Vec::new()).unwrap().is_empty());
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() {
    for (fields, field, remedy) in [
        ("jwks = 'http://keys.example'", "jwks", "https"),
        ("jwks = 'http://10.0.0.1/keys'", "jwks", "https"),
        ("jwks = 'ftp://keys.example'", "jwks", "https"),
        ("jwks = 'file:///etc/keys'", "jwks", "path of a file"),
        ("jwks = 'https://user:word@keys.example'", "jwks", "user"),
        ("jwks = 'https://keys.example/#a'", "jwks", "fragment"),
        ("jwks = 'https://'", "jwks", "no URL"),
        (
            "jwks = '/nowhere/keys.json'",
            "jwks",
            "give one that is there",
        ),
        ("jwks = '/'", "jwks", "no file"),
        ("tenant = 'A b'", "tenant", "tenant"),
        (
            "tenant = 'a'\ntenant_claim = 'b'",
            "tenant",
            "leave this out",
        ),
        ("tenant_claim = ''", "tenant_claim", "name of a claim"),
        ("tenant_claim = []", "tenant_claim", "name of a claim"),
        (
            "tenant_claim = ['a', '']",
            "tenant_claim",
            "name of a claim",
        ),
        (
            "tenant_claim = ['a','a','a','a','a','a','a','a','a']",
            "tenant_claim",
            "1 to 8",
        ),
        ("roles_claim = 'scope'", "roles", "what each role"),
        ("roles = { a = 'viewer' }", "roles_claim", "name the claim"),
        ("roles_claim = 'a'\nroles = { a = 'Admin' }", "roles", "a-z"),
        ("roles_claim = 'a'\nroles = { a = '' }", "roles", "a-z"),
        (
            "roles_claim = []\nroles = { a = 'b' }",
            "roles_claim",
            "name of a claim",
        ),
    ] {
        let wrong = one(fields).unwrap_err();
        assert_eq!((wrong.at, wrong.field), (0, field), "{fields}");
        assert!(wrong.remedy.contains(remedy), "{fields}: {wrong}");
        assert!(
            wrong.to_string().starts_with("identity.issuers[0]."),
            "{wrong}"
        );
    }
}

#[test]
fn issuers_are_named_by_what_they_are() {
    for (issuer, audience, field) in [
        ("", "a", "issuer"),
        ("https://a.example", "", "audience"),
        ("https://a.example", "a\u{7}", "audience"),
        // These cannot be discovered.
        ("a.example", "a", "issuer"),
        ("http://a.example", "a", "issuer"),
        ("https://a.example?b", "a", "issuer"),
        ("https://a.example/#b", "a", "issuer"),
    ] {
        let table = IssuerTable {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            jwks: None,
            tenant_claim: None,
            tenant: None,
            roles_claim: None,
            roles: Default::default(),
        };
        let wrong = IssuerConfig::all(vec![table]).unwrap_err();
        assert_eq!(wrong.field, field, "{issuer} {audience}");
    }
}

#[test]
fn each_issuer_is_there_once_and_they_are_not_too_many() {
    let table = |number: usize| {
        format!("[[issuers]]\nissuer = 'https://{number}.example'\naudience = 'a'\n")
    };
    let tables = |count: usize| (0..count).map(table).collect::<String>();
    assert_eq!(read(&tables(ISSUERS_MAX)).unwrap().len(), ISSUERS_MAX);
    assert_eq!(read(&tables(ISSUERS_MAX + 1)).unwrap_err().at, ISSUERS_MAX);
    let wrong = read(&(tables(2) + &table(1))).unwrap_err();
    assert_eq!((wrong.at, wrong.field), (2, "issuer"));
    assert!(wrong.remedy.contains("twice"));
}

#[test]
fn unknown_fields_and_missing_ones_are_told() {
    let parse = |text: &str| toml::from_str::<IssuerTable>(text).unwrap_err().to_string();
    let base = "issuer = 'a'\naudience = 'b'\n";
    assert!(parse(&format!("{base}algorithms = ['HS256']")).contains("algorithms"));
    assert!(parse(&format!("{base}secret = 'x'")).contains("secret"));
    assert!(parse("issuer = 'a'").contains("audience"));
    parse(&format!("{base}tenant_claim = 7"));
}
