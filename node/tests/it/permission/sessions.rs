//! Sessions of others are seen and closed by who may, one's own by who may that alone.

use serde_json::Value;

use super::{Node, Peer, Way};
use crate::bridge::client::StatusCode;

/// The id of a new session, and the session itself.
async fn open(node: &Node, token: &str) -> (String, Peer) {
    let mut peer = node.connect(Way::WebSocket).await;
    let welcome = peer.greet(token, None).await.unwrap();
    (welcome.session.to_string(), peer)
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_s_own_sessions_are_all_that_one_sees_and_closes() {
    let node = Node::start().await;
    let (ann, _ann) = open(&node, "ann@role/developer").await;
    let (ben, _ben) = open(&node, "ben@role/developer").await;
    let mut both = vec![ann.clone(), ben.clone()];
    both.sort();

    let list = async |token: &str| ids(&node.http(token).get("/v1/sessions").await.json());
    assert_eq!(list("ann@own/session:read").await, [&*ann]);
    assert_eq!(list("ben@own/session:read").await, [&*ben]);
    assert_eq!(list("eve@own/session:read").await, [""; 0]);
    assert_eq!(list("eve@role/viewer").await, both);
    // The same name in another tenant is somebody else.
    let elsewhere = node.http("ann@own/session:read");
    let elsewhere = elsewhere.header("selvedge-tenant", "acme");
    assert_eq!(ids(&elsewhere.get("/v1/sessions").await.json()), [""; 0]);

    let path = format!("/v1/sessions/{ben}");
    let close = async |token: &str| node.http(token).delete(&path).await;
    close("ann@own/session:write")
        .await
        .problem(404, "not_found");
    close("ann@own/session:read")
        .await
        .problem(403, "permission_denied");
    close("ann@role/developer")
        .await
        .problem(403, "permission_denied");
    let elsewhere = node.http("ben@own/session:write");
    let elsewhere = elsewhere.header("selvedge-tenant", "acme");
    elsewhere.delete(&path).await.problem(404, "not_found");
    let closed = close("ben@own/session:write").await;
    assert_eq!(closed.status, StatusCode::NO_CONTENT);
    let closed = node.http("eve@role/operator");
    let closed = closed.delete(&format!("/v1/sessions/{ann}")).await;
    assert_eq!(closed.status, StatusCode::NO_CONTENT);
    drop((_ann, _ben));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_tenants_are_for_administrators_of_the_cluster() {
    let node = Node::start().await;
    let (ann, _ann) = open(&node, "ann@role/developer").await;
    let acme = |token: &str| node.http(token).header("selvedge-tenant", "acme");
    for token in ["eve@role/admin", "eve@without/cluster:administer"] {
        assert_eq!(ids(&acme(token).get("/v1/sessions").await.json()), [""; 0]);
        let asked = acme(token).get("/v1/sessions?tenant=default").await;
        assert_eq!(asked.problem(403, "permission_denied"), "tenant");
        let path = format!("/v1/sessions/{ann}");
        acme(token).delete(&path).await.problem(404, "not_found");
    }
    let all = acme("eve@cluster/admin").get("/v1/sessions").await.json();
    assert_eq!(ids(&all), [&*ann]);
    // Administering the cluster is no role: sessions are not part of it.
    let none = acme("eve@only/config:read").get("/v1/sessions").await;
    none.problem(403, "permission_denied");
    drop(_ann);
    node.stop().await;
}
