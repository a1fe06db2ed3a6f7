//! API keys and roles by the command line, with nodes in processes of their own, and what none of them may write down.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use selvedge_cluster::Clock;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::{Access, Guarded, Node, PATIENCE, append, dev, end_within, fail, run, text};

fn with(access: &Access, token: &str) -> Access {
    Access {
        token: token.to_owned(),
        ..access.clone()
    }
}

const ADD: [&str; 5] = ["actor", "send", "counter/a", "add", r#"{"by":1}"#];

#[test]
fn a_key_is_made_used_and_revoked() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let operator = node.access();
    operator.ask(&["role", "set", "adder", "actor:write", "actor:read"]);
    let made = operator.ask(&[
        "key",
        "create",
        "build server",
        "--role",
        "adder",
        "--expires",
        "1d",
    ]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with("selv_default."), "{made}");
    let holder = with(&operator, key);
    assert_eq!(holder.ask(&ADD)["reply"], json!({ "value": 1 }));
    fail(&mut holder.client(&["op", "list"]), 4);
    fail(&mut holder.client(&["key", "list"]), 4);
    fail(&mut holder.client(&["cluster", "status"]), 4);

    let listed = operator.ask(&["key", "list"]);
    assert_eq!(listed["items"][0]["id"], id);
    assert_eq!(listed["items"][0]["key"], Value::Null, "shown once");
    assert_eq!(operator.ask(&["key", "get", id])["name"], "build server");

    // One who watches is let go, and told why when it comes again.
    let mut watch = holder.client(&["actor", "watch", "counter/a"]);
    watch.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let said = watch.stderr.take().unwrap();
    operator.ask(&["key", "revoke", id]);
    let status = end_within(watch, PATIENCE).expect("it ends by itself");
    let said = std::io::read_to_string(said).unwrap();
    assert_eq!(status.code(), Some(4), "{said}");
    assert!(said.contains("API key is not valid"), "{said}");
    fail(&mut holder.client(&ADD), 4);
    assert_ne!(operator.ask(&["key", "get", id])["revokedAt"], Value::Null);
    operator.ask(&["key", "remove", id]);
    assert_eq!(operator.ask(&["key", "list"])["items"], json!([]));

    let roles = operator.ask(&["role", "list"]);
    let names = roles["items"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|role| role["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["adder", "admin", "developer", "operator", "viewer"]);
    operator.ask(&["role", "remove", "adder"]);
    fail(&mut operator.client(&["role", "get", "adder"]), 3);
    fail(
        &mut operator.client(&["role", "set", "admin", "actor:read"]),
        2,
    );
}

#[test]
fn a_key_goes_into_a_file_that_is_its_owner_s() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let operator = node.access();
    let file = scratch.path().join("key");
    let out = file.to_str().unwrap();
    let create = ["key", "create", "a", "--role", "viewer", "--out", out];
    let made = operator.ask(&create);
    assert_eq!(made["keyFile"], out);
    assert_eq!(made["key"], Value::Null);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();
    with(&operator, &key).ask(&["op", "list"]);
    // Nothing is overwritten, and no key is made for nothing.
    fail(&mut operator.client(&create), 2);
    let wrong = scratch.path().join("wrong");
    let create = [
        "key",
        "create",
        "b",
        "--role",
        "none",
        "--out",
        wrong.to_str().unwrap(),
    ];
    fail(&mut operator.client(&create), 3);
    assert!(!wrong.exists());
    let listed = operator.ask(&["key", "list"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[test]
fn three_nodes_let_go_of_a_key_that_one_has_revoked() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let members = cluster.three(&storage);
    let operator = members[0].access();
    let made = operator.ask(&["key", "create", "a", "--role", "developer"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let holders: Vec<_> = members.iter().map(|it| with(it.access(), key)).collect();
    for holder in &holders {
        holder.ask(&ADD);
    }
    let watching = holders.iter().map(|holder| {
        let mut watch = holder.client(&["actor", "watch", "counter/a", "--after", "0"]);
        watch.stdout(Stdio::piped()).stderr(Stdio::null());
        Guarded(watch.spawn().unwrap())
    });
    let watching: Vec<_> = watching.collect();
    members[1].access().ask(&["key", "revoke", id]);
    let began = Clock::system().monotonic();
    for mut watch in watching {
        let status = watch.0.wait().unwrap();
        assert_eq!(status.code(), Some(4));
    }
    let took = began.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    for holder in &holders {
        fail(&mut holder.client(&ADD), 4);
    }
}

#[test]
fn no_secret_is_in_the_log_of_a_node_that_tells_all() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("all.log");
    let mut command = dev(&scratch.path().join("data"));
    command.env("SELVEDGE_LOG", "trace").stderr(append(&log));
    let node = Node::spawn(&mut command);
    let operator = node.access();
    let made = operator.ask(&["key", "create", "a", "--role", "developer"]);
    let key = made["key"].as_str().unwrap().to_owned();
    let holder = with(&operator, &key);
    holder.ask(&ADD);
    let secret = key.rsplit_once('.').unwrap().1;
    let wrong = key.replace(secret, &"A".repeat(43));
    let refused = run(&mut with(&operator, &wrong).client(&ADD));
    assert_eq!(refused.status.code(), Some(4));
    assert!(!text(&refused.stderr).contains(&"A".repeat(43)));
    operator.ask(&["key", "revoke", made["id"].as_str().unwrap()]);
    fail(&mut holder.client(&ADD), 4);
    node.stop("INT");
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("session opened"), "it tells all");
    for (name, hidden) in [
        ("the key", key.as_str()),
        ("its secret", secret),
        ("a wrong one", &"A".repeat(43)),
        ("the operator's token", &operator.token),
    ] {
        assert!(!told.contains(hidden), "{name} is in the log");
    }
}
