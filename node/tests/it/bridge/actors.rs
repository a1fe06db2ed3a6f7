//! Actors over REST: commanded once, looked at, asked, listed, by keys of any text.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Node;
use super::client::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_answered_with_what_it_made() {
    let node = Node::start().await;
    let http = node.ann();
    let add = json!({ "command": "add", "body": { "by": 2 } });
    let answer = http.post("/v1/actors/counter/a/commands", &add).await;
    assert_eq!(answer.status, StatusCode::OK);
    let made = json!({ "reply": { "value": 2 }, "seq": 1, "version": 1 });
    assert_eq!(answer.json(), made);
    let state = http.get("/v1/actors/counter/a").await;
    let known = json!({ "state": { "value": 2 }, "seq": 1, "version": 1 });
    assert_eq!(state.json(), known);
    let tag = state.header("etag").to_owned();
    let unchanged = http.header("if-none-match", &tag);
    let answer = unchanged.get("/v1/actors/counter/a").await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    http.post("/v1/actors/counter/a/commands", &add).await;
    let changed = unchanged.get("/v1/actors/counter/a").await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), tag);
    let query = json!({ "query": "get" });
    let asked = http.post("/v1/actors/counter/a/queries", &query).await;
    assert_eq!(asked.json()["reply"], json!({ "value": 4 }));
    let path = "/v1/actors/counter/a/queries?consistency=eventual";
    let asked = http.post(path, &query).await;
    assert_eq!(asked.json()["reply"], json!({ "value": 4 }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_makes_a_command_take_effect_once() {
    let node = Node::start().await;
    let add = json!({ "command": "add", "body": { "by": 1 } });
    let path = "/v1/actors/counter/once/commands";
    let keyed = node.ann().header("idempotency-key", "only once");
    let first = keyed.post(path, &add).await.json();
    for _ in 0..3 {
        assert_eq!(keyed.post(path, &add).await.json(), first);
    }
    // The key counts for its target and its client.
    let other = node.admin().header("idempotency-key", "only once");
    assert_eq!(other.post(path, &add).await.json()["reply"]["value"], 2);
    let elsewhere = "/v1/actors/counter/elsewhere/commands";
    assert_eq!(
        keyed.post(elsewhere, &add).await.json()["reply"]["value"],
        1
    );
    // Without one each counts.
    node.ann().post(path, &add).await;
    assert_eq!(
        node.ann().post(path, &add).await.json()["reply"]["value"],
        4
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_may_be_on_condition_of_what_was_read() {
    let node = Node::start().await;
    let http = node.ann();
    let (path, commands) = ("/v1/actors/counter/c", "/v1/actors/counter/c/commands");
    let add = json!({ "command": "add", "body": { "by": 1 } });
    let tag = |answer: &Answer| answer.header("etag").to_owned();
    let before = http.header("if-match", &tag(&http.get(path).await));
    assert_eq!(before.post(commands, &add).await.status, StatusCode::OK);
    let refused = before.post(commands, &add).await;
    assert_eq!(refused.problem(412, "conflict"), "ifVersion");
    let by_body =
        |version: u64| json!({ "command": "add", "body": { "by": 1 }, "ifVersion": version });
    http.post(commands, &by_body(0))
        .await
        .problem(412, "conflict");
    assert_eq!(
        http.post(commands, &by_body(1)).await.status,
        StatusCode::OK
    );
    // A repeat of what was done is that.
    let keyed = http.header("idempotency-key", "conditional");
    let first = keyed.post(commands, &by_body(2)).await.json();
    assert_eq!(keyed.post(commands, &by_body(2)).await.json(), first);
    let weak = http
        .header("if-match", "W/\"3\"")
        .post(commands, &add)
        .await;
    assert_eq!(weak.problem(422, "invalid"), "If-Match");
    let any = http.header("if-match", "*").post(commands, &add).await;
    assert_eq!(any.problem(422, "invalid"), "If-Match");
    let two = http
        .header("if-match", "\"3\"")
        .post(commands, &by_body(2))
        .await;
    assert_eq!(two.problem(422, "invalid"), "ifVersion");
    assert_eq!(http.get(path).await.json()["state"]["value"], 3);
    // The same for the verbs of an operation.
    let body = json!({ "id": "o", "type": "digest", "runAt": "2100-01-01T00:00:00Z" });
    http.post("/v1/operations", &body).await;
    let read = http.header("if-match", &tag(&http.get("/v1/operations/o").await));
    assert_eq!(
        read.tell("/v1/operations/o/pause").await.status,
        StatusCode::OK
    );
    read.tell("/v1/operations/o/resume")
        .await
        .problem(412, "conflict");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_any_text() {
    let node = Node::start().await;
    let http = node.ann();
    for (path, by) in [
        ("a%2Fb", 1),
        ("a%252Fb", 2),
        ("%E2%82%AC%20and%20%2B", 3),
        ("..", 4),
        ("events", 5),
        ("a+b", 6),
        ("a%2Bb", 7),
    ] {
        let add = json!({ "command": "add", "body": { "by": by } });
        let at = format!("/v1/actors/counter/{path}");
        let answer = http.post(&format!("{at}/commands"), &add).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
    }
    // A plus is a plus in a path, encoded or not.
    let sum = http.get("/v1/actors/counter/a+b").await.json();
    assert_eq!(sum["state"]["value"], 13);
    let page = http.get("/v1/actors?kind=counter").await.json();
    let keys: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["..", "a%2Fb", "a+b", "a/b", "events", "€ and +"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_are_listed_page_by_page() {
    let node = Node::start().await;
    let http = node.ann();
    let add = json!({ "command": "add", "body": { "by": 1 } });
    for key in ["a", "b", "c", "d"] {
        let path = format!("/v1/actors/counter/{key}/commands");
        http.post(&path, &add).await;
    }
    let mut path = "/v1/actors?kind=counter&limit=3".to_owned();
    let mut keys = Vec::new();
    let pages = loop {
        let answer = http.get(&path).await;
        let page = answer.json();
        keys.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = answer.header("link").strip_prefix('<') else {
            break page;
        };
        path = next.split_once('>').unwrap().0.to_owned();
    };
    assert_eq!(pages["cursor"], Value::Null);
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[3], json!({ "kind": "counter", "key": "d" }));
    node.stop().await;
}
