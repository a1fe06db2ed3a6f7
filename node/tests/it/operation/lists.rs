//! Lists: filters, pages, cursors.

use selvedge_client::operation::OperationStatus;
use selvedge_cluster::store::keys::{Family, Key, KeyRange};
use selvedge_cluster::store::{Isolation, Store};
use selvedge_protocol::ErrorCode;
use serde_json::{Value, json};

use super::world::*;

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_each_operation_once() {
    pages_hold_each_once(World::new()).await;
    pages_hold_each_once(World {
        is_spread: true,
        ..World::new()
    })
    .await;
}

async fn pages_hold_each_once(world: World) {
    let node = world.node(&world.store()).await;
    for number in 0..25 {
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        let body = json!({
            "type": "steps", "input": { "steps": ["a"] }, "labels": { "parity": parity },
        });
        submit(&node, &format!("op{number}"), body).await.unwrap();
    }
    let body = json!({ "type": "steps", "runAt": "2999-01-01T00:00:00Z" });
    submit(&node, "later", body).await.unwrap();
    for number in 0..25 {
        finished(&node, &format!("op{number}"), OperationStatus::Succeeded).await;
    }
    let waiting = list(&node, json!({ "status": "waiting" })).await.unwrap();
    assert_eq!(ids(&waiting), ["later"]);
    let pending = list(&node, json!({ "status": "pending" })).await.unwrap();
    assert_eq!((ids(&pending).len(), &pending["cursor"]), (0, &Value::Null));
    let odd = json!({ "status": "succeeded", "type": "steps", "label": "parity=odd" });
    assert_eq!(ids(&list(&node, odd).await.unwrap()).len(), 12);
    let none = json!({ "status": "failed", "label": "parity=odd" });
    assert_eq!(ids(&list(&node, none).await.unwrap()).len(), 0);

    let (mut all, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = list(&node, json!({ "limit": 7, "cursor": cursor }))
            .await
            .unwrap();
        all.extend(ids(&page));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(all.len(), 26);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 26);
}

/// How many index rows a store has, and how many of them are in shards.
async fn indexed(store: &dyn Store) -> (usize, usize) {
    let index = KeyRange {
        begin: KeyRange::family(Family::OperationByTime).begin,
        end: KeyRange::family(Family::OperationByLabel).end,
    };
    let range = index.read(usize::MAX, Isolation::Snapshot);
    let rows = store.begin().range(range).await.unwrap();
    let is_sharded =
        |key: &[u8]| matches!(Key::decode(key), Ok(Key::Operation { shard: Some(_), .. }));
    let sharded = rows.iter().filter(|(key, _)| is_sharded(key)).count();
    (rows.len(), sharded)
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_as_the_store_was_created_and_lists_of_them_are_in_order() {
    // Time stands still: all operations are of one moment, and their order is that of their ids.
    let mut world = World::timed();
    world.is_spread = true;
    let store = world.store();
    let node = world.node(&store).await;
    let mut names: Vec<String> = (0..60).map(|number| format!("op{number:02}")).collect();
    let later = json!({ "type": "steps", "runAt": "2999-01-01T00:00:00Z" });
    for name in &names {
        submit(&node, name, later.clone()).await.unwrap();
    }
    assert_eq!(indexed(&*store).await, (180, 180));
    // The cluster keeps its shards, whatever its store says later on.
    node.stop().await;
    drop(node);
    world.is_spread = false;
    let node = world.node(&store).await;
    names.reverse();
    for limit in [1, 7, 59, 60, 61] {
        let mut found: Vec<Vec<String>> = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let body = json!({ "limit": limit, "status": "waiting", "cursor": cursor });
            let page = list(&node, body).await.unwrap();
            found.push(ids(&page));
            cursor = page["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let is_full = |page: &Vec<String>| page.len() == limit;
        assert!(found[..found.len() - 1].iter().all(is_full), "{found:?}");
        assert_eq!(found.concat(), names, "in pages of {limit}");
    }
    // What comes and goes between two pages is not in the way of the others.
    let page = list(&node, json!({ "limit": 20 })).await.unwrap();
    cancel(&node, "op20").await.unwrap();
    submit(&node, "op99", later).await.unwrap();
    let body = json!({ "status": "waiting", "cursor": page["cursor"] });
    let rest = ids(&list(&node, body).await.unwrap());
    let expected: Vec<&String> = names[20..].iter().filter(|name| *name != "op20").collect();
    assert_eq!(rest.iter().collect::<Vec<_>>(), expected);
    let all = count(&node, json!({ "status": "waiting" })).await;
    assert_eq!(all, json!({ "count": 60, "isExact": true }));
}

/// The bytes that an answer may have without a stream of its own.
const ANSWER_BYTES_MAX: usize = selvedge_protocol::limits::INLINE_BYTES_MAX;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_before_it_is_too_large_for_an_answer() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for number in 0..10 {
        let note = "x".repeat(15_000);
        let body = json!({ "type": "steps", "input": { "steps": [], "note": note } });
        submit(&node, &format!("op{number}"), body).await.unwrap();
    }
    let (mut all, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let page = list(&node, json!({ "cursor": cursor })).await.unwrap();
        assert!(page.to_string().len() <= ANSWER_BYTES_MAX);
        assert!(page["items"][0]["input"]["note"].is_string());
        all.extend(ids(&page));
        pages += 1;
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    all.sort();
    let expected: Vec<_> = (0..10).map(|number| format!("op{number}")).collect();
    assert_eq!((all, pages), (expected, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_too_large_for_an_answer_is_shown_without_what_is_large() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let large = "x".repeat(ANSWER_BYTES_MAX);
    let input = json!({ "steps": ["forever"], "note": large });
    let body = json!({ "type": "steps", "input": input, "metadata": { "m": 1 } });
    let submitted = submit(&node, "input", body).await.unwrap();
    assert_eq!(
        (&submitted["created"], &submitted["input"]),
        (&json!(true), &Value::Null)
    );
    let body = json!({ "type": "steps", "runAt": "2999-01-01T00:00:00Z", "metadata": large });
    submit(&node, "metadata", body).await.unwrap();
    let page = list(&node, json!({})).await.unwrap();
    assert_eq!(ids(&page), ["metadata", "input"]);
    assert_eq!(page["items"][0]["metadata"], Value::Null);
    assert_eq!(page["items"][1]["metadata"], json!({ "m": 1 }));
    let whole = get(&node, "input").await.unwrap();
    assert!(whole.input.unwrap().get().len() > ANSWER_BYTES_MAX);
    let cancelled = cancel(&node, "input").await.unwrap();
    assert_eq!(
        (&cancelled["id"], &cancelled["input"]),
        (&json!("input"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_activates_no_operation() {
    let world = World::new();
    let store = world.store();
    let node = world.node(&store).await;
    submit_steps(&node, "one", json!({ "steps": [] })).await;
    ended(&node, "one").await;
    // A host that has stopped activates nothing any more.
    node.stop().await;
    assert!(get(&node, "one").await.is_err());
    let page = list(&node, json!({})).await.unwrap();
    assert_eq!(page["items"][0]["id"], "one");
    assert_eq!(page["items"][0]["labels"], json!({}));
    assert_eq!(page["items"][0]["metadata"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_lists_are_refused_by_field() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for (body, field) in [
        (json!({ "limit": 0 }), "limit"),
        (json!({ "limit": 501 }), "limit"),
        (json!({ "cursor": "x" }), "cursor"),
        (json!({ "label": "x" }), "label"),
        (json!({ "status": "done" }), "body"),
    ] {
        let refused = list(&node, body).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (ErrorCode::Invalid, Some(field))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_time_and_creator_and_counted() {
    filtered_and_counted(World::timed()).await;
    filtered_and_counted(World {
        is_spread: true,
        ..World::timed()
    })
    .await;
}

async fn filtered_and_counted(world: World) {
    let store = world.store();
    let node = world.node(&store).await;
    for number in 0..30 {
        submit_steps(&node, &format!("op{number:02}"), json!({ "steps": [] })).await;
        world.clock.advance(std::time::Duration::from_secs(1));
    }
    for number in 0..30 {
        ended(&node, &format!("op{number:02}")).await;
    }
    // From the tenth second on, before the twentieth.
    let window = |more: Value| {
        let mut body = json!({
            "createdAfter": "2023-11-14T22:13:30Z", "createdBefore": "2023-11-14T22:13:40Z",
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let mut found = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = list(&node, window(json!({ "limit": 3, "cursor": cursor })))
            .await
            .unwrap();
        let items = page["items"].as_array().unwrap().iter();
        found.extend(items.map(|item| item["id"].as_str().unwrap().to_owned()));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let expected: Vec<String> = (10..20)
        .rev()
        .map(|number| format!("op{number:02}"))
        .collect();
    assert_eq!(found, expected);

    let exact = |count: u64| json!({ "count": count, "isExact": true });
    for (body, expected) in [
        (json!({}), 30),
        (window(json!({})), 10),
        (window(json!({ "status": "succeeded" })), 10),
        (json!({ "status": "failed" }), 0),
        (json!({ "createdBy": "tester", "type": "steps" }), 30),
        (json!({ "createdBy": "somebody else" }), 0),
    ] {
        assert_eq!(count(&node, body.clone()).await, exact(expected), "{body}");
    }
    let wrong = list(&node, json!({ "createdAfter": "yesterday" }))
        .await
        .unwrap_err();
    assert_eq!(wrong.field.as_deref(), Some("createdAfter"));
}
