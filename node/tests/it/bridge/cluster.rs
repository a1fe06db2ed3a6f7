//! The cluster and the configuration are the administrator's.

use serde_json::{Value, json};

use super::Node;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_tells_its_administrator_how_it_is() {
    let node = Node::start().await;
    let http = node.admin();
    let status = http.get("/v1/cluster").await.json();
    assert!(status["slots"].as_u64().unwrap() > 0, "{status}");
    let plan = http.get("/v1/cluster/plan").await.json();
    assert!(plan["nodes"].is_array(), "{plan}");
    let why = http.get("/v1/cluster/why").await.json();
    assert!(why["reasons"].is_array(), "{why}");
    let config = http.get("/v1/config").await.json();
    assert_eq!(config, json!({ "name": "node-1" }));
    // A node that is alone cannot be drained or removed, and another is not known.
    for path in [
        "/v1/cluster/nodes/node-9/drain",
        "/v1/cluster/nodes/node-9/undrain",
    ] {
        http.post(path, &json!({})).await.problem(404, "not_found");
        let answer = http.post(path, &json!({ "at": 1 })).await;
        assert_eq!(answer.problem(422, "invalid"), "at");
    }
    let answer = http.delete("/v1/cluster/nodes/node-9").await;
    assert_eq!(answer.problem(404, "not_found"), "node");
    let answer = http.get("/v1/cluster/why?node=").await;
    assert_eq!(answer.problem(422, "invalid"), "node");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_told_nothing_of_it() {
    let node = Node::start().await;
    let http = node.ann();
    for path in [
        "/v1/cluster",
        "/v1/cluster/plan",
        "/v1/cluster/why",
        "/v1/config",
    ] {
        http.get(path).await.problem(403, "permission_denied");
    }
    let drain = "/v1/cluster/nodes/node-1/drain";
    http.post(drain, &json!({}))
        .await
        .problem(403, "permission_denied");
    let remove = "/v1/cluster/nodes/node-1";
    let field = http.delete(remove).await.problem(403, "permission_denied");
    assert_eq!(field, Value::Null);
    node.stop().await;
}
