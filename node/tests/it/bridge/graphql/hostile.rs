//! Tests of hostile requests: each is refused, and fast.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::node::{Node, Request};

/// How long a refusal may take.
const FAST: Duration = Duration::from_millis(50);

/// Documents that cost more than they may, each in its own way.
fn documents() -> Vec<(&'static str, String)> {
    [deep_and_cyclic(), wide(), long()].concat()
}

fn repeated(count: usize, part: &dyn Fn(usize) -> String) -> String {
    (0..count).map(|at| format!("{} ", part(at))).collect()
}

fn nested(open: &str, close: &str, count: usize) -> String {
    format!("{}{}", open.repeat(count), close.repeat(count))
}

fn deep_and_cyclic() -> Vec<(&'static str, String)> {
    let mut doubling = "query { ...f0 }".to_owned();
    for at in 0..40 {
        let next = at + 1;
        doubling.push_str(&format!(
            "fragment f{at} on Query {{ ...f{next} ...f{next} }} "
        ));
    }
    let doubling_to = |last: &str| format!("{doubling} fragment f40 on Query {{ {last} }}");
    vec![
        (
            "depth 100",
            format!("{{ node(id: \"x\") {} }}", nested("{ a ", "}", 100)),
        ),
        ("depth 10,000", nested("{ a ", "}", 10_000)),
        ("unclosed", "{a".repeat(10_000)),
        (
            "inline fragments 100 deep",
            format!(
                "{{ {} __typename {} }}",
                "... { ".repeat(100),
                "}".repeat(100)
            ),
        ),
        (
            "10,000 aliases",
            format!(
                "{{ {} }}",
                repeated(10_000, &|at| format!("a{at}: about {{ node }}"))
            ),
        ),
        (
            "100 aliases",
            format!(
                "{{ about {{ {} }} }}",
                repeated(100, &|at| format!("a{at}: node"))
            ),
        ),
        (
            "100 roots",
            format!("{{ {} }}", repeated(100, &|_| "about { node }".to_owned())),
        ),
        (
            "a cycle",
            "query { ...a } fragment a on Query { ...a }".to_owned(),
        ),
        (
            "a long cycle",
            format!(
                "query {{ ...f0 }} {}",
                repeated(100, &|at| format!(
                    "fragment f{at} on Query {{ ...f{} }}",
                    (at + 1) % 100
                ))
            ),
        ),
        (
            "a cycle that is not used",
            "{ about { node } } fragment a on Query { ...b } fragment b on Query { ...a }"
                .to_owned(),
        ),
        ("doubling fragments", doubling_to("about { node }")),
        ("doubling fragments of nothing", doubling_to("...nothing")),
    ]
}

fn wide() -> Vec<(&'static str, String)> {
    vec![
        (
            "huge lists",
            "{ operations(first: 500) { nodes { id type status input result steps { name result attempt } } } }"
                .to_owned(),
        ),
        (
            "huge lists in aliases",
            format!(
                "{{ {} }}",
                repeated(30, &|at| format!(
                    "a{at}: actors(kind: \"counter\", first: 100) {{ nodes {{ state }} }}"
                ))
            ),
        ),
        ("a list too long", "{ operations(first: 2147483647) { nodes { id } } }".to_owned()),
        (
            "deep introspection",
            format!("{{ __schema {{ types {{ {} name {} }} }} }}", "fields { type { ".repeat(6), "} }".repeat(6)),
        ),
        (
            "deep introspection by a fragment",
            "{ __schema { types { ...a } } } fragment a on __Type { fields { type { ...b } } } \
             fragment b on __Type { fields { type { ...c } } } fragment c on __Type { fields { type { name \
             fields { name args { name type { name } } } } } }"
                .to_owned(),
        ),
        (
            "wide introspection",
            format!(
                "{{ __schema {{ {} }} }}",
                repeated(60, &|at| format!("a{at}: types {{ fields {{ name type {{ name }} }} }}"))
            ),
        ),
    ]
}

fn long() -> Vec<(&'static str, String)> {
    vec![
        (
            "directives on one field",
            format!("{{ about {{ node {} }} }}", "@skip(if: false) ".repeat(200)),
        ),
        (
            "unknown directives",
            format!("{{ about {{ node {} }} }}", "@a".repeat(600)),
        ),
        (
            "operations",
            repeated(200, &|at| format!("query q{at} {{ about {{ node }} }}")),
        ),
        (
            "variables",
            format!(
                "query({}) {{ about {{ node }} }}",
                repeated(400, &|at| format!("$v{at}: Int"))
            ),
        ),
        (
            "a deep value",
            format!("{{ operation(id: {}) {{ id }} }}", nested("[", "]", 5_000)),
        ),
        (
            "a deep type",
            format!(
                "query($a: {}) {{ about {{ node }} }}",
                nested("[", "]", 5_000).replacen("[]", "[Int]", 1)
            ),
        ),
        ("a large document", " ".repeat(900_000)),
        (
            "a large string",
            format!("{{ operation(id: \"{}\") {{ id }} }}", "x".repeat(900_000)),
        ),
        (
            "bytes that are none",
            "\u{0}\u{1}\u{feff}\u{feff}".repeat(5_000),
        ),
    ]
}

/// What the refusal of an empty document takes, on this machine as busy as it is.
async fn usual(node: &Node) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        node.ask("{", json!({})).await;
        fastest = fastest.min(begun.elapsed());
    }
    fastest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_documents_are_refused_within_50_ms() {
    let node = Node::start().await;
    usual(&node).await;
    for (name, document) in documents() {
        let body = json!({ "query": document });
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            let response = node.send(Request::post(&body)).await;
            fastest = fastest.min(begun.elapsed());
            let answer = response.json();
            assert!(
                answer["errors"][0]["message"].is_string(),
                "{name}: {answer}"
            );
            assert!(
                answer["errors"][0]["extensions"]["code"].is_string(),
                "{name}: {answer}"
            );
            let mut data = answer["data"].as_object().into_iter().flatten();
            assert!(data.all(|(_, value)| value.is_null()), "{name}: {answer}");
            assert!(
                response.body.len() < 64 * 1024,
                "{name}: {} bytes",
                response.body.len()
            );
            if fastest < FAST {
                break;
            }
        }
        assert!(fastest < FAST, "{name} took {fastest:?}");
    }
    // And the node serves as before.
    let data = node.data("{ about { node } }", json!({})).await;
    assert_eq!(data["about"]["node"], "node-1");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_variables_are_refused() {
    let node = Node::start().await;
    let query = "query($b: JSON) { actorQuery(kind: \"counter\", key: \"a\", name: \"get\", body: $b) { seq } }";
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"query":{},"variables":{{"b":{deep}}}}}"#, json!(query));
    let response = node.send(Request::post(&Value::Null).body(body)).await;
    assert_eq!(response.status, 400, "{response:?}");
    assert_eq!(response.error().0, "malformed");

    let many: Vec<Value> = (0..1_000)
        .map(|at| json!(format!("operation/{at}")))
        .collect();
    let answer = node
        .ask(
            "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
            json!({ "ids": many }),
        )
        .await;
    assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_too_much_says_what_a_document_costs() {
    let node = Node::start().await;
    let answer = node
        .ask(
            "{ operations(first: 500) { nodes { steps { name attempt result } } } }",
            json!({}),
        )
        .await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "too_large", "{answer}");
    assert!(
        error["message"].as_str().unwrap().contains("first"),
        "{answer}"
    );
    // What the usual tools send to learn the schema is answered.
    let introspection = include_str!("introspection.graphql");
    let data = node.data(introspection, json!({})).await;
    assert!(data["__schema"]["types"].as_array().unwrap().len() > 20);
    node.stop().await;
}
