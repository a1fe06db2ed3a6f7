//! Users with nodes in processes of their own: logging in by HTTP, coming in by QUIC with what that gives, and being let go
//! of; and what no node may write down.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::{Access, Guarded, Node, append, dev, fail, run};

const GOOD: &str = "vier Pferde kauen Heu";
const OTHER: &str = "sieben Ziegen fressen Gras";
const ADD: [&str; 5] = ["actor", "send", "counter/a", "add", r#"{"by":1}"#];

fn with(access: &Access, token: &str) -> Access {
    Access {
        token: token.to_owned(),
        ..access.clone()
    }
}

/// What a node answers to a body: its status, and its JSON if it has any.
fn post(node: &Node, path: &str, media: &str, body: &str, token: Option<&str>) -> (u16, Value) {
    let address = node.ready["http"].as_str().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {media}\r\n{token}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn log_in(node: &Node, name: &str, password: &str) -> (u16, Value) {
    let body = json!({ "username": name, "password": password }).to_string();
    post(node, "/v1/login", "application/json", &body, None)
}

fn form(node: &Node, path: &str, members: &[(&str, &str)], token: Option<&str>) -> (u16, Value) {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(members);
    post(
        node,
        path,
        "application/x-www-form-urlencoded",
        &body.finish(),
        token,
    )
}

fn refresh(node: &Node, token: &str) -> (u16, Value) {
    form(
        node,
        "/oauth/token",
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
        None,
    )
}

fn of<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {answer}"))
}

/// Adds a user as an operator does.
fn add(operator: &Access, scratch: &Path, name: &str, role: &str) -> Value {
    let file = scratch.join(format!("{name}.password"));
    fs::write(&file, format!("{GOOD}\n")).unwrap();
    let file = file.to_str().unwrap();
    operator.ask(&["user", "add", name, "--role", role, "--password-file", file])
}

#[test]
fn a_user_logs_in_goes_on_and_is_let_go() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let operator = node.access();
    let ann = add(&operator, scratch.path(), "Ann", "developer");
    assert_eq!(
        (of(&ann, "username"), &ann["enabled"]),
        ("ann", &json!(true))
    );
    let weak = scratch.path().join("weak");
    fs::write(&weak, "passwordpassword").unwrap();
    let weak = weak.to_str().unwrap();
    fail(
        &mut operator.client(&["user", "password", "ann", "--password-file", weak]),
        2,
    );

    assert_eq!(log_in(&node, "ann", "wrong").0, 401);
    assert_eq!(log_in(&node, "nobody", GOOD).0, 401);
    let (status, granted) = log_in(&node, "ANN", GOOD);
    assert_eq!(status, 200, "{granted}");
    let holder = with(&operator, of(&granted, "accessToken"));
    assert_eq!(holder.ask(&ADD)["reply"], json!({ "value": 1 }));
    // Of users it sees itself.
    let listed = holder.ask(&["user", "list"]);
    assert_eq!(listed["items"], json!([ann]));
    fail(&mut holder.client(&["role", "list"]), 4);

    // What it is to those who may ask, and to nobody else.
    let token = [("token", of(&granted, "accessToken"))];
    let (_, active) = form(&node, "/oauth/introspect", &token, Some(&operator.token));
    assert_eq!(
        (
            &active["active"],
            of(&active, "username"),
            of(&active, "sub"),
            of(&active, "scope")
        ),
        (
            &json!(true),
            "ann",
            &*format!("user:{}", of(&ann, "id")),
            "developer"
        )
    );
    let own = Some(of(&granted, "accessToken"));
    assert_eq!(form(&node, "/oauth/introspect", &token, own).0, 403);
    assert_eq!(form(&node, "/oauth/introspect", &token, None).0, 401);
    let wrong = [("token", "eyJhbGciOiJub25lIn0.e30.")];
    let (_, inactive) = form(&node, "/oauth/introspect", &wrong, Some(&operator.token));
    assert_eq!(inactive, json!({ "active": false }));

    // It goes on; an old token ends it for whoever has what came of it.
    let first = of(&granted, "refreshToken");
    let (status, second) = refresh(&node, first);
    assert_eq!(status, 200, "{second}");
    let (_, third) = refresh(&node, of(&second, "refresh_token"));
    let (status, refused) = refresh(&node, first);
    assert_eq!((status, of(&refused, "error")), (400, "invalid_grant"));
    assert_eq!(refresh(&node, of(&third, "refresh_token")).0, 400);
    let logins = operator.ask(&["user", "logins", "ann"]);
    assert_eq!(of(&logins["items"][0], "reason"), "refresh-token-reused");
    fail(&mut holder.client(&ADD), 4);
}

#[test]
fn a_password_is_changed_and_a_login_ended() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let operator = node.access();
    add(&operator, scratch.path(), "ann", "developer");
    // Another password is hers to take; what she has logged in with is over.
    let (_, granted) = log_in(&node, "ann", GOOD);
    let change = |old: &str, new: &str| {
        let body = json!({ "username": "ann", "password": old, "newPassword": new }).to_string();
        post(&node, "/v1/password", "application/json", &body, None)
    };
    let (status, refused) = change(GOOD, "ann-ann-ann-ann-ann");
    assert_eq!((status, of(&refused, "field")), (422, "newPassword"));
    assert_eq!(change("wrong", OTHER).0, 401);
    assert_eq!(change(GOOD, OTHER).0, 204);
    assert_eq!(refresh(&node, of(&granted, "refreshToken")).0, 400);
    assert_eq!(log_in(&node, "ann", GOOD).0, 401);

    // Logged out by its client, and by an operator.
    let (_, granted) = log_in(&node, "ann", OTHER);
    let token = of(&granted, "refreshToken");
    assert_eq!(
        form(&node, "/oauth/revoke", &[("token", token)], None).0,
        200
    );
    assert_eq!(
        form(&node, "/oauth/revoke", &[("token", "none")], None).0,
        200
    );
    assert_eq!(refresh(&node, token).0, 400);
    let (_, granted) = log_in(&node, "ann", OTHER);
    operator.ask(&["user", "logout", "ann", of(&granted, "login")]);
    fail(
        &mut with(&operator, of(&granted, "accessToken")).client(&ADD),
        4,
    );

    operator.ask(&["user", "disable", "ann"]);
    assert_eq!(log_in(&node, "ann", OTHER).0, 401);
    operator.ask(&["user", "remove", "ann"]);
    fail(&mut operator.client(&["user", "get", "ann"]), 3);
}

#[test]
fn forms_are_held_to_what_they_are() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let error = |members: &[(&str, &str)]| {
        let (status, refused) = form(&node, "/oauth/token", members, None);
        assert_eq!(status, 400, "{refused}");
        of(&refused, "error").to_owned()
    };
    assert_eq!(error(&[]), "invalid_request");
    assert_eq!(error(&[("grant_type", "")]), "invalid_request");
    assert_eq!(
        error(&[
            ("grant_type", "password"),
            ("username", "a"),
            ("password", "b")
        ]),
        "unsupported_grant_type"
    );
    assert_eq!(error(&[("grant_type", "refresh_token")]), "invalid_request");
    let twice = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "a"),
        ("refresh_token", "a"),
    ];
    assert_eq!(error(&twice), "invalid_request");
    let client = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "a"),
        ("client_id", "a b\u{1b}"),
    ];
    assert_eq!(error(&client), "invalid_client");
    assert_eq!(
        error(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", "selvr_default.AAAA")
        ]),
        "invalid_grant"
    );
    let (status, _) = post(&node, "/oauth/token", "application/json", "{}", None);
    assert_eq!(status, 400);
    let (status, refused) = log_in(&node, "ann", &"x".repeat(10_000));
    assert_eq!(status, 413, "{refused}");
    let body = json!({ "username": "a", "password": "b", "roles": ["admin"] }).to_string();
    let (status, refused) = post(&node, "/v1/login", "application/json", &body, None);
    assert_eq!((status, of(&refused, "field")), (422, "roles"));
}

#[test]
fn three_nodes_let_go_of_a_user_that_one_has_disabled() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let members = cluster.three(&storage);
    let operator = members[0].access();
    let scratch = tempfile::tempdir().unwrap();
    add(operator, scratch.path(), "ann", "developer");
    let (_, granted) = log_in(members[1].node(), "ann", GOOD);
    let token = of(&granted, "accessToken");
    let holders: Vec<_> = members.iter().map(|it| with(it.access(), token)).collect();
    for holder in &holders {
        holder.ask(&ADD);
    }
    let watching = holders.iter().map(|holder| {
        let mut watch = holder.client(&["actor", "watch", "counter/a", "--after", "0"]);
        watch.stdout(Stdio::piped()).stderr(Stdio::null());
        Guarded(watch.spawn().unwrap())
    });
    let watching: Vec<_> = watching.collect();
    members[2].access().ask(&["user", "disable", "ann"]);
    for mut watch in watching {
        assert_eq!(watch.0.wait().unwrap().code(), Some(4));
    }
    for holder in &holders {
        fail(&mut holder.client(&ADD), 4);
    }
}

#[test]
fn no_password_or_token_is_in_the_log_of_a_node_that_tells_all() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("all.log");
    let mut command = dev(&scratch.path().join("data"));
    command.env("SELVEDGE_LOG", "trace").stderr(append(&log));
    let node = Node::spawn(&mut command);
    let operator = node.access();
    add(&operator, scratch.path(), "ann", "viewer");
    let typed = "hunter2 hunter2 hunter2";
    assert_eq!(log_in(&node, "ann", typed).0, 401);
    assert_eq!(log_in(&node, typed, GOOD).0, 401);
    assert_eq!(log_in(&node, "ann\n\u{1b}[31mroot", GOOD).0, 401);
    let (_, granted) = log_in(&node, "ann", GOOD);
    let (_, next) = refresh(&node, of(&granted, "refreshToken"));
    let holder = with(&operator, of(&granted, "accessToken"));
    run(&mut holder.client(&["op", "list"]));
    let (_, _) = form(
        &node,
        "/oauth/introspect",
        &[("token", of(&next, "access_token"))],
        Some(&operator.token),
    );
    form(
        &node,
        "/oauth/revoke",
        &[("token", of(&next, "refresh_token"))],
        None,
    );
    node.stop("INT");
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("session opened"), "it tells all");
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    for (name, hidden) in [
        ("the password", GOOD.to_owned()),
        (
            "a wrong one, or one in the place of a name",
            typed.to_owned(),
        ),
        ("an access token", signature(of(&granted, "accessToken"))),
        ("another one", signature(of(&next, "access_token"))),
        ("a refresh token", signature(of(&granted, "refreshToken"))),
        ("the next one", signature(of(&next, "refresh_token"))),
        ("a hash of a password", "$argon2id".to_owned()),
        ("what moves a terminal", "\u{1b}[31mroot".to_owned()),
        ("the operator's token", operator.token),
    ] {
        assert!(!told.contains(&hidden), "{name} is in the log");
    }
}
