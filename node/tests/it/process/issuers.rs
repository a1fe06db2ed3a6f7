//! Tests of tokens of an issuer that the configuration trusts: with roles, over each way into a node.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_cluster::Clock;
use serde_json::{Value, json};

use super::{Access, Node, dev, fail, selvedge};

const ISSUER: &str = "https://login.example";

/// An issuer whose keys are in a file.
struct Issuer {
    key: Ed25519KeyPair,
    configuration: PathBuf,
}

impl Issuer {
    fn new(dir: &Path) -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        let public = URL_SAFE_NO_PAD.encode(key.public_key());
        let keys = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA", "x": public },
        ] });
        let file = dir.join("keys.json");
        fs::write(&file, keys.to_string()).unwrap();
        let configuration = dir.join("node.toml");
        let text = format!(
            "[[identity.issuers]]\nissuer = '{ISSUER}'\naudience = 'selvedge'\njwks = '{}'\ntenant_claim = 'org'\n\
             roles_claim = 'groups'\nroles = {{ staff = 'viewer', makers = 'developer', bosses = 'admin' }}\n",
            file.display()
        );
        fs::write(&configuration, text).unwrap();
        Self { key, configuration }
    }

    /// A token with these claims, in which those that are `null` are missing.
    fn token(&self, changed: &Value) -> String {
        let now = Clock::system().wall_ms() / 1_000;
        let mut claims = json!({
            "iss": ISSUER, "aud": "selvedge", "sub": "ann", "org": "default", "exp": now + 3_600,
        });
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "one" });
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn with(node: &Node, token: String) -> Access {
    Access {
        token,
        ..node.access()
    }
}

#[test]
fn who_an_issuer_knows_may_what_its_roles_give() {
    let scratch = tempfile::tempdir().unwrap();
    let issuer = Issuer::new(scratch.path());
    let data = scratch.path().join("data");
    let node = Node::spawn(dev(&data).arg("--config").arg(&issuer.configuration));
    let groups = |groups: &[&str]| with(&node, issuer.token(&json!({ "groups": groups })));

    let add = ["actor", "send", "counter/a", "add", r#"{"by":1}"#];
    let maker = groups(&["makers", "others"]);
    assert_eq!(maker.ask(&add)["reply"], json!({ "value": 1 }));
    let submitted = maker.ask(&[
        "op",
        "submit",
        "import",
        "--id",
        "i",
        "--input",
        r#"{"rows":1}"#,
    ]);
    assert_eq!(submitted["createdBy"], format!("{ISSUER}|ann"));

    let viewer = groups(&["staff"]);
    assert_eq!(
        viewer.ask(&["actor", "get", "counter/a"])["state"],
        json!({ "value": 1 })
    );
    let said = fail(&mut viewer.client(&add), 4);
    assert!(said.contains("may not send commands to actors"), "{said}");
    assert!(said.contains("developer or admin"), "{said}");
    for nobody in [groups(&["others"]), groups(&[])] {
        fail(&mut nobody.client(&["actor", "get", "counter/a"]), 4);
    }

    // All of a tenant is not the cluster, nor another tenant.
    let boss = groups(&["bosses"]);
    boss.ask(&add);
    fail(
        &mut boss.client(&["cluster", "drain", "node-1", "--force"]),
        4,
    );
    fail(
        &mut boss.client(&["actor", "get", "counter/a", "--tenant", "acme"]),
        4,
    );
    // The operator's token is what it was.
    node.access().ask(&add);
    node.access().ask(&["cluster", "status"]);
}

#[test]
fn tokens_that_are_not_good_open_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let issuer = Issuer::new(scratch.path());
    let stranger_dir = tempfile::tempdir().unwrap();
    let stranger = Issuer::new(stranger_dir.path());
    let data = scratch.path().join("data");
    let node = Node::spawn(dev(&data).arg("--config").arg(&issuer.configuration));
    let good = json!({ "groups": ["bosses"] });
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        issuer.token(&claims)
    };
    let whole = issuer.token(&good);
    with(&node, whole.clone()).ask(&["actor", "get", "counter/a"]);
    let unsigned = whole.rsplit_once('.').unwrap().0.to_owned() + ".";
    for (token, said) in [
        (changed("exp", json!(1)), "expired"),
        (changed("exp", Value::Null), "not valid"),
        (changed("nbf", json!(4_000_000_000_u64)), "not valid yet"),
        (changed("aud", json!("another")), "another audience"),
        (changed("iss", json!("https://other.example")), "issuer"),
        (changed("org", Value::Null), "not valid"),
        (stranger.token(&good), "not valid"),
        (unsigned, "not valid"),
        (whole[..whole.len() - 4].to_owned(), "not valid"),
    ] {
        let refused = fail(
            &mut with(&node, token.clone()).client(&["actor", "get", "counter/a"]),
            4,
        );
        assert!(refused.contains(said), "{said}: {refused}");
        assert!(!refused.contains(&token), "{refused}");
    }
}

#[test]
fn a_wrong_table_is_named_with_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let configuration = scratch.path().join("node.toml");
    let base = "[[identity.issuers]]\nissuer = 'https://login.example'\n";
    for (text, named) in [
        ("", "audience"),
        ("audience = ''", "identity.issuers[0].audience"),
        (
            "audience = 'a'\njwks = '/nowhere/keys'",
            "identity.issuers[0].jwks",
        ),
        (
            "audience = 'a'\njwks = 'http://login.example/keys'",
            "identity.issuers[0].jwks",
        ),
        ("audience = 'a'\ntenant = 'A'", "identity.issuers[0].tenant"),
        (
            "audience = 'a'\nroles_claim = 'g'\nroles = { a = 'king' }",
            "viewer, operator, developer or admin",
        ),
    ] {
        fs::write(&configuration, format!("{base}{text}\n")).unwrap();
        let check = ["config", "check", "--config"];
        let said = fail(selvedge().args(check).arg(&configuration), 2);
        assert!(said.contains(named), "{named}: {said}");
    }
}
