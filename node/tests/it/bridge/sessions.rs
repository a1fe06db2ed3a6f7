//! Sessions are listed, each tenant its own, and closed.

use hyper::StatusCode;
use selvedge_node::session::{End, LinkReceiver, NodeRoom, SessionHandle, Transport, link};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Hello};
use serde_json::{Value, json};

use super::Node;

/// Opens a session, as a connection over WebSocket does.
async fn open(node: &Node, token: &str, tenant: &str) -> (SessionHandle, LinkReceiver) {
    let (sender, receiver) = link(NodeRoom::new(0).connection());
    let hello = Hello {
        versions: vec![1],
        token: token.to_owned(),
        tenant: Some(tenant.parse().unwrap()),
        agent: "test".to_owned(),
        resume: None,
        ext: Vec::new(),
    };
    let link = sender.over(Transport::WebSocket);
    let opened = node.sessions.open(ClientFrame::Hello(hello), link).await;
    (opened.unwrap(), receiver)
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_by_tenant() {
    let node = Node::start().await;
    let (one, _link_one) = open(&node, "ann-token", "default").await;
    let (two, _link_two) = open(&node, "ann-token", "acme").await;
    let (three, _link_three) = open(&node, "admin-token", "default").await;
    let all: Vec<String> = [&one, &two, &three]
        .map(|handle| handle.session().to_string())
        .into();
    let listed = node.admin().get("/v1/sessions").await.json();
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(ids(&listed), sorted);
    let shown = &listed["items"][sorted.iter().position(|id| *id == all[0]).unwrap()];
    assert_eq!(shown["principal"], "ann");
    assert_eq!(shown["tenant"], "default");
    assert_eq!(shown["transport"], "websocket");
    assert_eq!(shown["connected"], true);
    assert_eq!(shown["node"], "node-1");
    // Page by page it is the same.
    let mut path = "/v1/sessions?limit=2".to_owned();
    let mut paged = Vec::new();
    loop {
        let answer = node.admin().get(&path).await;
        let page = answer.json();
        paged.extend(ids(&page).into_iter().map(ToOwned::to_owned));
        let Some(next) = answer.header("link").strip_prefix('<') else {
            break;
        };
        path = next.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(paged, sorted);
    // Others see those of their tenant.
    let acme = node.ann().header("selvedge-tenant", "acme");
    assert_eq!(ids(&acme.get("/v1/sessions").await.json()), [&*all[1]]);
    let refused = acme.get("/v1/sessions?tenant=default").await;
    assert_eq!(refused.problem(403, "permission_denied"), "tenant");
    let acme = node.admin().get("/v1/sessions?tenant=acme").await;
    assert_eq!(ids(&acme.json()), [&*all[1]]);
    let wrong = node.admin().get("/v1/sessions?cursor=x").await;
    assert_eq!(wrong.problem(422, "invalid"), "cursor");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_closed_hears_why() {
    let node = Node::start().await;
    let (session, receiver) = open(&node, "ann-token", "default").await;
    let path = format!("/v1/sessions/{}", session.session());
    let acme = node.ann().header("selvedge-tenant", "acme");
    acme.delete(&path).await.problem(404, "not_found");
    let closed = node.ann().delete(&path).await;
    assert_eq!(closed.status, StatusCode::NO_CONTENT);
    let end = loop {
        if let Some(end) = receiver.next().await.end {
            break end;
        }
    };
    match end {
        End::Failed(failure) => assert_eq!(failure.code, ErrorCode::PermissionDenied),
        other => panic!("not the end of a closed session: {other:?}"),
    }
    drop(session);
    let gone = async {
        while !node.sessions.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, gone).await.unwrap();
    node.ann().delete(&path).await.problem(404, "not_found");
    let wrong = node.ann().delete("/v1/sessions/mine").await;
    assert_eq!(wrong.problem(422, "invalid"), "id");
    let none = node.admin().get("/v1/sessions").await.json();
    assert_eq!(none, json!({ "items": [], "cursor": null }));
    node.stop().await;
}
