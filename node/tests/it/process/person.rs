//! A user of a real node as the person that data is about: what is left of it on the disk, in the log and in backups, when
//! it is erased while it logs in.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::kill::Production;
use super::privacy::{backup, debug, holding, rest};
use super::{Access, Guarded, Node, append, fail};

/// What a user is called, and where it is written to.
const USERNAME: &str = "marker.of.a.person";
const EMAIL: &str = "marker@person.example";
const PASSWORD: &str = "vier Pferde kauen Heu";
const ADD: [&str; 5] = ["actor", "send", "counter/a", "add", r#"{"by":1}"#];

fn log_in(node: &Node) -> (u16, Value) {
    let body = json!({ "username": USERNAME, "password": PASSWORD });
    rest(node, "POST", "/v1/login", &body.to_string())
}

/// A user with a login and an API key: its id, and what it comes in with.
fn user(node: &Node, scratch: &Path) -> (String, Access) {
    let access = node.access();
    access.ask(&["role", "set", "keymaker", "api-key:write:own"]);
    let file = scratch.join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let file = file.display().to_string();
    let add = [
        "user",
        "add",
        USERNAME,
        "--email",
        EMAIL,
        "--password-file",
        &file,
    ];
    let roles = ["--role", "developer", "--role", "keymaker"];
    let made = access.ask(&[add.as_slice(), &roles].concat());
    let (status, granted) = log_in(node);
    assert_eq!(status, 200, "{granted}");
    let its = Access {
        token: granted["accessToken"].as_str().unwrap().to_owned(),
        ..access
    };
    its.ask(&["key", "create", "of the laptop", "--role", "developer"]);
    its.ask(&ADD);
    // By its name as well, which no log is to have from there.
    let path = format!("/v1/users/{USERNAME}");
    assert_eq!(rest(node, "GET", &path, "").0, 200);
    let again = json!({ "username": USERNAME, "email": EMAIL }).to_string();
    assert_eq!(rest(node, "POST", "/v1/users", &again).0, 409);
    (made["id"].as_str().unwrap().to_owned(), its)
}

/// All that there is about it is in its export, which is asked for by its name.
fn is_exported(access: &Access, subject: &str) {
    let whole = access.ask(&["subject", "export", &format!("user:{USERNAME}")]);
    let items = whole["items"].as_array().unwrap();
    let part = |name: &str| items.iter().find(|item| item[name].is_object());
    assert_eq!(part("user").unwrap()["user"]["email"], EMAIL, "{whole}");
    assert_eq!(part("apiKey").unwrap()["apiKey"]["createdBy"], subject);
    assert!(
        part("login").is_some() && part("audit").is_some(),
        "{whole}"
    );
}

/// Erases it while it logs in again and again, which writes what is being erased, and sees its session end.
fn erase_under_load(node: &Node, its: &Access, subject: &str) {
    let mut watch = its.client(&["actor", "watch", "counter/a", "--after", "0"]);
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut watch = Guarded(watch.unwrap());
    // It is there: its first event has come.
    let mut first = [0];
    let heard = watch.0.stdout.as_mut().unwrap().read(&mut first);
    assert_eq!(heard.unwrap(), 1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                log_in(node);
            }
        });
        let erased = node.access().ask(&["subject", "erase", subject]);
        assert_eq!(erased["erased"], "now", "{erased}");
        assert_eq!(watch.0.wait().unwrap().code(), Some(4));
        is_over.store(true, Ordering::Release);
    });
}

/// The trail says what was done, of somebody who has no name.
fn is_told_without_names(access: &Access, id: &str) {
    let trail = access.ask(&["audit", "list", "--limit", "500"]);
    let of = |action: &str| {
        let records = trail["items"].as_array().unwrap().iter();
        let mut records = records.filter(|it| it["action"] == action);
        let record = records.next();
        record.unwrap_or_else(|| panic!("{action}: {trail}"))["target"].clone()
    };
    for action in ["user.create", "user.login", "user.remove"] {
        assert_eq!(of(action), id);
    }
    assert_eq!(of("subject.erase"), format!("user:{id}"));
    for text in [USERNAME, EMAIL, "laptop"] {
        assert!(!trail.to_string().contains(text), "{text}: {trail}");
    }
}

#[test]
fn a_user_is_erased_under_load_and_nothing_readable_of_it_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let data = path("a");
    let node = debug(&data);
    let (id, its) = user(&node, scratch.path());
    let subject = format!("user:{id}");
    is_exported(&node.access(), &subject);
    node.kill();
    backup("create", &path("old"), &data);

    let node = debug(&data);
    let access = node.access();
    let its = Access {
        token: its.token,
        ..access.clone()
    };
    erase_under_load(&node, &its, &subject);
    assert_eq!(log_in(&node).0, 401);
    fail(&mut its.client(&ADD), 4);
    for name in [USERNAME, &id] {
        fail(&mut access.client(&["user", "get", name]), 3);
    }
    assert_eq!(access.ask(&["key", "list"])["items"], json!([]));
    is_told_without_names(&access, &id);
    // As it is after a crash, with all of its journal.
    node.kill();
    backup("create", &path("fresh"), &data);
    let log = data.with_extension("log");
    let places = [&*data, &*log, &path("old"), &path("fresh")];
    for text in [USERNAME, EMAIL] {
        assert_eq!(holding(&places, text), Vec::<PathBuf>::new(), "{text}");
    }
}

#[test]
fn users_are_in_the_clear_until_there_is_a_key_and_the_log_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let production = Production::new(scratch.path());
    let start = |key: Option<&str>| {
        let log = scratch.path().join("log");
        let mut command = production.command("127.0.0.1:0");
        command.stderr(append(&log));
        command.envs(key.map(|key| ("SELVEDGE_PRIVACY_KEY", key)));
        let node = Node::spawn(&mut command);
        let told = std::fs::read_to_string(&log).unwrap();
        let is_told = told.contains("users are stored in the clear");
        assert_eq!(is_told, key.is_none(), "{told}");
        std::fs::remove_file(&log).unwrap();
        node
    };
    let node = start(None);
    let access = production.access(&node);
    let made = access.ask(&["user", "add", USERNAME, "--email", EMAIL]);
    node.kill();
    let key = format!("k1:{}", "5a".repeat(32));
    let node = start(Some(&key));
    let access = production.access(&node);
    assert_eq!(access.ask(&["user", "get", USERNAME]), made);
    let subjects = ["subject", "list"];
    assert_eq!(access.ask(&subjects)["items"], json!([]));
    for expected in [1, 0] {
        let done = access.ask(&["subject", "rewrap"]);
        assert_eq!(done["sealedUsers"], expected, "{done}");
    }
    let listed = access.ask(&subjects);
    let subject = format!("user:{}", made["id"].as_str().unwrap());
    assert_eq!(listed["items"][0]["subject"], subject, "{listed}");
    assert_eq!(access.ask(&["user", "get", USERNAME]), made);
}
