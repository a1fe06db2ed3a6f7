//! Policies as they are stored, and as a node finds them before it runs anything.

use std::collections::HashMap;
use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{CommandRequest, Host, HostConfig, Identity, Kinds};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::Shards;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_protocol::OperationType;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::SLOTS_DEFAULT;

use super::*;
use crate::app::{Application, Place, Running};
use crate::processing::{
    ErasedHandler, Handler, HandlerError, OperationContext, Policy, PoolsConfig,
};

/// What format 1 looks like in a store. Never changes.
const GOLDEN: &str = r#"{"patch":{"concurrency":2,"retry":{"factor":1.5,"finalCodes":["gone"]},"stepTimeoutMs":9},"changedBy":"tester","changedMs":7}"#;

#[test]
fn what_is_stored_stays_readable() {
    let stored = decode(1, GOLDEN.as_bytes()).unwrap();
    assert_eq!(stored.patch.concurrency, Some(2));
    assert_eq!(stored.changed_ms, Some(7));
    assert_eq!(json::encode(&stored), GOLDEN);
    assert!(decode(2, GOLDEN.as_bytes()).is_err());
}

#[derive(Clone, Copy)]
struct Idle;

impl Handler for Idle {
    async fn run(&self, _context: OperationContext) -> Result<Value, HandlerError> {
        Ok(Value::Null)
    }
}

async fn send(node: &Running, tenant: &Tenant, subject: &str, name: &str, body: &'static str) {
    let request = CommandRequest {
        actor: ScopedAddress {
            tenant: tenant.clone(),
            address: format!("policy/{subject}").parse().unwrap(),
        },
        principal: Arc::from("tester"),
        origin: Origin::Client(None),
        identity: Identity::Natural,
        name: name.to_owned(),
        body: Bytes::from_static(body.as_bytes()),
        payload: None,
        if_version: None,
        deadline: None,
    };
    let outcome = node.host.ask(request).await;
    assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
}

/// Pools that nobody has told anything.
fn pools(store: &Arc<dyn Store>) -> Pools {
    let handler: Arc<dyn ErasedHandler> = Arc::new(Idle);
    let name = OperationType::new("idle").unwrap();
    Pools::new(PoolsConfig {
        handlers: HashMap::from([(name, (handler, Policy::default()))]),
        store: Arc::clone(store),
        clock: Clock::system(),
        slots: SLOTS_DEFAULT,
        index_shards: Shards::ONE,
        worker_lease: Duration::from_secs(10),
        step_grace: Duration::ZERO,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_in_force_before_an_actor_tells_them() {
    let directory = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(directory.path().join("store"));
    let store = Arc::new(Embedded::open(config).unwrap()) as Arc<dyn Store>;
    let config = HostConfig {
        node: "node-1".to_owned(),
        idle_ms: 60_000,
        slots: SLOTS_DEFAULT,
    };
    let place = Place {
        host: config.clone(),
        index_shards: Shards::ONE,
        store: Arc::clone(&store),
        key: SessionKey::new([7; 32]),
        clock: Clock::system(),
    };
    let application = Application::builder().operation("idle", Idle, Policy::default());
    let node = application.build().unwrap().start(place).await.unwrap();
    let tenants = ["a", "b", "c"].map(|name| Tenant::new(name).unwrap());
    let [one, two, three] = &tenants;
    send(&node, one, "idle", "set", r#"{"concurrency":1}"#).await;
    send(
        &node,
        one,
        "*",
        "set",
        r#"{"concurrency":9,"stepTimeoutMs":5}"#,
    )
    .await;
    // More of one tenant than a read brings, for types that nobody here runs.
    for number in 0..ROWS_PER_READ {
        let name = format!("a{number}");
        send(&node, two, &name, "set", r#"{"concurrency":7}"#).await;
    }
    send(&node, two, "idle", "set", r#"{"concurrency":2}"#).await;
    send(&node, three, "idle", "set", r#"{"concurrency":3}"#).await;
    send(&node, three, "idle", "reset", "{}").await;
    node.stop().await;

    // A host that knows no kind: no actor of a policy can tell anything.
    let clock = Clock::system();
    let host = Host::start(config, Arc::clone(&store), clock, Kinds::default()).await;
    let pools = pools(&store);
    pools.open(host.unwrap()).await.unwrap();
    let name = OperationType::new("idle").unwrap();
    let policies = tenants.map(|tenant| pools.policy_for(&tenant, &name).unwrap());
    let places = policies.each_ref().map(|policy| policy.concurrency);
    assert_eq!(places, [1, 2, Policy::default().concurrency]);
    assert_eq!(policies[0].step_timeout.as_millis(), 5);
    pools.close().await;
}
