//! What tells how the node is: with the reason and what helps.

use hyper::StatusCode;
use serde_json::json;

use super::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_serves_is_ready() {
    let node = Node::start().await;
    let http = node.nobody();
    assert_eq!(http.get("/livez").await.json(), json!({ "status": "ok" }));
    let ready = json!({ "status": "ready", "node": "node-1", "reasons": [] });
    assert_eq!(http.get("/readyz").await.json(), ready);
    let health = http.get("/healthz").await.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["parts"][0]["name"], "store");
    assert_eq!(health["parts"][1]["name"], "bridge");
    let version = http.get("/version").await.json();
    assert_eq!(version["api"], json!(["v1"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_fails_says_why() {
    let node = Node::start().await;
    let reason = "the disk of /data is full; free some space";
    *node.trouble.lock() = Some(reason.to_owned());
    let ready = node.nobody().get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["reasons"], json!([reason]));
    let health = node.nobody().get("/healthz").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.json()["parts"][0]["status"], "failing");
    assert_eq!(health.json()["parts"][1]["status"], "ok");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_told_with_closed_labels() {
    let node = Node::start().await;
    let http = node.ann();
    for path in [
        "/v1/actors/counter/secret-key",
        "/nothing/here",
        "/v1/operations",
    ] {
        http.get(path).await;
    }
    let metrics = node.nobody().get("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for part in [
        "# HELP selvedge_http_requests_total",
        "selvedge_http_requests_total{method=\"GET\",route=\"/v1/actors/{kind}/{key}\",status=\"2xx\"}",
        "selvedge_http_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}",
        "selvedge_http_seconds",
        "selvedge_sessions{transport=\"websocket\"} 0",
        "selvedge_build_info{version=\"0.1.0\",schema=\"1\"} 1",
        "process_resident_memory_bytes",
        "# HELP selvedge_actor_commits_total",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("secret-key") && !text.contains("/nothing/here"));
    node.stop().await;
}
