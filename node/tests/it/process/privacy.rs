//! Personal data of a real node: what is left of it on its disk, in its log and in backups, when a subject is erased
//! under load and with a node that is killed meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use selvedge_client::Client;
use selvedge_cluster::audit::{self, Part, Verification};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_protocol::Target;
use selvedge_protocol::Tenant;
use serde_json::{Value, json};

use super::kill::Production;
use super::{Access, Guarded, Node, PATIENCE, dev, fail, json, run, selvedge};

/// What is looked for in all that is left.
const MARK: &str = "MARKER-of-what-was-said";

/// A development node that logs all that it does.
pub(super) fn debug(data_dir: &Path) -> Node {
    Node::spawn(dev(data_dir).env("SELVEDGE_LOG", "debug"))
}

pub(super) fn backup(verb: &str, file: &Path, data_dir: &Path) -> Value {
    let mut command = selvedge();
    command.args(["backup", verb, "--output", "json"]).arg(file);
    command.arg("--data-dir").arg(data_dir);
    json(&run(&mut command))
}

/// Every file of a directory.
fn files(directory: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, all),
            false => all.push(path),
        }
    }
}

/// The files in which a text is.
pub(super) fn holding(places: &[&Path], text: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for place in places {
        match place.is_dir() {
            true => files(place, &mut all),
            false => all.push(place.to_path_buf()),
        }
    }
    all.retain(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    });
    all
}

fn profile(subject: &str) -> Target {
    Target::Actor(format!("profile/{subject}").parse().unwrap())
}

async fn set(client: &Client, subject: &str, text: &str) {
    let body = json!({ "field": "said", "value": text });
    let session = client.session();
    session
        .command(profile(subject), "set", body)
        .send()
        .await
        .unwrap();
}

/// An operation that nobody runs, so that all of it stays, and one that runs.
fn submit(access: &Access, subject: &str, payload: &str) {
    let label = format!("subject={subject}");
    let metadata = format!(r#"{{"who":"{MARK} {subject}"}}"#);
    for (operation_type, id) in [("nowhere", "waits"), ("digest", "ran")] {
        let id = format!("{id}-{subject}");
        let mut arguments = vec![
            "op",
            "submit",
            operation_type,
            "--id",
            &id,
            "--label",
            &label,
            "--metadata",
            &metadata,
            "--payload",
            payload,
        ];
        if operation_type == "digest" {
            arguments.push("--wait");
        }
        access.ask(&arguments);
    }
}

/// The events of a subject's profile and the last that it says, and its operations, as an export has them.
fn exported(access: &Access, subject: &str) -> (usize, Option<String>, Vec<String>) {
    let whole = access.ask(&["subject", "export", subject]);
    let items = whole["items"].as_array().unwrap();
    let of = |item: &&Value, actor: &str| item["actor"] == actor;
    let profile = format!("profile/{subject}");
    let own = items.iter().filter(|item| of(item, &profile));
    let events = own.clone().filter(|item| item["event"].is_object()).count();
    let state = own.clone().find(|item| item["state"].is_object());
    let said = state.and_then(|item| item["state"]["fields"]["said"].as_str());
    let operations = items.iter().filter(|item| item["state"]["id"].is_string());
    let ids = operations.map(|item| item["state"]["id"].as_str().unwrap().to_owned());
    (events, said.map(str::to_owned), ids.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_erased_under_load_and_nothing_readable_of_it_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let data = path("a");
    let payload = path("payload");
    std::fs::write(&payload, MARK.repeat(10_000)).unwrap();
    let payload = payload.display().to_string();
    let node = debug(&data);
    let access = node.access();
    begin(&access, &payload).await;
    assert!(node.stop("TERM").success());
    backup("create", &path("old"), &data);

    let node = debug(&data);
    let access = node.access();
    let is_over = AtomicBool::new(false);
    let load = |subject: &'static str| {
        let (access, is_over) = (access.clone(), &is_over);
        async move {
            let client = access.connect().await;
            let mut done = 0;
            while !is_over.load(Ordering::Acquire) {
                done += 1;
                set(&client, subject, &format!("{MARK} {subject} {done}")).await;
            }
            client.close().await;
            done
        }
    };
    let erasing = async {
        tokio::time::timeout(PATIENCE, erase_now(&access))
            .await
            .unwrap();
        is_over.store(true, Ordering::Release);
    };
    let (of_ann, of_ben, of_cy, ()) = tokio::join!(load("ann"), load("ben"), load("cy"), erasing);
    assert!(of_ann > 0 && of_ben > 0 && of_cy > 0);
    of_ann_is_nothing(&access);
    for (subject, done) in [("ben", of_ben), ("cy", of_cy)] {
        let (events, said, _) = exported(&access, subject);
        assert_eq!(
            (events, said),
            (done, Some(format!("{MARK} {subject} {done}")))
        );
    }
    // As it is after a crash, with all of its journal.
    node.kill();
    backup("create", &path("fresh"), &data);
    let places = [
        &*data,
        &*data.with_extension("log"),
        &path("old"),
        &path("fresh"),
    ];
    assert_eq!(holding(&places, MARK), Vec::<PathBuf>::new());

    let store = Embedded::open(EmbeddedConfig::new(data.join("store"))).unwrap();
    let all = Part {
        from: None,
        anchor: None,
        records_max: u64::MAX,
    };
    let chain = (&Tenant::default_tenant()).into();
    match audit::verify(&store, &chain, all).await.unwrap() {
        Verification::Whole(verified) => assert!(verified.records >= 4, "{verified:?}"),
        part => panic!("not all of it: {part:?}"),
    }
    store.close();
    drop(store);
    old_backup_has_nobody_who_was_erased(scratch.path());
}

/// Something about two subjects.
async fn begin(access: &Access, payload: &str) {
    for subject in ["ann", "ben"] {
        submit(access, subject, payload);
        access.ask(&[
            "subject",
            "consent",
            "grant",
            subject,
            "mail",
            "--note",
            "by letter",
        ]);
    }
    let client = access.connect().await;
    set(&client, "ann", &format!("{MARK} ann 0")).await;
    client.close().await;
    let (events, said, mut operations) = exported(access, "ann");
    operations.sort_unstable();
    assert_eq!(
        (events, operations),
        (1, vec!["ran-ann".to_owned(), "waits-ann".to_owned()])
    );
    assert_eq!(said, Some(format!("{MARK} ann 0")));
}

fn of_ann_is_nothing(access: &Access) {
    // Of what was written after it, with a new key.
    access.ask(&["subject", "erase", "ann"]);
    assert_eq!(exported(access, "ann"), (0, None, Vec::new()));
    for id in ["waits-ann", "ran-ann"] {
        fail(&mut access.client(&["op", "get", id]), 3);
    }
    let listed = access.ask(&["op", "list", "--label", "subject=ann"]);
    assert_eq!(listed["items"], json!([]), "{listed}");
    let listed = access.ask(&["actor", "list", "profile"]);
    assert!(!listed.to_string().contains("ann"), "{listed}");
    let said = access.ask(&["subject", "consent", "list", "ann"]);
    assert_eq!(said[0]["granted"], true, "{said}");
}

/// Of the data directory `a` and its backup `old`.
fn old_backup_has_nobody_who_was_erased(scratch: &Path) {
    let path = |name: &str| scratch.join(name);
    let data = path("a");
    // An old backup has what it had, but for who was erased since.
    backup("keys", &path("keys"), &data);
    backup("restore", &path("old"), &path("b"));
    backup("restore-keys", &path("keys"), &path("b"));
    let development = path("b").join("development");
    std::fs::create_dir_all(&development).unwrap();
    std::fs::copy(
        data.join("development/privacy.key"),
        development.join("privacy.key"),
    )
    .unwrap();
    let node = debug(&path("b"));
    let access = node.access();
    assert_eq!(exported(&access, "ann").0, 0);
    let (_, _, mut operations) = exported(&access, "ben");
    operations.sort_unstable();
    assert_eq!(operations, ["ran-ben", "waits-ben"]);
    fail(&mut access.client(&["op", "get", "waits-ann"]), 3);
}

/// Erases once the load is well under way.
async fn erase_now(access: &Access) {
    let client = access.connect().await;
    loop {
        let session = client.session();
        let state: Value = session
            .query(profile("ann"), "state", "{}")
            .json()
            .await
            .unwrap();
        let said = state["fields"]["said"].as_str().unwrap_or_default();
        let number = said
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok());
        if number.is_some_and(|number| number > 20) {
            break;
        }
    }
    client.close().await;
    let mut command = access.client(&["subject", "erase", "ann"]);
    let erased = tokio::task::spawn_blocking(move || json(&run(&mut command)));
    assert_eq!(erased.await.unwrap()["erased"], "now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_goes_on_where_a_killed_node_left_it() {
    const OPERATIONS: usize = 400;
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("a");
    let node = debug(&data);
    let access = node.access();
    let client = access.connect().await;
    for number in 0..OPERATIONS {
        let target = Target::Operation(format!("op-{number}").parse().unwrap());
        let body = json!({
            "type": "nowhere", "input": { "said": MARK }, "labels": { "subject": "ann", "n": "x" },
        });
        let session = client.session();
        session
            .command(target, "submit", body)
            .send()
            .await
            .unwrap();
    }
    client.close().await;
    let mut erasing = access.client(&["subject", "erase", "ann"]);
    let erasing = Guarded(
        erasing
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    // In the middle of it: the key is destroyed, and some are cleared.
    let client = access.connect().await;
    loop {
        let list = json!({ "label": "n=x" });
        let session = client.session();
        let query = session.query(Target::Operations, "count", list);
        let count: Value = query.json().await.unwrap();
        if count["count"].as_u64().unwrap() < OPERATIONS as u64 {
            break;
        }
    }
    node.kill();
    drop((client, erasing));

    let node = debug(&data);
    let access = node.access();
    let erased = access.ask(&["subject", "erase", "ann"]);
    assert_eq!(erased["erased"], "before");
    assert!(erased["actors"].as_u64().unwrap() > 0, "{erased}");
    let again = access.ask(&["subject", "erase", "ann"]);
    assert_eq!(again["actors"], 0, "{again}");
    for label in ["subject=ann", "n=x"] {
        let count = access.ask(&["op", "list", "--count", "--label", label]);
        assert_eq!(count["count"], 0, "{count}");
    }
    let count = access.ask(&["op", "list", "--count"]);
    assert_eq!(count["count"], 0, "{count}");
    let listed = access.ask(&["subject", "list"]);
    assert_eq!(listed["items"][0]["state"], "erased", "{listed}");
    node.kill();
    let places = [&*data, &*data.with_extension("log")];
    assert_eq!(holding(&places, MARK), Vec::<PathBuf>::new());
}

#[test]
fn what_a_node_without_a_key_refuses_it_says_with_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let production = Production::new(scratch.path());
    let node = production.start("127.0.0.1:0");
    let access = production.access(&node);
    let body = r#"{"field":"a","value":"b"}"#;
    let refused = fail(
        &mut access.client(&["actor", "send", "profile/ann", "set", body]),
        1,
    );
    for part in ["personal data", "privacy.key_file", "SELVEDGE_PRIVACY_KEY"] {
        assert!(refused.contains(part), "{refused}");
    }
    let label = [
        "op",
        "submit",
        "digest",
        "--id",
        "a",
        "--label",
        "subject=ann",
    ];
    let refused = fail(&mut access.client(&label), 1);
    assert!(refused.contains("privacy.key_file"), "{refused}");
    access.ask(&["op", "submit", "digest", "--id", "a"]);
    let wrong = [
        "op",
        "submit",
        "digest",
        "--id",
        "b",
        "--label",
        "subject=a b",
    ];
    let refused = fail(&mut access.client(&wrong), 2);
    assert!(refused.contains("labels.subject"), "{refused}");
    drop(node);
    let mut command = production.command("127.0.0.1:0");
    let wrong = fail(command.env("SELVEDGE_PRIVACY_KEY", "k1:00"), 2);
    assert!(
        wrong.contains("SELVEDGE_PRIVACY_KEY") && wrong.contains("entry 1"),
        "{wrong}"
    );
    let mut command = production.command("127.0.0.1:0");
    let key = format!("k1:{}", "5a".repeat(32));
    let node = Node::spawn(command.env("SELVEDGE_PRIVACY_KEY", key));
    let access = production.access(&node);
    access.ask(&["actor", "send", "profile/ann", "set", body]);
    let listed = access.ask(&["subject", "list"]);
    assert_eq!(listed["items"][0]["wrappedBy"], "k1", "{listed}");
}

/// A request to a node's HTTP address, and what it answers: the status, and the body in JSON.
pub(super) fn rest(node: &Node, method: &str, path: &str, body: &str) -> (u16, Value) {
    let address = node.ready["http"].as_str().unwrap();
    let token = node.ready["token"].as_str().unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = match head.contains("transfer-encoding: chunked") {
        // Each with its length in a line before it.
        true => body.split("\r\n").skip(1).step_by(2).collect(),
        false => body.to_owned(),
    };
    let body = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    (status, body)
}

#[test]
fn subjects_are_served_over_http() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("a"));
    let set = r#"{"command":"set","body":{"field":"name","value":"Ann"}}"#;
    assert_eq!(
        rest(&node, "POST", "/v1/actors/profile/ann/commands", set).0,
        200
    );
    let consent = r#"{"purpose":"mail","granted":true,"note":"by letter"}"#;
    let (status, said) = rest(&node, "POST", "/v1/subjects/ann/consents", consent);
    assert_eq!((status, &said["granted"]), (200, &json!(true)));
    let (status, wrong) = rest(
        &node,
        "POST",
        "/v1/subjects/ann/consents",
        r#"{"purpose":"a b","granted":true}"#,
    );
    assert_eq!((status, &wrong["field"]), (422, &json!("purpose")));
    let (status, shown) = rest(&node, "GET", "/v1/subjects/ann", "");
    assert_eq!(
        (status, &shown["consents"][0]["purpose"]),
        (200, &json!("mail"))
    );
    let (status, listed) = rest(&node, "GET", "/v1/subjects?limit=1", "");
    assert_eq!(
        (status, &listed["items"][0]["state"]),
        (200, &json!("present"))
    );
    let (status, next) = rest(&node, "GET", "/v1/subjects?limit=1&cursor=ann", "");
    assert_eq!((status, &next["items"]), (200, &json!([])));
    let (status, whole) = rest(&node, "GET", "/v1/subjects/ann/export", "");
    assert_eq!((status, &whole["tenant"]), (200, &json!("default")));
    let items = whole["items"].as_array().unwrap();
    for part in ["consent", "state", "event", "audit"] {
        assert!(
            items.iter().any(|item| item[part].is_object()),
            "{part}: {whole}"
        );
    }
    let (status, erased) = rest(&node, "POST", "/v1/subjects/ann/erase", "");
    assert_eq!(
        (status, &erased["erased"], &erased["actors"]),
        (200, &json!("now"), &json!(1))
    );
    let (status, again) = rest(&node, "POST", "/v1/subjects/ann/erase", "");
    assert_eq!(
        (status, &again["erased"], &again["actors"]),
        (200, &json!("before"), &json!(0))
    );
    assert_eq!(rest(&node, "POST", "/v1/subjects/eve/erase", "").0, 404);
    let (_, whole) = rest(&node, "GET", "/v1/subjects/ann/export", "");
    assert!(!whole.to_string().contains("Ann"), "{whole}");
    assert_eq!(rest(&node, "GET", "/v1/subjects/a%20b/export", "").0, 422);
}
