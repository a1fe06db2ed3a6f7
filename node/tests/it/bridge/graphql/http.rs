//! Tests of GraphQL over HTTP: types of content, statuses, addresses, batches, persisted queries and credentials.

use selvedge_node::bridge::Introspection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::node::{Node, Request};

const GRAPHQL: &str = "application/graphql-response+json";

fn ask(query: &str) -> Request<'static> {
    Request::post(&json!({ "query": query }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_type_of_an_answer_is_the_one_that_was_asked_for() {
    let node = Node::start().await;
    for (accept, answered) in [
        (None, "application/json; charset=utf-8"),
        (Some("*/*"), "application/json; charset=utf-8"),
        (Some("application/json"), "application/json; charset=utf-8"),
        (
            Some(GRAPHQL),
            "application/graphql-response+json; charset=utf-8",
        ),
    ] {
        let mut request = ask("{ about { node } }");
        if let Some(accept) = accept {
            request = request.header("Accept", accept);
        }
        let response = node.send(request).await;
        assert_eq!(response.status, 200, "{accept:?}: {response:?}");
        assert_eq!(response.header("content-type"), Some(answered));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(
            response.json(),
            json!({ "data": { "about": { "node": "node-1" } } })
        );
    }
    for accept in ["text/html", "image/png", "application/json;q=0"] {
        let response = node
            .send(ask("{ about { node } }").header("Accept", accept))
            .await;
        assert_eq!(response.status, 406, "{accept}");
        assert_eq!(response.json()["field"], "Accept");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_say_how_a_request_went_to_who_understands_them() {
    let node = Node::start().await;
    for (query, code) in [
        ("{", "invalid"),
        ("{ nothing }", "invalid"),
        ("query a { __typename } query b { __typename }", "invalid"),
        ("query($id: ID!) { operation(id: $id) { id } }", "invalid"),
        (
            "subscription { operationEvents(id: \"a\") { __typename } }",
            "invalid",
        ),
        (
            "query($f: Boolean) { operations(first: $f) { pageInfo { hasNextPage } } }",
            "invalid",
        ),
        (
            "query($f: [Int]) { operations(first: $f) { pageInfo { hasNextPage } } }",
            "invalid",
        ),
        (
            "{ operations(first: 5000000000) { pageInfo { hasNextPage } } }",
            "invalid",
        ),
    ] {
        for (accept, status) in [(GRAPHQL, 400), ("application/json", 200)] {
            let response = node.send(ask(query).header("Accept", accept)).await;
            assert_eq!(response.status, status, "{query}: {response:?}");
            assert_eq!(response.json().get("data"), None, "{query}: {response:?}");
            assert_eq!(response.error().0, code, "{query}");
        }
    }
    // One that was executed has data, if only null.
    let partial = "{ about { node } actor(kind: \"nothing\", key: \"x\") { key state } }";
    let response = node.send(ask(partial).header("Accept", GRAPHQL)).await;
    assert_eq!(response.status, 200);
    let body = response.json();
    assert_eq!(body["data"]["about"]["node"], "node-1");
    assert_eq!(body["data"]["actor"], json!({ "key": "x", "state": null }));
    assert_eq!(body["errors"][0]["path"], json!(["actor", "state"]));
    assert_eq!(response.error().0, "unknown_kind");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_variables_are_held_to_their_types_before_anything_is_done() {
    let node = Node::start().await;
    let submit =
        "mutation($input: SubmitOperationInput!) { submitOperation(input: $input) { created } }";
    for (query, variables, field) in [
        (
            "query($f: Int) { operations(first: $f) { nodes { id } } }",
            json!({ "f": "1" }),
            "variables.f",
        ),
        (
            "query($f: Int) { operations(first: $f) { nodes { id } } }",
            json!({ "f": 5_000_000_000_i64 }),
            "variables.f",
        ),
        (
            "query($id: ID!) { operation(id: $id) { id } }",
            json!({ "id": null }),
            "variables.id",
        ),
        (
            "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
            json!({ "ids": ["a", null] }),
            "variables.ids[1]",
        ),
        (
            "query($s: OperationStatus) { operations(filter: {status: $s}) { nodes { id } } }",
            json!({ "s": "DONE" }),
            "variables.s",
        ),
        (submit, json!({ "input": "digest" }), "variables.input"),
        (submit, json!({ "input": {} }), "variables.input.type"),
        (
            submit,
            json!({ "input": { "type": "digest", "labels": [{ "key": "a" }] } }),
            "variables.input.labels[0].value",
        ),
        (
            submit,
            json!({ "input": { "type": "digest", "when": "now" } }),
            "variables.input.when",
        ),
        (
            submit,
            json!({ "input": { "type": "digest", "runAt": 5 } }),
            "variables.input.runAt",
        ),
    ] {
        let body = json!({ "query": query, "variables": variables });
        let request = Request::post(&body).header("Accept", GRAPHQL);
        let response = node.send(request).await;
        assert_eq!(response.status, 400, "{body}: {response:?}");
        assert_eq!(response.json().get("data"), None, "{body}");
        assert_eq!(
            response.error(),
            ("invalid".to_owned(), field.to_owned()),
            "{body}"
        );
    }
    // What is not given is as if its place had nothing.
    let query = "mutation($id: ID, $priority: Int, $labels: [LabelInput!], $runAt: DateTime) {
        submitOperation(input: {id: $id, type: \"digest\", priority: $priority, labels: $labels, runAt: $runAt}) {
            operation { priority labels { key } } } }";
    let data = node.data(query, json!({ "id": "plain" })).await;
    assert_eq!(
        data["submitOperation"]["operation"],
        json!({ "priority": 0, "labels": [] })
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_fails_takes_nothing_from_those_beside_it() {
    let node = Node::start().await;
    let query = "mutation { a: pauseOperation(id: \"none\") { status }
        b: sendCommand(kind: \"counter\", key: \"a\", command: \"add\", body: {by: 1}) { seq }
        c: sendCommand(kind: \"none\", key: \"a\", command: \"add\") { seq } }";
    let response = node.send(ask(query).header("Accept", GRAPHQL)).await;
    assert_eq!(response.status, 200);
    let body = response.json();
    assert_eq!(
        body["data"],
        json!({ "a": null, "b": { "seq": 1 }, "c": null })
    );
    assert_eq!(body["errors"][0]["path"], json!(["a"]));
    assert_eq!(body["errors"][1]["path"], json!(["c"]));

    let query =
        "{ nodes(ids: [\"actor/counter/a\", \"a\", \"actor/none/a\"]) { ... on Actor { key seq } }
        cluster { slots } }";
    let body = node.ask(query, json!({})).await;
    assert_eq!(
        body["data"],
        json!({ "nodes": [{ "key": "a", "seq": 1 }, null, { "key": "a", "seq": null }], "cluster": null })
    );
    let errors = body["errors"].as_array().unwrap().iter();
    let mut paths: Vec<_> = errors.map(|error| error["path"].to_string()).collect();
    paths.sort();
    assert_eq!(
        paths,
        [r#"["cluster"]"#, r#"["nodes",1]"#, r#"["nodes",2,"seq"]"#]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_graphql_request_names_what_is_wrong_with_it() {
    let node = Node::start().await;
    let raw = |body: &str| ask("").body(body);
    for (request, status, code, field) in [
        (raw("{"), 400, "malformed", "body"),
        (raw(""), 400, "malformed", "body"),
        (raw("{}"), 400, "malformed", "query"),
        (raw(r#"{"query":1}"#), 400, "malformed", "query"),
        (
            raw(r#"{"query":"{a}","variables":[]}"#),
            400,
            "malformed",
            "variables",
        ),
        (raw("[]"), 400, "malformed", "body"),
        (
            raw("{}").without("Content-Type"),
            415,
            "malformed",
            "Content-Type",
        ),
        (
            raw("{}").header("Content-Type", "text/plain"),
            415,
            "malformed",
            "Content-Type",
        ),
        (
            raw("query={a}").header("Content-Type", "application/x-www-form-urlencoded"),
            415,
            "malformed",
            "Content-Type",
        ),
        (
            raw("{}").header("Content-Type", "application/json; charset=latin1"),
            415,
            "malformed",
            "Content-Type",
        ),
        (raw(&" ".repeat(1024 * 1024 + 1)), 413, "too_large", "body"),
        (Request::new("DELETE", "/graphql"), 405, "invalid", "method"),
        (Request::get(&[]), 400, "malformed", "query"),
        (
            Request::get(&[("query", "{a}"), ("variables", "{")]),
            400,
            "malformed",
            "variables",
        ),
    ] {
        let response = node.send(request.clone()).await;
        assert_eq!(response.status, status, "{request:?}: {response:?}");
        assert_eq!(
            response.error(),
            (code.to_owned(), field.to_owned()),
            "{request:?}"
        );
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_asks_and_does_not_tell() {
    let node = Node::start().await;
    let variables = json!({ "id": "none" }).to_string();
    let response = node
        .send(Request::get(&[
            ("query", "query q($id: ID!) { operation(id: $id) { id } }"),
            ("operationName", "q"),
            ("variables", &variables),
        ]))
        .await;
    assert_eq!(response.json(), json!({ "data": { "operation": null } }));

    let told = "mutation { sendCommand(kind: \"counter\", key: \"g\", command: \"add\", body: {by: 1}) { seq } }";
    let response = node.send(Request::get(&[("query", told)])).await;
    assert_eq!(response.status, 405);
    assert_eq!(response.header("allow"), Some("POST"));
    let counted = "{ actor(kind: \"counter\", key: \"g\") { seq } }";
    let counted = node.data(counted, json!({})).await;
    assert_eq!(counted["actor"]["seq"], 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_answered_in_its_order() {
    let node = Node::start().await;
    let batch = json!([
        { "query": "{ about { node } }" },
        { "query": "{ nothing }" },
        { "query": "query b($id: ID!) { operation(id: $id) { id } }", "variables": { "id": "x" } },
    ]);
    let response = node
        .send(Request::post(&batch).header("Accept", GRAPHQL))
        .await;
    assert_eq!(response.status, 200);
    let answers = response.json();
    assert_eq!(answers[0]["data"]["about"]["node"], "node-1");
    assert_eq!(answers[1].get("data"), None);
    assert_eq!(answers[2], json!({ "data": { "operation": null } }));

    let many: Vec<Value> = vec![json!({ "query": "{ about { node } }" }); 11];
    let response = node.send(Request::post(&Value::from(many))).await;
    assert_eq!((response.status, &*response.error().1), (400, "body"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_known_by_its_hash_once_it_was_sent() {
    let node = Node::start().await;
    let query = "{ about { node } }";
    let hash: String = Sha256::digest(query)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    let named = json!({ "extensions": extensions });
    let unknown = node.send(Request::post(&named)).await;
    assert_eq!(unknown.status, 200);
    assert_eq!(
        unknown.json()["errors"][0]["message"],
        "PersistedQueryNotFound"
    );
    assert_eq!(unknown.error().0, "PERSISTED_QUERY_NOT_FOUND");

    let whole = json!({ "query": query, "extensions": extensions });
    let data = json!({ "data": { "about": { "node": "node-1" } } });
    assert_eq!(node.send(Request::post(&whole)).await.json(), data);
    assert_eq!(node.send(Request::post(&named)).await.json(), data);
    let text = extensions.to_string();
    let by_address = Request::get(&[("extensions", &text)]);
    assert_eq!(node.send(by_address).await.json(), data);

    let other = json!({ "query": "{ __typename }", "extensions": extensions });
    let response = node.send(Request::post(&other)).await;
    assert_eq!(response.error().1, "extensions.persistedQuery.sha256Hash");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_without_credentials_and_each_in_its_tenant() {
    let node = Node::start().await;
    let request =
        || ask("mutation { submitOperation(input: {id: \"a1\", type: \"digest\"}) { created } }");
    for wrong in [
        request().without("Authorization"),
        request().header("Authorization", "Bearer wrong"),
        request().header("Authorization", "Basic dGVzdGVyOng="),
        request().header("Authorization", "Bearer"),
    ] {
        let response = node.send(wrong.clone()).await;
        assert_eq!(response.status, 401, "{wrong:?}");
        assert_eq!(response.error().0, "unauthenticated");
        assert!(response.header("www-authenticate").is_some());
    }
    let response = node
        .send(request().header("Selvedge-Tenant", "No Tenant"))
        .await;
    assert_eq!(response.status, 422);
    assert_eq!(response.error().1, "Selvedge-Tenant");

    for tenant in ["one", "two"] {
        let response = node.send(request().header("Selvedge-Tenant", tenant)).await;
        let created = &response.json()["data"]["submitOperation"]["created"];
        assert_eq!(created, true, "{tenant}");
    }
    // The cluster is its administrator's.
    let response = node.send(ask("{ cluster { slots } }")).await;
    assert_eq!(response.error().0, "permission_denied");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_tell_its_schema_is_used_all_the_same() {
    let node = Node::with(Introspection::Off, "tester").await;
    for query in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"Query\") { name } }",
    ] {
        let response = node.send(ask(query)).await;
        assert_eq!(response.error().0, "permission_denied", "{response:?}");
    }
    let response = node.send(ask("{ abou { node } }")).await;
    assert!(!response.body.contains("Did you mean"), "{response:?}");
    let data = node.data("{ __typename about { node } }", json!({})).await;
    assert_eq!(data["__typename"], "Query");
    node.stop().await;
}
