//! What is one tenant's is not there for another, whatever ids somebody knows and by whichever way they ask.

use selvedge_protocol::Tenant;
use selvedge_protocol::frame::{ClientFrame, Hello, ServerFrame};
use serde_json::{Value, json};

use super::{Frame, Node, Peer, ROOM, WAYS, Way, code, error};
use crate::bridge::client::{Http, Method};
use crate::edge::peer::hello;

/// Stands in whatever the one tenant has, and in no answer to the other.
const SECRET: &str = "only-of-the-default-tenant";

/// All of its tenant.
const OWNER: &str = "ann@role/admin";
const STRANGER: &str = "eve@role/admin";

/// Its things: an operation, actors, a schedule, a policy.
async fn furnish(node: &Node) {
    let own = node.http(OWNER);
    let created = [
        (
            "/v1/operations",
            json!({ "id": "mine", "type": "digest", "runAt": "2099-01-01T00:00:00Z",
                "metadata": { "secret": SECRET }, "labels": { "secret": SECRET } }),
        ),
        (
            "/v1/actors/room/one/commands",
            json!({ "command": "say", "body": { "text": SECRET } }),
        ),
        (
            "/v1/actors/schedule/nightly/commands",
            json!({ "command": "create", "body": {
                "cron": "30 2 * * *", "operation": { "type": "digest" }, "note": SECRET } }),
        ),
        (
            "/v1/actors/policy/digest/commands",
            json!({ "command": "set", "body": { "concurrency": 3 } }),
        ),
    ];
    for (path, body) in created {
        let answer = own.post(path, &body).await;
        assert!(answer.status.is_success(), "{path}: {:?}", answer.body);
    }
}

/// What the owner sees of all of it.
async fn inventory(node: &Node) -> Vec<Value> {
    let own = node.http(OWNER);
    let mut all = Vec::new();
    for path in [
        "/v1/operations",
        "/v1/operations/mine",
        "/v1/actors/room/one",
        "/v1/actors/schedule/nightly",
        "/v1/actors/policy/digest",
        "/v1/actors?kind=room",
    ] {
        all.push(own.get(path).await.json());
    }
    all
}

/// A session in another tenant than the principal's usual one.
async fn abroad(node: &Node, way: Way) -> Peer {
    let mut peer = node.connect(way).await;
    let hello = Hello {
        token: STRANGER.to_owned(),
        tenant: Some(Tenant::new("acme").unwrap()),
        ..hello(None)
    };
    peer.send(ClientFrame::Hello(hello)).await;
    let welcome = peer.next().await;
    assert!(matches!(welcome, ServerFrame::Welcome(_)), "{welcome:?}");
    peer
}

fn stranger(node: &Node) -> Http {
    node.http(STRANGER).header("selvedge-tenant", "acme")
}

/// Requests about what is there by these names in the other tenant, and what becomes of them: a code, or nothing where
/// an actor by that name begins a life of the stranger's own.
const FRAMES: [(Frame, &str); 13] = [
    (Frame::Query("operation mine", "get", ""), "not_found"),
    (Frame::Query("operation mine", "why", ""), "not_found"),
    (
        Frame::Command("operation mine", "cancel", "{}"),
        "not_found",
    ),
    (Frame::Command("operation mine", "pause", "{}"), "not_found"),
    (
        Frame::Command("operation mine", "signal", r#"{"name":"go"}"#),
        "not_found",
    ),
    (Frame::Query("operations", "list", "{}"), ""),
    (Frame::Query("room/one", "state", "{}"), ""),
    (Frame::Command("room/one", "say", r#"{"text":"hello"}"#), ""),
    (Frame::Query("actors", "list", r#"{"kind":"room"}"#), ""),
    (
        Frame::Command("schedule/nightly", "trigger", "{}"),
        "not_found",
    ),
    (
        Frame::Command("schedule/nightly", "delete", "{}"),
        "not_found",
    ),
    (Frame::Command("policy/digest", "reset", "{}"), ""),
    (Frame::Query("policy/digest", "get", "{}"), ""),
];

const REQUESTS: [(Method, &str, &str); 13] = [
    (Method::GET, "/v1/operations", ""),
    (
        Method::GET,
        "/v1/operations?label=secret%3Donly-of-the-default-tenant",
        "",
    ),
    (Method::GET, "/v1/operations/mine", ""),
    (Method::GET, "/v1/operations/mine/why", ""),
    (Method::GET, "/v1/operations/mine/events", ""),
    (Method::POST, "/v1/operations/mine/cancel", ""),
    (Method::POST, "/v1/operations/mine/retry", ""),
    (Method::GET, "/v1/actors/room/one", ""),
    (Method::GET, "/v1/actors?kind=room", ""),
    (Method::GET, "/v1/actors?kind=operation", ""),
    (Method::GET, "/v1/actors/operation/mine", ""),
    (Method::GET, "/v1/actors/schedule/nightly", ""),
    (Method::GET, "/v1/sessions", ""),
];

const DOCUMENTS: [&str; 7] = [
    "{ operations { items { id metadata } } }",
    "{ operation(id: \"mine\") { id metadata } }",
    "{ node(id: \"operation/mine\") { id } }",
    "{ actor(kind: \"room\", key: \"one\") { state } }",
    "{ actor(kind: \"schedule\", key: \"nightly\") { state } }",
    "{ actors(kind: \"room\") { items { key } } }",
    "mutation { cancelOperation(id: \"mine\") { id } }",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_s_things_are_not_there() {
    let node = Node::start().await;
    furnish(&node).await;
    let before = inventory(&node).await;
    assert!(before.iter().any(|seen| seen.to_string().contains(SECRET)));
    for way in WAYS {
        let mut peer = abroad(&node, way).await;
        for (frame, expected) in FRAMES {
            let outcome = peer.ask_for(frame).await;
            let said = outcome.as_ref().map_or_else(ToString::to_string, |body| {
                String::from_utf8_lossy(body).into_owned()
            });
            assert!(!said.contains(SECRET), "{way:?} {frame:?}: {said}");
            let outcome = outcome.map(drop);
            assert_eq!(code(&outcome), expected, "{way:?} {frame:?}");
        }
    }
    for (method, path, body) in REQUESTS {
        let answer = stranger(&node).send(method, path, body.into()).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        // A path that was asked for may be named again; what it leads to is not told.
        assert!(!said.replace(path, "").contains(SECRET), "{path}: {said}");
        if path.contains("mine") {
            assert!(!answer.status.is_success(), "{path}: {said}");
        }
    }
    for document in DOCUMENTS {
        let body = json!({ "query": document });
        let answer = stranger(&node).post("/graphql", &body).await.json();
        assert!(!answer.to_string().contains(SECRET), "{document}: {answer}");
        if document.contains("mine") && error(&answer).is_empty() {
            let data = answer["data"].as_object().unwrap();
            assert!(data.values().all(Value::is_null), "{document}: {answer}");
        }
    }
    assert_eq!(inventory(&node).await, before);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_messages_stay_in_their_tenant() {
    let node = Node::start().await;
    // Over a WebSocket all comes in the order in which it was said.
    let mut watcher = abroad(&node, Way::WebSocket).await;
    watcher.ask(Frame::Subscribe(ROOM)).await.unwrap();
    for way in WAYS {
        let mut owner = node.session(way, OWNER).await;
        let say = Frame::Command(ROOM, "say", r#"{"text":"only-of-the-default-tenant"}"#);
        owner.ask(say).await.unwrap();
        owner.tell("only here").await;
        // What the watcher's own tenant says comes, and it is the first that comes.
        abroad(&node, way).await.tell("to the neighbours").await;
        match watcher.next().await {
            ServerFrame::Ephemeral(heard) => assert_eq!(&*heard.name, "to the neighbours"),
            other => panic!("{way:?}: {other:?}"),
        }
    }
    node.stop().await;
}
