//! Lists: filters, pages, cursors.

use selvedge_client::operation::OperationStatus;
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
    let world = World::new();
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
