//! Slots that move while their operations run: nodes that follow their memberships, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::HostConfig;
use selvedge_cluster::forward::ForwardConfig;
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::membership::{Joining, Leave, Member, MemberConfig, Role, Timing, Versions};
use selvedge_cluster::ownership::{Ownership, OwnershipConfig};
use selvedge_cluster::peer::{Credentials, Inbound, Listener, ListenerConfig};
use selvedge_cluster::store::embedded::Embedded;
use selvedge_cluster::store::keys::Shards;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::{Store, migration};
use selvedge_node::app::{Place, Running};
use selvedge_node::processing::Neighbours;
use selvedge_protocol::peer::Service;
use serde_json::json;
use tokio::task::JoinHandle;

use super::super::authority::{Authority, Validity};
use super::super::world::*;

/// Few enough that each has operations.
const SLOTS: u16 = 64;
const TIMING: Timing = Timing {
    beat: Duration::from_millis(50),
    // Nobody dies here, however busy the machine is.
    dead: PATIENCE,
    dead_when_suspected: PATIENCE,
    lease: PATIENCE,
    isolated: PATIENCE,
    reached: Duration::from_millis(1_000),
};

/// A store whose nodes share all that handlers count.
struct Cluster {
    world: World,
    store: Arc<Embedded>,
    authority: Authority,
    files: tempfile::TempDir,
    config: OwnershipConfig,
}

struct Node {
    running: Running,
    member: Member,
    ownership: Ownership,
    listener: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Cluster {
    async fn new() -> Self {
        let world = World {
            concurrency: 1_000,
            step_grace: Some(PATIENCE),
            ..World::new()
        };
        let store = world.store();
        migration::prepare(&*store, &world.clock).await.unwrap();
        Self {
            world,
            store,
            authority: Authority::new(),
            files: tempfile::tempdir().unwrap(),
            // However busy the machine is, steps are short.
            config: OwnershipConfig {
                part: PATIENCE,
                force: PATIENCE,
                ..OwnershipConfig::default()
            },
        }
    }

    async fn node(&self, name: &str) -> Node {
        let store = || Arc::clone(&self.store) as Arc<dyn Store>;
        let clock = self.world.clock.clone();
        let application = self.world.application(&self.world.probe);
        let operations = application.operations().map(ToString::to_string);
        let operations = operations.collect();
        let place = Place {
            host: HostConfig {
                node: name.to_owned(),
                idle_ms: 60_000,
                slots: SLOTS,
            },
            index_shards: Shards::ONE,
            store: store(),
            key: SessionKey::new([7; 32]),
            clock: clock.clone(),
        };
        let running = application.start_idle(place).await.unwrap();
        let files = self.authority.issue(self.files.path(), name, Validity::Now);
        let listening = ListenerConfig {
            node: name.to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            admission: AdmissionConfig::between_nodes(),
        };
        let listener = Listener::bind(&listening, Credentials::read(files).unwrap()).unwrap();
        let peer = listener.local_addr().to_string();
        let member = MemberConfig {
            joining: joining(name, peer, operations),
            slots: SLOTS,
            timing: TIMING,
        };
        let member = Member::start(member, store(), clock.clone()).await.unwrap();
        let links = listener.links(Clock::system());
        let doubting = member.clone();
        let forward = running.host.forward(ForwardConfig {
            views: member.view(),
            links: links.clone(),
            doubt: Box::new(move |_| doubting.poke()),
        });
        let processing = running.processing();
        let views = member.view();
        processing.join(Neighbours { views, links }, &forward);
        let serve = move |inbound: Inbound| -> BoxFuture<'static, ()> {
            match inbound.service {
                Service::Actors => Box::pin(forward.clone().serve(inbound)),
                Service::Processing => Box::pin(processing.clone().serve(inbound)),
                Service::Store => Box::pin(async { inbound.unserved() }),
            }
        };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        let host = running.host.clone();
        let ownership = Ownership::start(self.config, host, member.clone(), clock);
        Node {
            running,
            member,
            ownership,
            listener,
        }
    }
}

fn joining(name: &str, peer: String, operations: Vec<String>) -> Joining {
    Joining {
        name: name.to_owned(),
        weight: 1,
        roles: vec![Role::Core, Role::Processing],
        peer,
        quic: None,
        http: None,
        operations,
        versions: Versions {
            binary: String::new(),
            protocol: 1,
            schema: 1,
        },
    }
}

impl Node {
    /// Has what the plan gives it, between so many nodes.
    async fn owns_share_of(&self, nodes: usize) {
        let mut view = self.member.view();
        let planned = view.wait_for(|view| view.plan.nodes().count() == nodes);
        let planned = tokio::time::timeout(PATIENCE, planned).await.unwrap();
        let view = planned.unwrap().clone();
        let mut changes = self.running.host.changes();
        let mut wanted: Vec<u16> = view.plan.slots_of(&view.name).collect();
        wanted.sort_unstable();
        let waits = async {
            while self.running.host.owned() != wanted {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap();
    }

    /// Hands over all that it has, and ends.
    async fn leave(&self) {
        let emptied = self.ownership.emptied();
        assert_eq!(self.member.leave(emptied, PATIENCE).await, Leave::Emptied);
        self.running.stop().await;
    }
}

/// How often a runner began with an operation.
async fn starts(node: &Running, operation: &str) -> usize {
    let (names, _) = until(&mut watch(node, operation).await, "succeeded").await;
    names.iter().filter(|name| *name == "started").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn short_steps_finish_before_their_slot_moves() {
    let cluster = Cluster::new().await;
    let one = cluster.node("one").await;
    one.owns_share_of(1).await;
    let two = cluster.node("two").await;
    two.owns_share_of(2).await;
    let operations: Vec<String> = (0..100).map(|number| format!("op{number}")).collect();
    let steps: Vec<String> = (0..40).map(|number| format!("slow{number}")).collect();
    for operation in &operations {
        submit_steps(&one.running, operation, json!({ "steps": steps })).await;
    }
    let three = cluster.node("three").await;
    for node in [&one, &two, &three] {
        node.owns_share_of(3).await;
    }
    two.leave().await;
    for node in [&one, &three] {
        node.owns_share_of(2).await;
    }
    let ends = operations.iter().map(|it| ended(&one.running, it));
    for operation in join_all(ends).await {
        assert_eq!(operation.status, Status::Succeeded);
        assert_eq!(operation.attempt, 1, "{}", operation.id);
    }
    let starts = operations.iter().map(|it| starts(&one.running, it));
    let moved = join_all(starts).await.into_iter().filter(|it| *it > 1);
    assert!(moved.count() > 20, "slots moved while their operations ran");
    let probe = &cluster.world.probe;
    let executed = probe.executed.lock();
    assert_eq!(executed.len(), operations.len() * steps.len());
    let twice = executed.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "steps began twice");
}
