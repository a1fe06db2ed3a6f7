//! Tests of subscriptions as streams of events.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::node::{Node, PATIENCE, Request, Stream};

/// A stream of answers.
struct Events {
    stream: Stream,
    text: String,
}

impl Events {
    async fn open(node: &Node, request: Request<'_>) -> Self {
        let request = request.header("Accept", "text/event-stream");
        let mut stream = node.open(&request).await;
        let head = stream.head().await;
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(
            head.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        Self {
            stream,
            text: String::new(),
        }
    }

    /// The next answer; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                match event.split_once('\n') {
                    Some(("event: next", data)) => {
                        let data = data.strip_prefix("data: ").unwrap();
                        return Some(serde_json::from_str(data).unwrap());
                    }
                    Some(("event: complete", _)) => return None,
                    _ => assert_eq!(event, ":"),
                }
                continue;
            }
            let piece = timeout(PATIENCE, self.stream.piece()).await.unwrap();
            assert!(!piece.is_empty(), "it ended without saying so");
            self.text.push_str(&piece);
        }
    }
}

fn ask(query: &str) -> Request<'static> {
    Request::post(&json!({ "query": query }))
}

async fn say(node: &Node, text: &str) {
    let query = "mutation($text: String!) {
        sendCommand(kind: \"room\", key: \"r\", command: \"say\", body: {text: $text}) { seq } }";
    node.data(query, json!({ "text": text })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_order_from_any_position() {
    let node = Node::start().await;
    say(&node, "one").await;
    say(&node, "two").await;
    let watch = |after: u64| {
        let query = format!(
            "subscription {{ actorEvents(kind: \"room\", key: \"r\", after: {after}) {{ __typename ... on Event {{ \
             seq type time data }} ... on Gap {{ after seq snapshot }} }} }}"
        );
        ask(&query)
    };
    let mut all = Events::open(&node, watch(0)).await;
    let mut rest = Events::open(&node, watch(1)).await;
    say(&node, "three").await;
    for (events, from) in [(&mut all, 1), (&mut rest, 2)] {
        for seq in from..=3 {
            let answer = events.next().await.unwrap();
            let event = &answer["data"]["actorEvents"];
            assert_eq!(event["__typename"], "Event", "{answer}");
            assert_eq!(event["seq"], seq, "{answer}");
            let said = ["one", "two", "three"][seq - 1];
            assert!(event["data"].to_string().contains(said), "{answer}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_an_operation_end_with_its_last() {
    let node = Node::start().await;
    let submit = "mutation { submitOperation(input: {id: \"a1\", type: \"digest\"}) { created } }";
    node.data(submit, json!({})).await;
    let watch =
        "subscription { operationEvents(id: \"operation/a1\") { ... on Event { seq type } } }";
    let mut last = 0;
    // While it runs, and when it is over.
    for _ in 0..2 {
        let mut events = Events::open(&node, ask(watch)).await;
        let mut types = Vec::new();
        while let Some(answer) = events.next().await {
            let event = &answer["data"]["operationEvents"];
            assert_eq!(event["seq"], types.len() + 1, "{answer}");
            types.push(event["type"].as_str().unwrap().to_owned());
        }
        assert_eq!(types.first().map(String::as_str), Some("submitted"));
        assert_eq!(types.last().map(String::as_str), Some("succeeded"));
        last = types.len();
    }
    // Where the last is known there is nothing to wait for, and where there is no operation neither.
    let known =
        format!("subscription {{ operationEvents(id: \"a1\", after: {last}) {{ __typename }} }}");
    let mut events = Events::open(&node, ask(&known)).await;
    assert_eq!(events.next().await, None);
    let none = "subscription { operationEvents(id: \"none\") { __typename } }";
    let mut events = Events::open(&node, ask(none)).await;
    let answer = events.next().await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "not_found");
    assert_eq!(events.next().await, None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_can_be_answered_as_a_stream() {
    let node = Node::start().await;
    for (request, code) in [
        (ask("{ about { node } }"), None),
        (Request::get(&[("query", "{ about { node } }")]), None),
        (ask("{"), Some("invalid")),
        (ask("{ nothing }"), Some("invalid")),
        (ask("subscription { nothing }"), Some("invalid")),
        (
            ask(
                "subscription($a: Boolean) { operationEvents(id: \"x\", after: $a) { __typename } }",
            ),
            Some("invalid"),
        ),
        (
            ask("subscription { actorEvents(kind: \"X\", key: \"x\") { __typename } }"),
            Some("invalid"),
        ),
        (
            ask("subscription { actorEvents(kind: \"none\", key: \"x\") { __typename } }"),
            Some("unknown_kind"),
        ),
    ] {
        let mut events = Events::open(&node, request.clone()).await;
        let answer = events.next().await.unwrap();
        let said = answer["errors"][0]["extensions"]["code"].as_str();
        assert_eq!(said, code, "{request:?}: {answer}");
        if code.is_none() {
            assert_eq!(answer["data"]["about"]["node"], "node-1");
        }
        assert_eq!(events.next().await, None);
    }
    let response = node
        .send(
            ask("{ about { node } }")
                .without("Authorization")
                .header("Accept", "text/event-stream"),
        )
        .await;
    assert_eq!(response.status, 401);
    assert_eq!(response.error().0, "unauthenticated");
    node.stop().await;
}
