//! Tests of the page of GraphQL: who gets it, where it is, and that it needs nobody else. What it does is tried in
//! Chromium, with the tests of the web client.

use selvedge_node::bridge::Introspection;
use serde_json::json;

use super::node::{Node, Request};

/// What browsers say of what a person opens.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

const PARTS: [(&str, &str); 2] = [
    ("/graphql/page.js", "text/javascript; charset=utf-8"),
    ("/graphql/page.css", "text/css; charset=utf-8"),
];

/// A page is for people, who look at it before they think of a second one.
const PAGE_BYTES_MAX: usize = 20_000;

fn open(path: &str, accept: &'static str) -> Request<'static> {
    Request::new("GET", path)
        .without("Authorization")
        .header("Accept", accept)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_get_a_page_that_needs_nobody_else() {
    let node = Node::start().await;
    for path in ["/graphql", "/graphql?query=%7Babout%7Bnode%7D%7D"] {
        for accept in [BROWSER, "text/html"] {
            let page = node.send(open(path, accept)).await;
            assert_eq!(page.status, 200, "{page:?}");
            assert_eq!(
                page.header("content-type"),
                Some("text/html; charset=utf-8")
            );
            assert_eq!(page.header("cache-control"), Some("no-cache"));
            assert_eq!(page.header("vary"), Some("Accept"));
            assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
            let policy = page.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"));
        }
    }
    let page = node.send(open("/graphql", BROWSER)).await;
    assert!(!page.body.contains("style=") && !page.body.contains("onclick"));
    let mut text = page.body.clone();
    for (path, media) in PARTS {
        assert!(page.body.contains(path));
        let part = node.send(open(path, "*/*")).await;
        assert_eq!(part.status, 200);
        assert_eq!(part.header("content-type"), Some(media));
        text.push_str(&part.body);
    }
    assert!(!text.contains("://"), "it names another place");
    assert!(text.len() < PAGE_BYTES_MAX, "{} bytes", text.len());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_something_else_first_gets_that() {
    let node = Node::start().await;
    let query = [("query", "{ about { node } }")];
    let data = json!({ "data": { "about": { "node": "node-1" } } });
    for accept in [
        "*/*",
        "application/json, text/html",
        "application/graphql-response+json, text/html;q=0.9",
        "text/html;q=0.5, */*",
    ] {
        let response = node
            .send(Request::get(&query).header("Accept", accept))
            .await;
        assert_eq!(response.json(), data, "{accept}");
    }
    let response = node.send(Request::get(&query)).await;
    assert_eq!(response.json(), data);
    let told = Request::post(&json!({ "query": "{ about { node } }" }));
    let response = node.send(told.clone().header("Accept", BROWSER)).await;
    assert_eq!(response.json(), data);
    let response = node.send(told.header("Accept", "text/html")).await;
    assert_eq!(response.status, 406);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_tell_its_schema_has_no_page() {
    let node = Node::with(Introspection::Off, "tester").await;
    let response = node.send(open("/graphql", "text/html")).await;
    assert_eq!(response.status, 406);
    let remedy = response.json()["detail"].to_string();
    assert!(remedy.contains("graphql_introspection"), "{remedy}");
    let response = node.send(open("/graphql", BROWSER)).await;
    assert_eq!(response.status, 401);
    for (path, _) in PARTS {
        assert_eq!(node.send(open(path, "*/*")).await.status, 404, "{path}");
    }
    node.stop().await;
}
