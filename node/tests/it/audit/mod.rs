//! What the audit trail of a node says: one record for what is audited, with the right principal and outcome, and
//! nothing of other tenants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::audit::Chain;
use selvedge_cluster::membership::{Joining, Role, Versions};
use selvedge_cluster::store::keys::KeyRange;
use selvedge_cluster::store::{Isolation, Store};
use selvedge_protocol::Tenant;
use selvedge_protocol::frame::{ClientFrame, Hello, ServerFrame};
use selvedge_protocol::limits::REFUSALS_MS;
use serde_json::{Value, json};

use crate::bridge::client::StatusCode;
use crate::bridge::websocket::peer::{JSON, Peer};
use crate::bridge::{Node, PATIENCE};
use crate::edge::peer::hello;
use crate::permission::people::People;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn node(clock: &Clock) -> Node {
    Node::at(clock.clone(), Arc::new(People), |_| {}).await
}

/// Action, principal, target and outcome of each record of a query, in the order of the answer.
async fn records(node: &Node, token: &str, query: &str) -> Vec<[String; 4]> {
    let page = node
        .client(token)
        .get(&format!("/v1/audit{query}"))
        .await
        .json();
    let items = page["items"].as_array().unwrap().iter();
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    let fields = ["action", "principal", "target", "outcome"];
    items
        .map(|item| fields.map(|name| text(item, name)))
        .collect()
}

async fn send(node: &Node, token: &str, actor: &str, command: &str, body: Value) -> StatusCode {
    let path = format!("/v1/actors/{actor}/commands");
    let body = json!({ "command": command, "body": body });
    node.client(token).post(&path, &body).await.status
}

const ANN: &str = "ann@role/admin";
const EVE: &str = "eve@role/admin";

/// What is expected of a chain.
#[derive(Default)]
struct Expected(Vec<[String; 4]>);

impl Expected {
    fn done(&mut self, action: &str, who: &str, target: &str) {
        self.0
            .push([action, who, target, "done"].map(str::to_owned));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_policies_and_schedules_leave_one_record_each() {
    let node = node(&Clock::system()).await;
    let mut expected = Expected::default();
    let two = json!({ "concurrency": 2 });
    // The second changes nothing.
    for _ in 0..2 {
        let set = send(&node, ANN, "policy/digest", "set", two.clone()).await;
        assert!(set.is_success());
    }
    expected.done("policy.set", "ann", "digest");
    let reset = send(&node, EVE, "policy/digest", "reset", json!({})).await;
    assert!(reset.is_success());
    expected.done("policy.reset", "eve", "digest");
    // What its kind refuses did not happen.
    let wrong = json!({ "concurrency": -1 });
    let wrong = send(&node, EVE, "policy/digest", "set", wrong).await;
    assert!(wrong.is_client_error());

    let input = json!({ "secret": "hunter2" });
    let define =
        |every: u64| json!({ "everyMs": every, "operation": { "type": "digest", "input": input } });
    for (verb, body) in [
        ("create", define(3_600_000)),
        ("update", define(7_200_000)),
        ("pause", json!({ "note": "ann is ill" })),
        ("resume", json!({})),
        ("delete", json!({})),
    ] {
        let told = send(&node, ANN, "schedule/nightly", verb, body).await;
        assert!(told.is_success(), "{verb}");
        expected.done(&format!("schedule.{verb}"), "ann", "nightly");
    }
    // Traffic.
    send(&node, ANN, "counter/a", "add", json!({ "by": 1 })).await;

    let Expected(expected) = expected;
    assert_eq!(records(&node, ANN, "?from=1").await, expected);
    assert_eq!(records(&node, ANN, "?principal=eve").await, expected[1..2]);
    assert_eq!(records(&node, ANN, "?action=schedule").await.len(), 5);
    let none = records(&node, ANN, "?until=2020-01-01T00:00:00Z").await;
    assert!(none.is_empty());
    let all = node.client(ANN).get("/v1/audit").await;
    let text = String::from_utf8(all.body.to_vec()).unwrap();
    for hidden in ["hunter2", "is ill", "role/admin"] {
        assert!(!text.contains(hidden), "{text}");
    }
    // In pages, by their links.
    let (mut next, mut seen) = ("/v1/audit?limit=4".to_owned(), 0);
    loop {
        let page = node.client(ANN).get(&next).await;
        seen += page.json()["items"].as_array().unwrap().len();
        let Some(link) = page.headers.get("link") else {
            break;
        };
        let (link, _) = link.to_str().unwrap().split_once('>').unwrap();
        next = link[1..].to_owned();
    }
    assert_eq!(seen, expected.len());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_operations_and_sessions_of_others_leaves_one_record_each() {
    let node = node(&Clock::system()).await;
    let mut expected = Expected::default();
    for (id, who) in [("one", ANN), ("two", EVE)] {
        let body = json!({ "id": id, "type": "digest", "runAt": "2999-01-01T00:00:00Z" });
        let submitted = node.client(ANN).post("/v1/operations", &body).await;
        assert_eq!(submitted.status, StatusCode::ACCEPTED);
        for verb in ["pause", "resume", "cancel"] {
            let path = format!("/v1/operations/{id}/{verb}");
            let told = node.client(who).post(&path, &json!({})).await;
            assert!(told.status.is_success(), "{id} {verb}");
            if who == EVE {
                expected.done(&format!("operation.{verb}"), "eve", id);
            }
        }
    }
    let mut peer = Peer::handshake(node.address, &[("Sec-WebSocket-Protocol", JSON)]).await;
    let hello = Hello {
        token: ANN.to_owned(),
        ..hello(None)
    };
    peer.send(&[ClientFrame::Hello(hello)]).await;
    let ServerFrame::Welcome(welcome) = peer.frame().await else {
        panic!("not let in");
    };
    let session = welcome.session.to_string();
    let oskar = node.client("oskar@role/operator");
    let closed = oskar.delete(&format!("/v1/sessions/{session}")).await;
    assert_eq!(closed.status, StatusCode::NO_CONTENT);
    expected.done("session.close", "oskar", &session);
    let none = oskar.delete("/v1/sessions/01900000-0000-7000-8000-000000000000");
    none.await.problem(404, "not_found");
    assert_eq!(records(&node, ANN, "?from=1").await, expected.0);
    drop(peer);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_is_one_record_with_a_count() {
    let clock = Clock::manual(1_700_000_000_000, 1);
    let node = node(&clock).await;
    let began = records(&node, "eve@role/admin", "").await;
    assert!(began.is_empty());
    for _ in 0..200 {
        let refused = send(&node, "vic@role/viewer", "policy/digest", "set", json!({})).await;
        assert_eq!(refused, StatusCode::FORBIDDEN);
    }
    let viewer = node.client("vic@role/viewer");
    viewer
        .get("/v1/config")
        .await
        .problem(403, "permission_denied");
    viewer
        .get("/v1/audit?chain=cluster")
        .await
        .problem(403, "permission_denied");
    let expired = node.client("old@until/1000").get("/v1/audit").await;
    expired.problem(401, "unauthenticated");
    clock.advance(Duration::from_millis(REFUSALS_MS));
    node.keeper(0).stop().await;

    let page = node.client("eve@role/admin").get("/v1/audit").await.json();
    let (of_old, items): (Vec<_>, Vec<_>) = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .partition(|item| item["principal"] == "old");
    assert_eq!(
        (of_old[0]["action"].as_str(), of_old.len()),
        (Some("session.open"), 1)
    );
    assert_eq!(of_old[0]["code"], "unauthenticated");
    let counts: BTreeMap<_, _> = items
        .iter()
        .map(|item| {
            assert_eq!(
                (&item["principal"], &item["outcome"]),
                (&json!("vic"), &json!("refused"))
            );
            assert_eq!(item["code"], "permission_denied");
            let count = item["detail"]["count"].as_u64().unwrap();
            (item["action"].as_str().unwrap(), count)
        })
        .collect();
    let expected = [
        ("policy.write", 200),
        ("config.read", 1),
        ("audit.administer", 1),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!(items.len(), 3);
    assert!(!page.to_string().contains("role/viewer"), "{page}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_reads_its_own_chain_and_nobody_else_s() {
    let node = node(&Clock::system()).await;
    let acme = |token: &str| node.client(token).header("selvedge-tenant", "acme");
    let body = json!({ "command": "set", "body": { "concurrency": 3 } });
    let set = acme("ann@role/admin")
        .post("/v1/actors/policy/digest/commands", &body)
        .await;
    assert_eq!(set.status, StatusCode::OK);
    let in_acme = acme("ann@role/admin").get("/v1/audit").await.json();
    assert_eq!(in_acme["items"].as_array().unwrap().len(), 1);
    // The tenant is the caller's, whatever is asked for.
    for query in [
        "",
        "?from=1",
        "?cursor=a0",
        "?cursor=d9",
        "?chain=tenant&principal=ann",
    ] {
        assert!(
            records(&node, "ann@role/admin", query).await.is_empty(),
            "{query}"
        );
    }
    for query in [
        "?chain=acme",
        "?tenant=acme",
        "?cursor=x1",
        "?limit=0",
        "?since=now",
        "?from=-1",
    ] {
        let refused = node
            .client("ann@role/admin")
            .get(&format!("/v1/audit{query}"))
            .await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    let head = async |http: crate::bridge::client::Http| {
        http.post("/v1/audit/verify", &json!({})).await.json()["head"].clone()
    };
    assert_eq!(head(acme("ann@role/admin")).await["number"], 1);
    assert_eq!(head(node.client("ann@role/admin")).await, Value::Null);
    // Of the cluster for who administers it.
    let cluster = json!({ "chain": "cluster" });
    for token in ["ann@role/admin", "ann@without/audit:administer"] {
        let refused = node.client(token).post("/v1/audit/verify", &cluster).await;
        refused.problem(403, "permission_denied");
    }
    let allowed = node
        .client("root@cluster/admin")
        .post("/v1/audit/verify", &cluster)
        .await;
    assert_eq!(allowed.json()["result"], "whole");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stored_bit_that_was_changed_is_found() {
    let node = node(&Clock::system()).await;
    for concurrency in 1..=3 {
        let patch = json!({ "concurrency": concurrency });
        send(&node, "ann@role/admin", "policy/digest", "set", patch).await;
    }
    let verify = async |body: Value| {
        let http = node.client("ann@role/admin");
        http.post("/v1/audit/verify", &body).await.json()
    };
    let whole = verify(json!({})).await;
    assert_eq!(
        (&whole["result"], &whole["records"]),
        (&json!("whole"), &json!(3))
    );
    let expect = json!({ "expect": whole["head"] });
    assert_eq!(verify(expect.clone()).await["result"], "whole");
    let other = json!({ "expect": { "number": 2, "hash": whole["head"]["hash"] } });
    assert_eq!(verify(other).await["result"], "damaged");

    let chain = Chain::from(Tenant::default_tenant());
    let range = KeyRange::audit(&chain).read(9, Isolation::Snapshot);
    let rows = node.store.begin().range(range).await.unwrap();
    let (key, value) = &rows[1];
    let mut changed = value.to_vec();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let mut transaction = node.store.begin();
    transaction.set(key, &changed);
    transaction.commit().await.unwrap();
    let damaged = verify(json!({})).await;
    assert_eq!(damaged["result"], "damaged");
    assert!(damaged["number"].as_u64().unwrap() <= 3, "{damaged}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_rule_goes_and_that_is_recorded() {
    let clock = Clock::manual(1_700_000_000_000, 1);
    let node = node(&clock).await;
    node.host().admin().is_alone(Joining {
        name: "node-1".to_owned(),
        weight: 1,
        roles: vec![Role::Core],
        peer: String::new(),
        quic: None,
        http: None,
        operations: Vec::new(),
        versions: Versions {
            binary: String::new(),
            protocol: 1,
            schema: 1,
        },
    });
    let set = async |concurrency: u64| {
        let patch = json!({ "concurrency": concurrency });
        send(&node, "ann@role/admin", "policy/digest", "set", patch).await
    };
    set(1).await;
    set(2).await;
    clock.advance(8 * DAY);
    set(3).await;
    // For ever.
    node.keeper(0).stop().await;
    assert_eq!(records(&node, "ann@role/admin", "").await.len(), 3);
    let keeper = node.keeper(7);
    let kept = tokio::time::timeout(PATIENCE, async {
        loop {
            let records = records(&node, "ann@role/admin", "?from=1").await;
            if records.len() == 2 {
                return records;
            }
        }
    });
    let kept = kept.await.unwrap();
    keeper.stop().await;
    assert_eq!(
        kept[1],
        ["audit.trim", "selvedge", "default", "done"].map(str::to_owned)
    );
    let page = node
        .client("ann@role/admin")
        .get("/v1/audit?action=audit")
        .await
        .json();
    let detail = json!({ "cleared": 2, "upTo": 2, "retentionDays": 7 });
    assert_eq!(page["items"][0]["detail"], detail);
    node.stop().await;
}
