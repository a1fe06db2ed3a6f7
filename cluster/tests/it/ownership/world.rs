//! Nodes on one store, and clients that write through whichever node serves their actor.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, HostConfig, Identity, Kinds};
use selvedge_cluster::membership::{
    Joining, Leave, Member, MemberConfig, Role, Standing, Timing, Versions,
};
use selvedge_cluster::ownership::{Ownership, OwnershipConfig};
use selvedge_cluster::store;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, SessionId};
use tokio::time::timeout;

use super::gate::Gate;
use crate::actor::kinds::Tally;
use crate::actor::world::{World, actor, add};

pub(super) const SLOTS: u16 = 32;
/// For what comes to pass, on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const TIMING: Timing = Timing {
    beat: Duration::from_millis(50),
    dead: Duration::from_millis(600),
    dead_when_suspected: Duration::from_millis(450),
    lease: Duration::from_millis(600),
    isolated: Duration::from_millis(300),
    reached: Duration::from_millis(1_000),
};

/// A store that nodes share.
pub(super) struct Cluster {
    pub(super) world: World,
    pub(super) clock: Clock,
}

/// A node. Dropped, it is as if it had been killed.
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) member: Member,
    pub(super) ownership: Ownership,
    /// Of what its membership asks the store, and of what its host does.
    pub(super) membership: Gate,
    pub(super) hosting: Gate,
}

impl Cluster {
    pub(super) async fn new() -> Self {
        let world = World::new().await;
        store::migration::prepare(&*world.store, &world.clock)
            .await
            .unwrap();
        Self {
            world,
            clock: Clock::system(),
        }
    }

    pub(super) async fn start(&self, name: &str) -> Node {
        self.start_with(name, OwnershipConfig::default()).await
    }

    pub(super) async fn start_with(&self, name: &str, config: OwnershipConfig) -> Node {
        self.start_at(name, "127.0.0.1:7410", config).await
    }

    /// One that others reach at an address.
    pub(super) async fn start_at(&self, name: &str, peer: &str, config: OwnershipConfig) -> Node {
        let (membership, hosting) = (Gate::new(), Gate::new());
        let store = || Arc::clone(&self.world.store);
        let host = HostConfig {
            node: name.to_owned(),
            idle_ms: 60_000,
            slots: SLOTS,
        };
        let kinds = Kinds::default().with(Tally);
        let host = Host::idle(
            host,
            hosting.store(store()),
            self.world.clock.clone(),
            kinds,
        );
        let host = host.await.unwrap();
        let member = MemberConfig {
            joining: joining(name, peer),
            slots: SLOTS,
            timing: TIMING,
        };
        let member = Member::start(member, membership.store(store()), self.clock.clone());
        let member = member.await.unwrap();
        let ownership = Ownership::start(config, host.clone(), member.clone(), self.clock.clone());
        Node {
            host,
            member,
            ownership,
            membership,
            hosting,
        }
    }
}

fn joining(name: &str, peer: &str) -> Joining {
    Joining {
        name: name.to_owned(),
        weight: 1,
        roles: vec![Role::Core],
        peer: peer.to_owned(),
        quic: None,
        http: None,
        operations: Vec::new(),
        versions: Versions {
            binary: "0.1.0".to_owned(),
            protocol: 1,
            schema: 1,
        },
    }
}

impl Node {
    pub(super) async fn owns(&self, count: usize) {
        let mut changes = self.host.changes();
        let waits = async {
            while self.host.owned().len() != count {
                changes.changed().await.unwrap();
            }
        };
        let waited = timeout(PATIENCE, waits).await;
        assert!(waited.is_ok(), "{:?}", self.host.owned());
    }

    /// Has what the plan gives it, between so many nodes.
    pub(super) async fn owns_share_of(&self, nodes: usize) {
        let mut view = self.member.view();
        let planned = view.wait_for(|view| view.plan.nodes().count() == nodes);
        let view = timeout(PATIENCE, planned).await.unwrap().unwrap().clone();
        self.owns(view.plan.slots_of(&view.name).count()).await;
    }

    pub(super) async fn stands(&self, as_: Standing) {
        let mut standing = self.member.standing();
        let waited = timeout(PATIENCE, standing.wait_for(|it| *it == as_)).await;
        assert!(waited.is_ok_and(|waited| waited.is_ok()), "{as_:?}");
    }

    pub(super) async fn leave(&self) -> Leave {
        self.member.leave(self.ownership.emptied(), PATIENCE).await
    }

    /// As a process that is stopped, as far as the store is concerned.
    pub(super) fn stop(&self) {
        self.membership.close();
        self.hosting.close();
    }
}

/// Completes when each slot is open at one of these hosts.
pub(super) async fn all_served(hosts: &[&Host]) {
    let mut changes: Vec<_> = hosts.iter().map(|host| host.changes()).collect();
    let waits = async {
        loop {
            let mut owned: Vec<u16> = hosts.iter().flat_map(|host| host.owned()).collect();
            owned.sort_unstable();
            owned.dedup();
            if owned.len() == usize::from(SLOTS) {
                return;
            }
            let changed = changes.iter_mut().map(|it| Box::pin(it.changed()));
            futures::future::select_all(changed).await.0.unwrap();
        }
    };
    assert!(timeout(PATIENCE, waits).await.is_ok());
}

pub(super) fn slot(key: &str) -> u16 {
    let actor = actor(key);
    actor.address.slot(&actor.tenant, SLOTS)
}

/// A command of a session, which has heard the answers before.
pub(super) fn number_of(session: u64, number: u64) -> Identity {
    Identity::Session {
        session: SessionId::from_u128(u128::from(session)),
        number,
        acknowledged: number - 1,
    }
}

/// Adds one to an actor, with the same number until it is answered, at whichever host serves it then.
pub(super) async fn add_surely(hosts: &[Host], key: &str, identity: Identity) {
    let mut changes: Vec<_> = hosts.iter().map(Host::changes).collect();
    loop {
        for change in &mut changes {
            change.borrow_and_update();
        }
        let serves = |host: &&Host| host.owned().contains(&slot(key));
        match hosts.iter().find(serves) {
            Some(host) => match add(host, key, identity).await {
                Outcome::Success(_) => return,
                Outcome::Failure(failure) if failure.code == ErrorCode::Unavailable => {
                    tokio::task::yield_now().await;
                }
                Outcome::Failure(failure) => panic!("{failure}"),
            },
            None => {
                let changed = changes.iter_mut().map(|it| Box::pin(it.changed()));
                futures::future::select_all(changed).await.0.unwrap();
            }
        }
    }
}
