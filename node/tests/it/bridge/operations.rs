//! Operations over REST: submitted once, listed, looked at, steered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::client::Http;
use super::{Node, PATIENCE};

/// The operation once its status is this.
async fn until(http: &Http, id: &str, status: &str) -> Value {
    let looking = async {
        loop {
            let operation = http.get(&format!("/v1/operations/{id}")).await.json();
            if operation["status"] == status {
                return operation;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_is_accepted_once() {
    let node = Node::start().await;
    let http = node.ann();
    let payload = STANDARD.encode("selvedge");
    let body = json!({ "id": "a1", "type": "digest", "payload": payload, "labels": { "k": "v" } });
    let answer = http.post("/v1/operations", &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.header("location"), "/v1/operations/a1");
    let operation = answer.json();
    assert_eq!(operation["id"], "a1");
    assert_eq!(operation["createdBy"], "ann");
    assert_eq!(operation["created"], Value::Null);
    let done = until(&http, "a1", "succeeded").await;
    assert_eq!(done["result"]["bytes"], 8);

    // The same again is what it has become; another input is a conflict.
    let again = http.post("/v1/operations", &body).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.json()["status"], "succeeded");
    let other = json!({ "id": "a1", "type": "digest", "input": { "more": 1 } });
    let refused = http.post("/v1/operations", &other).await;
    assert_eq!(refused.problem(409, "conflict"), "id");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_makes_a_submit_one_operation_of_its_client() {
    let node = Node::start().await;
    let body = json!({ "type": "digest" });
    let ann = node.ann().header("idempotency-key", "\"the first import\"");
    let one = ann.post("/v1/operations", &body).await;
    assert_eq!(one.status, StatusCode::ACCEPTED);
    let plain = ann.header("idempotency-key", "the first import");
    let two = plain.post("/v1/operations", &body).await;
    assert_eq!(two.status, StatusCode::OK);
    assert_eq!(one.json()["id"], two.json()["id"]);
    // Somebody else's key is another one, and so is one of another tenant.
    for other in [
        node.admin().header("idempotency-key", "the first import"),
        plain.header("selvedge-tenant", "acme"),
    ] {
        let answer = other.post("/v1/operations", &body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_ne!(answer.json()["id"], one.json()["id"]);
    }
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    let answer = node.ann().header("idempotency-key", uuid);
    let answer = answer.post("/v1/operations", &body).await;
    assert_eq!(answer.json()["id"], uuid);
    // Without either, each is one of its own.
    let ids = [
        node.ann().post("/v1/operations", &body).await.json(),
        node.ann().post("/v1/operations", &body).await.json(),
    ];
    assert_ne!(ids[0]["id"], ids[1]["id"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_listed_page_by_page() {
    let node = Node::start().await;
    let http = node.ann();
    for number in 0..5 {
        let label = if number % 2 == 0 { "even" } else { "odd" };
        let body =
            json!({ "id": format!("d{number}"), "type": "digest", "labels": { "is": label } });
        http.post("/v1/operations", &body).await;
        until(&http, &format!("d{number}"), "succeeded").await;
    }
    let mut path = "/v1/operations?limit=2&status=succeeded&type=digest".to_owned();
    let mut ids = Vec::new();
    loop {
        let answer = http.get(&path).await;
        let page = answer.json();
        for item in page["items"].as_array().unwrap() {
            ids.push(item["id"].as_str().unwrap().to_owned());
        }
        let link = answer.header("link");
        assert_eq!(link.is_empty(), page["cursor"].is_null(), "{page}");
        let Some(next) = link.strip_prefix('<') else {
            break;
        };
        assert!(next.ends_with("; rel=\"next\""), "{link}");
        path = next.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(ids, ["d4", "d3", "d2", "d1", "d0"]);
    let odd = http.get("/v1/operations?label=is%3Dodd").await.json();
    assert_eq!(odd["items"].as_array().unwrap().len(), 2);
    // Another tenant has none of them.
    let acme = http.header("selvedge-tenant", "acme");
    let none = acme.get("/v1/operations").await.json();
    assert_eq!(none, json!({ "items": [], "cursor": null }));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_steered_and_say_what_they_wait_for() {
    let node = Node::start().await;
    let http = node.ann();
    let later = "2100-01-01T00:00:00Z";
    let body = json!({ "id": "later", "type": "digest", "runAt": later });
    http.post("/v1/operations", &body).await;
    let why = http.get("/v1/operations/later/why").await.json();
    assert_eq!(why["waits"][0]["reason"], "time", "{why}");
    let paused = http.tell("/v1/operations/later/pause").await;
    assert_eq!(paused.status, StatusCode::OK);
    assert_eq!(paused.json()["status"], "paused");
    let resumed = http.post("/v1/operations/later/resume", &json!({})).await;
    assert_eq!(resumed.json()["status"], "waiting");
    let signal = json!({ "name": "go", "data": { "now": true } });
    let told = http.post("/v1/operations/later/signal", &signal).await;
    assert_eq!(told.status, StatusCode::OK);
    let cancelled = http.tell("/v1/operations/later/cancel").await;
    assert_eq!(cancelled.json()["status"], "cancelled");
    let retried = http.tell("/v1/operations/later/retry").await;
    assert_eq!(retried.status, StatusCode::OK, "{:?}", retried.body);
    let conflict = http.tell("/v1/operations/later/retry").await;
    conflict.problem(409, "conflict");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_has_not_changed_is_not_sent_again() {
    let node = Node::start().await;
    let http = node.ann();
    let body = json!({ "id": "d", "type": "digest" });
    http.post("/v1/operations", &body).await;
    until(&http, "d", "succeeded").await;
    let first = http.get("/v1/operations/d").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    let known = http.header("if-none-match", &format!("\"other\", W/{tag}"));
    let second = known.get("/v1/operations/d").await;
    assert_eq!(second.status, StatusCode::NOT_MODIFIED);
    assert!(second.body.is_empty());
    assert_eq!(second.header("etag"), tag);
    let eventual = http.get("/v1/operations/d?consistency=eventual").await;
    assert_eq!(eventual.json(), first.json());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_and_arguments_are_bounded() {
    let node = Node::start().await;
    let http = node.ann();
    let large = "x".repeat(70_000);
    let body = json!({ "id": "l", "type": "digest", "input": large });
    let refused = http.post("/v1/operations", &body).await;
    assert_eq!(refused.problem(413, "too_large"), "input");
    let body = json!({ "id": "l", "type": "digest", "payload": "*" });
    let refused = http.post("/v1/operations", &body).await;
    assert_eq!(refused.problem(422, "invalid"), "payload");
    let body = json!({ "id": "l", "type": "digest", "payload": "A".repeat(super::BODY_BYTES_MAX) });
    let refused = http.post("/v1/operations", &body).await;
    assert_eq!(refused.problem(413, "too_large"), "body");
    http.get("/v1/operations/l").await.problem(404, "not_found");
    node.stop().await;
}
