//! Wrong input on each path: a problem that names the field and what to do.

use hyper::Method;
use serde_json::{Value, json};

use super::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
async fn wrong_bodies_name_their_field() {
    let node = Node::start().await;
    let http = node.ann();
    let operations = "/v1/operations";
    let commands = "/v1/actors/counter/a/commands";
    for (path, body, status, code, field) in [
        (operations, json!({}), 422, "invalid", "type"),
        (
            operations,
            json!({ "type": "Digest" }),
            422,
            "invalid",
            "type",
        ),
        (
            operations,
            json!({ "type": "digest", "prio": 1 }),
            422,
            "invalid",
            "prio",
        ),
        (
            operations,
            json!({ "type": "digest", "priority": "high" }),
            422,
            "invalid",
            "priority",
        ),
        (
            operations,
            json!({ "type": "digest", "id": "a b" }),
            422,
            "invalid",
            "id",
        ),
        (
            operations,
            json!({ "type": "digest", "labels": { "a=": "b" } }),
            422,
            "invalid",
            "labels",
        ),
        (
            operations,
            json!({ "type": "digest", "labels": { "a": 1 } }),
            422,
            "invalid",
            "labels.a",
        ),
        (
            operations,
            json!({ "type": "digest", "runAt": "soon" }),
            422,
            "invalid",
            "runAt",
        ),
        (
            operations,
            json!({ "type": "digest", "deadline": "2001-01-01T00:00:00Z" }),
            422,
            "invalid",
            "deadline",
        ),
        (operations, json!([]), 422, "invalid", "body"),
        (commands, json!({ "body": {} }), 422, "invalid", "command"),
        (
            commands,
            json!({ "command": "" }),
            422,
            "invalid",
            "command",
        ),
        (
            commands,
            json!({ "command": "add", "by": 1 }),
            422,
            "invalid",
            "by",
        ),
        (
            commands,
            json!({ "command": "add", "body": { "by": "much" } }),
            422,
            "invalid",
            "body",
        ),
        (
            "/v1/actors/counter/a/queries",
            json!({}),
            422,
            "invalid",
            "query",
        ),
        ("/v1/operations/a/signal", json!({}), 422, "invalid", "name"),
        (
            "/v1/operations/a/retry",
            json!({ "at": 1 }),
            422,
            "invalid",
            "at",
        ),
        (
            "/v1/operations/a/cancel",
            json!({ "now": 1 }),
            422,
            "invalid",
            "now",
        ),
    ] {
        let answer = http.post(path, &body).await;
        assert_eq!(answer.problem(status, code), field, "{path} {body}");
    }
    for (path, body, code) in [
        (commands, json!({ "command": "jump" }), "unknown_command"),
        (
            "/v1/actors/nothing/a/commands",
            json!({ "command": "add" }),
            "unknown_kind",
        ),
        ("/v1/operations/none/cancel", json!({}), "not_found"),
    ] {
        http.post(path, &body).await.problem(404, code);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_is_refused() {
    let node = Node::start().await;
    let http = node.ann().header("content-type", "application/json");
    for body in [
        "",
        "{",
        "{\"type\":\"digest\"} {}",
        "nothing",
        "{\"type\":\"digest\"",
        "\u{0}",
    ] {
        let answer = http.send(Method::POST, "/v1/operations", body.into()).await;
        assert_eq!(answer.problem(400, "malformed"), "body", "{body:?}");
    }
    let deep = "[".repeat(100_000);
    let answer = http.send(Method::POST, "/v1/operations", deep.into()).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_parameters_name_themselves() {
    let node = Node::start().await;
    let http = node.ann();
    for (path, field) in [
        ("/v1/operations?status=done", "status"),
        ("/v1/operations?type=A", "type"),
        ("/v1/operations?label=a", "label"),
        ("/v1/operations?cursor=x", "cursor"),
        ("/v1/operations?limit=0", "limit"),
        ("/v1/operations?limit=501", "limit"),
        ("/v1/operations?createdAfter=today", "createdAfter"),
        ("/v1/operations?limit=1&limit=2", "limit"),
        ("/v1/operations?staus=failed", "staus"),
        ("/v1/operations/a?consistency=some", "consistency"),
        ("/v1/operations/a%20b", "id"),
        ("/v1/operations/a/why?x=1", "x"),
        ("/v1/actors", "kind"),
        ("/v1/actors?kind=", "kind"),
        ("/v1/actors?kind=counter&cursor=*", "cursor"),
        ("/v1/actors/Counter/a", "kind"),
        ("/v1/actors/counter/%FF", "key"),
        ("/v1/actors/counter/a?consistency=", "consistency"),
    ] {
        let answer = http.get(path).await;
        assert_eq!(answer.problem(422, "invalid"), field, "{path}");
    }
    let long = format!("/v1/actors/counter/{}", "k".repeat(513));
    assert_eq!(http.get(&long).await.problem(422, "invalid"), "key");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_and_strangers_are_refused() {
    let node = Node::start().await;
    for http in [
        node.nobody(),
        node.client("wrong"),
        node.nobody().header("authorization", "Basic YTpi"),
        node.nobody().header("authorization", "Bearer"),
        node.nobody().header("authorization", "Bearer "),
        node.client(&"x".repeat(9_000)),
    ] {
        let answer = http.get("/v1/operations").await;
        answer.problem(401, "unauthenticated");
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"selvedge\""
        );
        // The body of somebody unknown is not looked at.
        let answer = http.post("/v1/operations", &json!({ "prio": 1 })).await;
        answer.problem(401, "unauthenticated");
    }
    let stranger = node.ann().header("selvedge-tenant", "other");
    let answer = stranger.get("/v1/operations").await;
    answer.problem(403, "permission_denied");
    let wrong = node.ann().header("selvedge-tenant", "No Tenant");
    let answer = wrong.get("/v1/operations").await;
    assert_eq!(answer.problem(422, "invalid"), "Selvedge-Tenant");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_headers_name_themselves() {
    let node = Node::start().await;
    let body = json!({ "type": "digest" });
    for (header, value, status, field) in [
        ("idempotency-key", "", 422, json!("Idempotency-Key")),
        (
            "idempotency-key",
            &"k".repeat(256),
            422,
            json!("Idempotency-Key"),
        ),
        ("selvedge-version", "2", 400, json!("Selvedge-Version")),
        ("accept", "text/html", 406, json!("Accept")),
        ("content-encoding", "br", 415, json!("Content-Encoding")),
        ("origin", "https://evil.example", 403, json!("Origin")),
        ("host", "evil.example", 403, json!("Host")),
    ] {
        let http = node.ann().header(header, value);
        let answer = http.post("/v1/operations", &body).await;
        let problem = answer.json();
        assert_eq!(answer.status.as_u16(), status, "{header}: {problem}");
        assert_eq!(problem["field"], field, "{problem}");
    }
    let twice = node
        .ann()
        .header("idempotency-key", "a")
        .more("idempotency-key", "b");
    let answer = twice.post("/v1/operations", &body).await;
    assert_eq!(answer.problem(422, "invalid"), "idempotency-key");
    let text = node.ann().header("content-type", "text/plain");
    let answer = text.send(Method::POST, "/v1/operations", "{}".into()).await;
    assert_eq!(answer.problem(415, "invalid"), "Content-Type");
    let none: Value = node.ann().get("/v1/operations").await.json();
    assert_eq!(
        none["items"],
        json!([]),
        "nothing of all this was submitted"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_are_not_there_say_so() {
    let node = Node::start().await;
    let http = node.ann();
    let answer = http.get("/v1/operations/").await;
    answer.problem(404, "not_found");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.ends_with("no slash at their end: /v1/operations"),
        "{detail}"
    );
    http.get("/v1/nothing").await.problem(404, "not_found");
    http.get("/v1/nothing").await.problem(404, "not_found");
    let answer = http.delete("/v1/operations").await;
    answer.problem(405, "unknown_command");
    let allowed = answer.header("allow");
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        assert!(allowed.contains(method), "{allowed}");
    }
    node.stop().await;
}
