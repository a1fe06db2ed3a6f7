//! Tests of what the schema asks, tells and lists.

use std::collections::HashSet;

use selvedge_node::bridge::Introspection;
use serde_json::{Value, json};

use super::node::{Node, Request};

async fn submit(node: &Node, input: Value) -> Value {
    let query = "mutation($input: SubmitOperationInput!) { submitOperation(input: $input) {
        created operation { id operationId type status priority labels { key value } metadata } } }";
    node.data(query, json!({ "input": input })).await["submitOperation"].take()
}

/// Asks until an operation is final.
async fn finished(node: &Node, id: &str) -> Value {
    loop {
        let query =
            "query($id: ID!) { operation(id: $id) { status result error { code message } } }";
        let mut data = node.data(query, json!({ "id": id })).await;
        let status = data["operation"]["status"].as_str().unwrap().to_owned();
        if ["SUCCEEDED", "FAILED", "CANCELLED", "COMPENSATED"].contains(&&*status) {
            return data["operation"].take();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_is_submitted_once_and_read_whole() {
    let node = Node::start().await;
    let input = json!({
        "id": "a1", "type": "digest", "input": { "algorithm": "sha256" }, "metadata": { "from": "here" },
        "labels": [{ "key": "k", "value": "v" }], "priority": 3,
    });
    let submitted = submit(&node, input.clone()).await;
    assert_eq!(submitted["created"], true);
    let operation = &submitted["operation"];
    assert_eq!(operation["id"], "operation/a1");
    assert_eq!(operation["operationId"], "a1");
    assert_eq!(operation["labels"], json!([{ "key": "k", "value": "v" }]));
    assert_eq!(operation["metadata"], json!({ "from": "here" }));
    assert_eq!(submit(&node, input).await["created"], false);

    let done = finished(&node, "operation/a1").await;
    assert_eq!(done["status"], "SUCCEEDED", "{done}");
    let data = node
        .data(
            "{ operation(id: \"a1\") { tenant createdBy createdAt version attempt input steps { name status attempt }
               why { summary waits { reason } owner { node } } } }",
            json!({}),
        )
        .await;
    let operation = &data["operation"];
    assert_eq!(operation["tenant"], "default");
    assert_eq!(operation["createdBy"], "tester");
    assert_eq!(operation["input"], json!({ "algorithm": "sha256" }));
    assert!(operation["version"].is_u64());
    assert_eq!(operation["why"]["owner"]["node"], "node-1");

    let conflict = node
        .ask(
            "mutation { submitOperation(input: {id: \"a1\", type: \"import\"}) { created } }",
            json!({}),
        )
        .await;
    assert_eq!(
        conflict["errors"][0]["extensions"]["code"], "conflict",
        "{conflict}"
    );
    assert_eq!(conflict["errors"][0]["path"], json!(["submitOperation"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_steered_by_their_verbs() {
    let node = Node::start().await;
    let input = json!({ "id": "later", "type": "digest", "runAt": "2099-01-01T00:00:00Z" });
    submit(&node, input).await;
    for (verb, status) in [
        ("pauseOperation(id: \"later\")", "PAUSED"),
        (
            "resumeOperation(id: \"operation/later\", commandId: \"r1\")",
            "WAITING",
        ),
        (
            "resumeOperation(id: \"operation/later\", commandId: \"r1\")",
            "WAITING",
        ),
        (
            "signalOperation(id: \"later\", name: \"go\", data: {a: [1]})",
            "WAITING",
        ),
        ("cancelOperation(id: \"later\")", "CANCELLED"),
    ] {
        let data = node
            .data(&format!("mutation {{ x: {verb} {{ status }} }}"), json!({}))
            .await;
        assert_eq!(data["x"]["status"], status, "{verb}");
    }
    for (verb, code, field) in [
        ("cancelOperation(id: \"none\")", "not_found", Value::Null),
        ("cancelOperation(id: \"a b\")", "invalid", json!("id")),
        (
            "signalOperation(id: \"later\", name: \"\")",
            "invalid",
            json!("name"),
        ),
        (
            "submitOperation(input: {type: \"Digest\"}) { operation",
            "invalid",
            json!("input.type"),
        ),
        (
            "submitOperation(input: {type: \"digest\", runAt: \"soon\"}) { operation",
            "invalid",
            json!("runAt"),
        ),
    ] {
        let end = if verb.contains('{') && verb.ends_with("operation") {
            "}"
        } else {
            ""
        };
        let answer = node
            .ask(
                &format!("mutation {{ x: {verb} {{ status }} {end} }}"),
                json!({}),
            )
            .await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], code, "{verb}: {answer}");
        assert_eq!(extensions["field"], field, "{verb}: {answer}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_operations_are_whole_and_without_repeats() {
    let node = Node::start().await;
    for at in 0..7 {
        let labels = json!([{ "key": "parity", "value": (at % 2).to_string() }]);
        let input = json!({
            "id": format!("o{at}"), "type": "digest", "labels": labels, "runAt": "2099-01-01T00:00:00Z",
        });
        submit(&node, input).await;
    }
    let query = "query($filter: OperationFilter, $after: String) {
        operations(filter: $filter, first: 2, after: $after) {
            edges { cursor node { operationId } } pageInfo { hasNextPage hasPreviousPage endCursor startCursor } } }";
    for (filter, count) in [
        (json!(null), 7),
        (json!({ "type": "digest", "status": "WAITING" }), 7),
        (json!({ "label": "parity=1" }), 3),
        (json!({ "status": "FAILED" }), 0),
    ] {
        let mut seen = HashSet::new();
        let mut after = Value::Null;
        loop {
            let variables = json!({ "filter": filter, "after": after });
            let data = node.data(query, variables).await;
            let page = &data["operations"];
            assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
            for edge in page["edges"].as_array().unwrap() {
                let id = edge["node"]["operationId"].as_str().unwrap().to_owned();
                assert!(seen.insert(id), "{edge} comes twice");
            }
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(seen.len(), count, "{filter}");
    }
    // The cursor of any edge is a place to go on from.
    let data = node.data(query, json!({})).await;
    let edges = data["operations"]["edges"].as_array().unwrap().clone();
    let after = node
        .data(query, json!({ "after": edges[0]["cursor"] }))
        .await;
    assert_eq!(after["operations"]["edges"][0]["node"], edges[1]["node"]);

    for (argument, field) in [
        ("first: 0", "first"),
        ("first: -1", "first"),
        ("first: 501", "first"),
        ("after: \"!\"", "after"),
        ("after: \"eA\"", "after"),
        ("filter: {label: \"x\"}", "label"),
        ("filter: {type: \"X\"}", "filter.type"),
    ] {
        let answer = node
            .ask(
                &format!("{{ operations({argument}) {{ nodes {{ id }} }} }}"),
                json!({}),
            )
            .await;
        assert_eq!(
            answer["errors"][0]["extensions"]["field"], field,
            "{argument}: {answer}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_operations_are_listed_with_all_that_they_are_asked_for() {
    let node = Node::start().await;
    let text = "x".repeat(200_000);
    for id in ["large-1", "large-2"] {
        let input = json!({
            "id": id, "type": "digest", "input": { "text": text }, "runAt": "2099-01-01T00:00:00Z",
        });
        submit(&node, input).await;
    }
    let data = node
        .data("{ operations { nodes { operationId input } } }", json!({}))
        .await;
    let nodes = data["operations"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    for node in nodes {
        assert_eq!(node["input"]["text"], text);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_are_commanded_once_asked_and_listed() {
    let node = Node::start().await;
    let add = "mutation($key: String!, $id: String) {
        sendCommand(kind: \"counter\", key: $key, command: \"add\", body: {by: 2}, commandId: $id) {
            reply seq version actor { id state } } }";
    for key in ["a", "b/ü", "c"] {
        let told = node.data(add, json!({ "key": key, "id": key })).await;
        assert_eq!(told["sendCommand"]["seq"], 1, "{told}");
        assert_eq!(
            told["sendCommand"]["actor"]["id"],
            format!("actor/counter/{key}")
        );
    }
    // The same command id again changes nothing, one of its own does.
    let again = node.data(add, json!({ "key": "a", "id": "a" })).await;
    assert_eq!(again["sendCommand"]["seq"], 1);
    let anew = node.data(add, json!({ "key": "a" })).await;
    assert_eq!(anew["sendCommand"]["seq"], 2);

    let query = "{ a: actor(kind: \"counter\", key: \"a\") { key kind state seq version }
        get: actorQuery(kind: \"counter\", key: \"a\", name: \"get\") { reply seq } }";
    let data = node.data(query, json!({})).await;
    assert_eq!(data["a"]["seq"], 2);
    assert!(data["a"]["state"].to_string().contains('4'), "{data}");
    assert!(data["get"]["reply"].to_string().contains('4'), "{data}");

    let list = "query($after: String) { actors(kind: \"counter\", first: 2, after: $after) {
        nodes { key seq } pageInfo { hasNextPage endCursor } } }";
    let first = node.data(list, json!({})).await;
    let page = &first["actors"];
    assert_eq!(
        page["nodes"],
        json!([{ "key": "a", "seq": 2 }, { "key": "b/ü", "seq": 1 }])
    );
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let rest = node
        .data(list, json!({ "after": page["pageInfo"]["endCursor"] }))
        .await;
    assert_eq!(rest["actors"]["nodes"], json!([{ "key": "c", "seq": 1 }]));

    for (asked, code) in [
        (
            "actorQuery(kind: \"counter\", key: \"a\", name: \"nothing\") { seq }",
            "unknown_command",
        ),
        (
            "actorQuery(kind: \"operation\", key: \"a\", name: \"get\") { seq }",
            "unknown_kind",
        ),
        ("actors(kind: \"Counter\") { nodes { key } }", "invalid"),
        ("actor(kind: \"counter\", key: \"\") { seq }", "invalid"),
    ] {
        let answer = node.ask(&format!("{{ {asked} }}"), json!({})).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], code,
            "{asked}: {answer}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_has_an_id_is_found_by_it() {
    let node = Node::with(Introspection::On, "admin").await;
    let input = json!({ "id": "a1", "type": "digest", "runAt": "2099-01-01T00:00:00Z" });
    submit(&node, input).await;
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id
        ... on Operation { operationId } ... on Actor { key seq } ... on ClusterNode { node } } }";
    let ids = json!([
        "operation/a1",
        "actor/counter/a/b",
        "operation/none",
        "node/none"
    ]);
    let data = node.data(query, json!({ "ids": ids })).await;
    assert_eq!(
        data["nodes"],
        json!([
            { "__typename": "Operation", "id": "operation/a1", "operationId": "a1" },
            { "__typename": "Actor", "id": "actor/counter/a/b", "key": "a/b", "seq": 0 },
            null,
            null,
        ])
    );
    // What is there is no null because nothing that it has was asked for.
    let other = "{ node(id: \"actor/counter/a\") { ... on Operation { id } } none: node(id: \"operation/none\") {
        ... on Operation { id } } }";
    let data = node.data(other, json!({})).await;
    assert_eq!(data, json!({ "node": {}, "none": null }));
    let one = node
        .data("{ node(id: \"operation/a1\") { id } }", json!({}))
        .await;
    assert_eq!(one["node"]["id"], "operation/a1");
    let answer = node.ask("{ node(id: \"a1\") { id } }", json!({})).await;
    assert_eq!(answer["errors"][0]["extensions"]["field"], "id");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_is_shown_to_its_administrator() {
    let node = Node::with(Introspection::On, "admin").await;
    let query = "{ cluster { planNumber slots owned moving controller nodes { id node state roles slots versions { \
                 binary } } plan { number nodes { node count slots { first last } } } why { atRest reasons { code \
                 message } } } }";
    let data = node.data(query, json!({})).await;
    assert!(data["cluster"]["slots"].is_u64(), "{data}");
    let answer = node
        .ask(
            "mutation { drainNode(node: \"none\") { state } }",
            json!({}),
        )
        .await;
    assert_eq!(
        answer["errors"][0]["path"],
        json!(["drainNode"]),
        "{answer}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_is_read_once_in_a_request() {
    let node = Node::start().await;
    // As many fields of one actor as a request may have, in as many places: one read, whose answers agree.
    let places: String = (0..20)
        .map(|at| format!("a{at}: actor(kind: \"counter\", key: \"a\") {{ state seq version }} "))
        .collect();
    let data = node.data(&format!("{{ {places} }}"), json!({})).await;
    for at in 1..20 {
        assert_eq!(data[format!("a{at}")], data["a0"]);
    }
    // Within mutations, what was read before is read anew.
    let add = "sendCommand(kind: \"counter\", key: \"a\", command: \"add\", body: {by: 1}) { actor { seq } }";
    let data = node
        .data(
            &format!("mutation {{ a: {add} b: {add} c: {add} }}"),
            json!({}),
        )
        .await;
    for (name, seq) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(data[name]["actor"]["seq"], seq, "{data}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_as_it_was() {
    let node = Node::start().await;
    let response = node
        .send(Request::get(&[(
            "query",
            "{ __schema { types { name fields { name } } } }",
        )]))
        .await;
    let data = response.json();
    let types = data["data"]["__schema"]["types"].as_array().unwrap();
    let fields = |name: &str| -> Vec<String> {
        let found = types.iter().find(|it| it["name"] == name).unwrap();
        let fields = found["fields"].as_array().unwrap().iter();
        fields
            .map(|field| field["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        fields("Query"),
        [
            "about",
            "node",
            "nodes",
            "operation",
            "operations",
            "actor",
            "actors",
            "actorQuery",
            "cluster"
        ]
    );
    assert_eq!(
        fields("Mutation"),
        [
            "submitOperation",
            "cancelOperation",
            "pauseOperation",
            "resumeOperation",
            "retryOperation",
            "signalOperation",
            "sendCommand",
            "drainNode",
            "undrainNode",
            "removeNode"
        ]
    );
    assert_eq!(fields("Subscription"), ["operationEvents", "actorEvents"]);
    node.stop().await;
}
