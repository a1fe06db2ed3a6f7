//! `selvedge token`, and the keys that tokens are signed with, with a node in a process of its own; and what its configuration
//! may say of both.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{Access, Node, fail, json, run, selvedge, text};

const GOOD: &str = "vier Pferde kauen Heu";

/// A command over HTTP, at the node that the profile of this directory names.
fn token(data: &Path, arguments: &[&str]) -> Command {
    let mut command = selvedge();
    command.arg("token").args(arguments);
    command
        .args(["--output", "json", "--data-dir"])
        .arg(data)
        .env_remove("SELVEDGE_TOKEN");
    command
}

fn with(access: &Access, token: &Value) -> Access {
    Access {
        token: token.as_str().unwrap().to_owned(),
        ..access.clone()
    }
}

/// A file with a secret in it.
fn file(scratch: &Path, name: &str, secret: &str) -> String {
    let path = scratch.join(name);
    fs::write(&path, format!("{secret}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one login from its begin to its end")]
fn a_user_logs_in_by_the_command_line_and_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let (scratch, data) = (scratch.path(), scratch.path().join("data"));
    let node = Node::dev(&data);
    let operator = node.access();
    let password = file(scratch, "password", GOOD);
    let add = [
        "user",
        "add",
        "ann",
        "--role",
        "developer",
        "--password-file",
        &password,
    ];
    operator.ask(&add);
    let wrong = file(scratch, "wrong", "wrong");
    let login = |file: &str| {
        token(
            &data,
            &["login", "--username", "ann", "--password-file", file],
        )
    };
    fail(&mut login(&wrong), 4);
    fail(&mut login("/nowhere/password"), 2);
    let granted = json(&run(&mut login(&password)));
    let holder = with(&operator, &granted["accessToken"]);
    holder.ask(&["op", "list"]);

    // People see no refresh token.
    let mut plain = selvedge();
    plain.args([
        "token",
        "login",
        "--username",
        "ann",
        "--password-file",
        &password,
    ]);
    let shown = run(plain.arg("--data-dir").arg(&data));
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    assert!(
        !shown.contains("selvr_") && shown.contains("--output json"),
        "{shown}"
    );

    let first = file(scratch, "first", granted["refreshToken"].as_str().unwrap());
    let refresh = |file: &str| token(&data, &["refresh", "--token-file", file]);
    let next = json(&run(&mut refresh(&first)));
    let access = file(scratch, "access", next["accessToken"].as_str().unwrap());
    let inspect = || {
        json(&run(&mut token(
            &data,
            &["inspect", "--token-file", &access],
        )))
    };
    let found = inspect();
    assert_eq!(
        (&found["active"], found["scope"].as_str()),
        (&true.into(), Some("developer"))
    );
    let other = token(
        &data,
        &["refresh", "--client", "other", "--token-file", &first],
    )
    .output();
    assert_eq!(other.unwrap().status.code(), Some(4));

    // The access token alone, then the login.
    let revoke = |file: &str| json(&run(&mut token(&data, &["revoke", "--token-file", file])));
    assert_eq!(revoke(&access)["revoked"], true);
    assert_eq!(inspect()["active"], false);
    let second = file(scratch, "second", next["refreshToken"].as_str().unwrap());
    let third = json(&run(&mut refresh(&second)));
    let holder = with(&operator, &third["accessToken"]);
    holder.ask(&["op", "list"]);

    // Another key signs, in two hours or at once.
    let ahead = operator.ask(&["key", "rotate"]);
    assert_eq!(ahead["removed"], serde_json::json!([]));
    holder.ask(&["op", "list"]);
    fail(&mut holder.client(&["key", "rotate", "--now"]), 4);
    let now = operator.ask(&["key", "rotate", "--now"]);
    assert_eq!(now["removed"].as_array().unwrap().len(), 2, "{now}");
    fail(&mut holder.client(&["op", "list"]), 4);
    let third = file(scratch, "third", third["refreshToken"].as_str().unwrap());
    let fourth = json(&run(&mut refresh(&third)));
    with(&operator, &fourth["accessToken"]).ask(&["op", "list"]);
    let audited = operator.ask(&["audit", "list"]).to_string();
    assert!(audited.contains("signing-key.rotate") && audited.contains("token.revoke"));

    let last = file(scratch, "last", fourth["refreshToken"].as_str().unwrap());
    revoke(&last);
    fail(&mut refresh(&last), 4);
    let nowhere = [
        "login",
        "--url",
        "http://example.org",
        "--username",
        "a",
        "--password-file",
        "-",
    ];
    let said = fail(&mut token(&data, &nowhere), 2);
    assert!(said.contains("--url") && said.contains("https"), "{said}");
}

#[test]
fn what_is_configured_of_tokens_and_clients_is_in_force_or_named() {
    let scratch = tempfile::tempdir().unwrap();
    let configuration = scratch.path().join("node.toml");
    let client = "[[identity.clients]]\nid = 'app'\nredirect_uris = ['https://app.example/']\n";
    let check = |text: &str| {
        fs::write(&configuration, text).unwrap();
        let mut command = selvedge();
        command
            .args(["config", "check", "--config"])
            .arg(&configuration);
        command
    };
    for (text, named) in [
        (
            "[identity.tokens]\naccess_minutes = 0",
            "identity.tokens.access_minutes: use 1 to 60",
        ),
        (
            "[identity.tokens]\nrefresh_days = 400",
            "identity.tokens.refresh_days",
        ),
        (
            "[identity.tokens]\nrefresh_idle_days = 31",
            "identity.tokens.refresh_idle_days",
        ),
        (
            "[identity.tokens]\nissuer = 'http://node.example'",
            "identity.tokens.issuer",
        ),
        (
            "[bridge]\npublic_url = 'https://node.example/x'",
            "bridge.public_url",
        ),
        (
            &client.replace("app.example/", "app.example/#a"),
            "identity.clients[0].redirect_uris",
        ),
        (
            &client.replace("'app'", "'console'"),
            "identity.clients[0].id",
        ),
        (&format!("{client}{client}"), "identity.clients[1].id"),
        (&format!("{client}secret = 'x'"), "secret"),
    ] {
        let said = fail(&mut check(text), 2);
        assert!(said.contains(named), "{named}: {said}");
    }

    let data = scratch.path().join("data");
    let text = format!(
        "[identity.tokens]\nissuer = 'https://node.example'\naccess_minutes = 1\n[bridge]\npublic_url = 'https://node.example'\n{client}"
    );
    fs::write(&configuration, text).unwrap();
    let node = Node::spawn(super::dev(&data).arg("--config").arg(&configuration));
    let operator = node.access();
    let password = file(scratch.path(), "password", GOOD);
    operator.ask(&["user", "add", "ann", "--password-file", &password]);
    let login = ["login", "--username", "ann", "--password-file", &password];
    let granted = json(&run(&mut token(&data, &login)));
    assert_eq!(granted["expiresIn"], 60);
    let found = super::get(
        node.ready["http"].as_str().unwrap(),
        "/.well-known/openid-configuration",
    );
    assert!(
        found.contains("\"issuer\":\"https://node.example\""),
        "{found}"
    );
    assert!(
        found.contains("\"https://node.example/oauth/token\""),
        "{found}"
    );
}

/// What a node answers to a form, its head before its body.
fn post(address: &str, path: &str, members: &[(&str, &str)]) -> String {
    let body = Serializer::new(String::new())
        .extend_pairs(members)
        .finish();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nOrigin: http://{address}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "all that is shown, one after the other"
)]
fn no_code_verifier_or_key_is_in_the_log_of_a_node_that_tells_all() {
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("all.log");
    let mut command = super::dev(&scratch.path().join("data"));
    command
        .env("SELVEDGE_LOG", "trace")
        .stderr(super::append(&log));
    let node = Node::spawn(&mut command);
    let operator = node.access();
    let password = file(scratch.path(), "password", GOOD);
    operator.ask(&["user", "add", "ann", "--password-file", &password]);
    let address = node.ready["http"].as_str().unwrap().to_owned();
    let back = format!("http://{address}/");
    let mut members = vec![
        ("client_id", "console"),
        ("redirect_uri", back.as_str()),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "openid"),
    ];
    let query = Serializer::new(String::new())
        .extend_pairs(&members)
        .finish();
    let page = super::get(&address, &format!("/oauth/authorize?{query}"));
    let (_, carried) = page.split_once("name=\"page\" value=\"").unwrap();
    let carried = carried.split_once('"').unwrap().0.to_owned();
    members.extend([
        ("page", carried.as_str()),
        ("username", "ann"),
        ("password", GOOD),
    ]);
    let sent = post(&address, "/oauth/authorize", &members);
    let (_, code) = sent
        .split_once("?code=")
        .unwrap_or_else(|| panic!("{sent}"));
    let code = code.split_once('&').unwrap().0.to_owned();
    let exchanged = [
        ("grant_type", "authorization_code"),
        ("client_id", "console"),
        ("redirect_uri", back.as_str()),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let answer = post(&address, "/oauth/token", &exchanged);
    let tokens: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let key = operator.ask(&["key", "create", "a", "--role", "viewer"]);
    let secret = key["key"].as_str().unwrap();
    let granted = [
        ("grant_type", "client_credentials"),
        ("client_id", key["id"].as_str().unwrap()),
        ("client_secret", secret),
    ];
    let granted = post(&address, "/oauth/token", &granted);
    assert!(granted.starts_with("HTTP/1.1 200"), "{granted}");
    node.stop("INT");
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("/oauth/token"), "it tells all");
    let last = |text: &str| text.rsplit_once('.').unwrap().1.to_owned();
    for (name, hidden) in [
        ("the password", GOOD.to_owned()),
        ("the code", last(&code)),
        ("the verifier", VERIFIER.to_owned()),
        ("the key", last(secret)),
        ("an id token", last(tokens["id_token"].as_str().unwrap())),
        (
            "a refresh token",
            last(tokens["refresh_token"].as_str().unwrap()),
        ),
    ] {
        assert!(!told.contains(&hidden), "{name} is in the log");
    }
}
