//! What operators see of a cluster and do to it, on one store with nodes whose rounds are driven by hand.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Claim, Host, HostConfig, Kinds};
use selvedge_cluster::audit::{self, Chain};
use selvedge_cluster::membership::{
    Admin, Changed, Code, Condition, Force, Joining, Observed, Ousted, Refusal, Role, Round,
    Service, Timing, Versions, Why,
};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{self, Order, Store};
use tokio::time::Instant;

const SLOTS: u16 = 64;

struct World {
    store: Arc<dyn Store>,
    clock: Clock,
    now: Instant,
    timing: Timing,
    _directory: tempfile::TempDir,
}

/// A node: its membership, and what it owns.
struct Node {
    service: Service,
    host: Host,
}

fn joining(number: u32, roles: &[Role]) -> Joining {
    Joining {
        name: format!("node-{number}"),
        weight: u32::from(roles.contains(&Role::Core)),
        roles: roles.to_vec(),
        peer: format!("127.0.0.1:{}", 7_410 + number),
        quic: Some(format!("127.0.0.1:{}", 7_400 + number)),
        http: None,
        operations: Vec::new(),
        versions: Versions {
            binary: "0.1.0".to_owned(),
            protocol: 1,
            schema: 1,
        },
    }
}

impl World {
    /// The audit trail of the cluster, in words, the oldest first.
    async fn recorded(&self) -> Vec<String> {
        let mut transaction = self.store.begin();
        let page = audit::page(
            &mut *transaction,
            &Chain::Cluster,
            None,
            Order::Ascending,
            99,
        );
        let entries = page.await.unwrap().into_iter().map(|it| it.entry);
        entries
            .map(|it| format!("{} {} {}", it.action, it.principal, it.target))
            .collect()
    }

    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap());
        let clock = Clock::manual(1_000_000, 1);
        store::migration::prepare(&*store, &clock).await.unwrap();
        Self {
            store,
            clock,
            now: Instant::now(),
            timing: Timing::default(),
            _directory: directory,
        }
    }

    fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.store), self.clock.clone(), SLOTS)
    }

    async fn join(&self, number: u32, roles: &[Role]) -> Node {
        let joining = joining(number, roles);
        let name = joining.name.clone();
        let store = Arc::clone(&self.store);
        let service = Service::join(store, &self.clock, SLOTS, joining, self.timing);
        let config = HostConfig {
            node: name,
            idle_ms: 60_000,
            slots: SLOTS,
        };
        let store = Arc::clone(&self.store);
        let host = Host::idle(config, store, self.clock.clone(), Kinds::default());
        Node {
            service: service.await.unwrap(),
            host: host.await.unwrap(),
        }
    }

    /// Rounds of these nodes, one each beat, for a time; then each takes what the plan gives it.
    async fn settle(&mut self, nodes: &mut [&mut Node]) {
        self.pass(nodes, Duration::from_secs(3)).await;
        for node in nodes {
            let view = node.service.view().await.unwrap();
            let planned: Vec<u16> = view.plan.slots_of(&view.name).collect();
            let claim = Claim {
                plan: view.plan.number,
                incarnation: view.incarnation,
            };
            let taking = node.host.take(&planned, claim, &|_, _| true).await.unwrap();
            assert_eq!(taking.taken, planned);
        }
    }

    async fn pass(&mut self, nodes: &mut [&mut Node], time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += self.timing.beat;
            for node in nodes.iter_mut() {
                let now = self.now;
                let round = node.service.round(|| now).await.unwrap();
                assert!(matches!(round, Round::Member { .. }), "{round:?}");
            }
        }
    }
}

async fn conditions(admin: &Admin) -> Vec<(String, Condition, usize, usize)> {
    let snapshot = admin.snapshot().await.unwrap();
    let rows = snapshot.members.keys().map(|name| {
        let planned = snapshot.plan.slots_of(name).count();
        let condition = snapshot.condition(name).unwrap();
        (name.clone(), condition, snapshot.held(name), planned)
    });
    rows.collect()
}

fn row(
    number: u32,
    condition: Condition,
    held: usize,
    planned: usize,
) -> (String, Condition, usize, usize) {
    (format!("node-{number}"), condition, held, planned)
}

/// The codes of what is told where these nodes do one round between the two looks.
async fn told(world: &mut World, nodes: &mut [&mut Node], of: Option<&str>) -> Vec<Code> {
    let before = world.admin().snapshot().await.unwrap();
    let observed = world.timing.beat;
    world.pass(nodes, observed).await;
    let after = world.admin().snapshot().await.unwrap();
    let seen = Observed {
        before: &before,
        after: &after,
        observed,
    };
    codes(&seen.why(of))
}

fn codes(why: &Why) -> Vec<Code> {
    why.reasons.iter().map(|reason| reason.code).collect()
}

#[tokio::test]
async fn a_node_with_a_store_of_its_own_is_a_cluster_of_one() {
    let mut world = World::new().await;
    // Whoever was there before.
    let mut two = world.join(2, &[Role::Core]).await;
    world.settle(&mut [&mut two]).await;
    let admin = world.admin();
    admin.is_alone(joining(1, &[Role::Core, Role::Edge]));
    let snapshot = admin.snapshot().await.unwrap();
    assert!(snapshot.is_alone);
    assert_eq!((snapshot.owned(), snapshot.plan.number), (0, 0));
    assert_eq!(
        conditions(&admin).await,
        [row(1, Condition::Serving, 0, 64)]
    );
    let config = HostConfig {
        node: "node-1".to_owned(),
        idle_ms: 60_000,
        slots: SLOTS,
    };
    let store = Arc::clone(&world.store);
    let host = Host::start(config, store, world.clock.clone(), Kinds::default());
    let _host = host.await.unwrap();
    let snapshot = admin.snapshot().await.unwrap();
    assert_eq!((snapshot.owned(), snapshot.moves().len()), (64, 0));
    assert!(admin.why(Some("node-1")).await.unwrap().is_at_rest());
    let refused = admin.drain("root", "node-1", Force::Yes).await;
    assert!(matches!(refused, Err(Refusal::Alone { .. })), "{refused:?}");
    let unknown = admin.remove("root", "node-2").await.unwrap_err();
    assert!(
        unknown.to_string().ends_with("there is node-1"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_drain_moves_everything_and_outlives_a_restart() {
    let mut world = World::new().await;
    let core = [Role::Core, Role::Edge];
    let (mut one, mut two) = (world.join(1, &core).await, world.join(2, &core).await);
    world.settle(&mut [&mut one, &mut two]).await;
    let admin = world.admin();
    let snapshot = admin.snapshot().await.unwrap();
    assert_eq!((snapshot.owned(), snapshot.moves().len()), (64, 0));
    assert_eq!(snapshot.controller(), Some("node-1"));

    for _ in 0..2 {
        admin.drain("root", "node-2", Force::No).await.unwrap();
    }
    world
        .pass(&mut [&mut one, &mut two], Duration::from_secs(1))
        .await;
    let rows = [
        row(1, Condition::Serving, 32, 64),
        row(2, Condition::Draining, 32, 0),
    ];
    assert_eq!(conditions(&admin).await, rows);
    let moves = admin.snapshot().await.unwrap().moves();
    let [only] = &*moves else { panic!("{moves:?}") };
    assert_eq!(
        (only.from.as_deref(), only.to.as_deref()),
        (Some("node-2"), Some("node-1"))
    );
    assert_eq!(only.slots.len(), 32);
    let refused = admin.drain("root", "node-1", Force::No).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, Refusal::LastOwner { .. }), "{said}");
    assert!(
        said.contains("node-2 is drained") && said.contains("undrain"),
        "{said}"
    );

    world.settle(&mut [&mut one, &mut two]).await;
    let drained = [
        row(1, Condition::Serving, 64, 64),
        row(2, Condition::Drained, 0, 0),
    ];
    assert_eq!(conditions(&admin).await, drained);
    let mut again = world.join(2, &core).await;
    world.settle(&mut [&mut one, &mut again]).await;
    assert_eq!(conditions(&admin).await, drained);
    for _ in 0..2 {
        admin.undrain("root", "node-2").await.unwrap();
    }
    assert_eq!(
        world.recorded().await,
        ["cluster.drain root node-2", "cluster.undrain root node-2"]
    );
    world.settle(&mut [&mut one, &mut again]).await;
    let shared = [
        row(1, Condition::Serving, 32, 32),
        row(2, Condition::Serving, 32, 32),
    ];
    assert_eq!(conditions(&admin).await, shared);
}

#[tokio::test]
async fn two_drains_at_once_leave_one_owner() {
    let mut world = World::new().await;
    let (mut one, mut two) = (
        world.join(1, &[Role::Core]).await,
        world.join(2, &[Role::Core]).await,
    );
    world.settle(&mut [&mut one, &mut two]).await;
    let admin = world.admin();
    for _ in 0..20 {
        let both = tokio::join!(
            admin.drain("root", "node-1", Force::No),
            admin.drain("root", "node-2", Force::No)
        );
        assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
        admin.undrain("root", "node-1").await.unwrap();
        admin.undrain("root", "node-2").await.unwrap();
    }
    admin.drain("root", "node-1", Force::No).await.unwrap();
    admin.drain("root", "node-2", Force::Yes).await.unwrap();
    world
        .pass(&mut [&mut one, &mut two], Duration::from_secs(1))
        .await;
    let codes = told(&mut world, &mut [&mut one, &mut two], None).await;
    assert!(codes.contains(&Code::NobodyOwns), "{codes:?}");
}

#[tokio::test]
async fn only_who_is_gone_is_removed() {
    let mut world = World::new().await;
    let (mut one, mut two) = (
        world.join(1, &[Role::Core]).await,
        world.join(2, &[Role::Core]).await,
    );
    let mut edge = world.join(3, &[Role::Edge]).await;
    world.settle(&mut [&mut one, &mut two, &mut edge]).await;
    let admin = world.admin();
    let unknown = admin.remove("root", "node-9").await.unwrap_err();
    let said = unknown.to_string();
    assert!(matches!(unknown, Refusal::Unknown { .. }), "{said}");
    assert!(said.contains("there are node-1, node-2, node-3"), "{said}");
    let alive = admin.remove("root", "node-3").await.unwrap_err();
    assert!(matches!(alive, Refusal::Alive { .. }), "{alive}");

    edge.service.begin_to_leave(&world.clock).await.unwrap();
    edge.service.leave(&world.clock).await.unwrap();
    two.service.begin_to_leave(&world.clock).await.unwrap();
    let leaving = admin.remove("root", "node-2").await.unwrap_err();
    assert!(leaving.to_string().contains("leaving"), "{leaving}");
    two.service.leave(&world.clock).await.unwrap();
    // The plan still names it.
    let planned = admin.remove("root", "node-2").await.unwrap_err();
    assert!(matches!(planned, Refusal::Planned { .. }), "{planned}");
    world.settle(&mut [&mut one]).await;
    for gone in ["node-2", "node-3"] {
        for changed in [Changed::Now, Changed::Before, Changed::Before] {
            assert_eq!(admin.remove("root", gone).await.unwrap(), changed);
        }
        let drained = admin.drain("root", gone, Force::No).await.unwrap_err();
        assert!(matches!(drained, Refusal::Unknown { .. }), "{drained}");
    }
    let unknown = admin.remove("root", "node-9").await.unwrap_err();
    assert!(matches!(unknown, Refusal::Unknown { .. }), "{unknown}");
    assert_eq!(
        conditions(&admin).await,
        [row(1, Condition::Serving, 64, 64)]
    );
    // Each change once, and nothing of what was refused.
    assert_eq!(
        world.recorded().await,
        ["cluster.remove root node-2", "cluster.remove root node-3"]
    );
    // One that was removed may join again.
    let mut two = world.join(2, &[Role::Core]).await;
    let alive = admin.remove("root", "node-2").await.unwrap_err();
    assert!(matches!(alive, Refusal::Alive { .. }), "{alive}");
    world.settle(&mut [&mut one, &mut two]).await;
    assert_eq!(conditions(&admin).await.len(), 2);
}

#[tokio::test]
async fn an_incarnation_of_a_removed_node_does_not_come_again() {
    let mut world = World::new().await;
    let (mut one, mut old) = (
        world.join(1, &[Role::Core]).await,
        world.join(2, &[Role::Core]).await,
    );
    world.settle(&mut [&mut one, &mut old]).await;
    let view = old.service.view().await.unwrap();
    // It stands still, and is declared dead.
    world.settle(&mut [&mut one]).await;
    let admin = world.admin();
    admin.remove("root", "node-2").await.unwrap();
    let mut new = world.join(2, &[Role::Core]).await;
    assert!(new.service.incarnation() > old.service.incarnation());
    // What the first one owned last is not what the second one has.
    let there = new.service.view().await.unwrap();
    assert!(!there.is_there("node-2", view.incarnation));
    // The first one wakes, and finds that it is not the member of this name.
    let replaced = Round::Ousted(Ousted::Replaced);
    assert_eq!(old.service.round(|| world.now).await.unwrap(), replaced);
    world.settle(&mut [&mut one, &mut new]).await;
    // Nor after any number of removals, of whatever name.
    let mut last = new.service.incarnation();
    for number in [3, 2, 3] {
        let node = world.join(number, &[]).await;
        assert!(node.service.incarnation() > 1, "{number}");
        if number == 2 {
            assert!(node.service.incarnation() > last);
            last = node.service.incarnation();
        }
        node.service.leave(&world.clock).await.unwrap();
        world.settle(&mut [&mut one]).await;
        admin
            .remove("root", &format!("node-{number}"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_death_has_its_time_until_the_node_is_back_or_removed() {
    let mut world = World::new().await;
    let (mut one, mut two) = (
        world.join(1, &[Role::Core]).await,
        world.join(2, &[Role::Core]).await,
    );
    world.settle(&mut [&mut one, &mut two]).await;
    let admin = world.admin();
    assert!(admin.snapshot().await.unwrap().deaths.is_empty());
    world.clock.advance(Duration::from_secs(7));
    let declared_ms = world.clock.wall_ms();
    world.settle(&mut [&mut one]).await;
    // Asked later, and on a node whose clock is another.
    world.clock.advance(Duration::from_secs(60));
    let snapshot = admin.snapshot().await.unwrap();
    let death = &snapshot.deaths["node-2"];
    assert_eq!((&*death.by, death.at_ms), ("node-1", declared_ms));
    let why = admin.why(Some("node-2")).await.unwrap();
    let dead = why.reasons.iter().find(|it| it.code == Code::Dead);
    let message = &dead.unwrap().message;
    assert!(
        message.contains("node-1 declared at 1970-01-01T00:16:47"),
        "{message}"
    );

    let mut two = world.join(2, &[Role::Core]).await;
    world.settle(&mut [&mut one, &mut two]).await;
    assert!(admin.snapshot().await.unwrap().deaths.is_empty());
    world.settle(&mut [&mut one]).await;
    admin.remove("root", "node-2").await.unwrap();
    assert!(admin.snapshot().await.unwrap().deaths.is_empty());
}

#[tokio::test]
async fn what_is_not_at_rest_is_told() {
    let mut world = World::new().await;
    let (mut one, mut two) = (
        world.join(1, &[Role::Core]).await,
        world.join(2, &[Role::Core]).await,
    );
    world.settle(&mut [&mut one, &mut two]).await;
    assert_eq!(told(&mut world, &mut [&mut one, &mut two], None).await, []);
    assert_eq!(
        told(&mut world, &mut [&mut one], None).await,
        [Code::Silent]
    );
    assert_eq!(
        told(&mut world, &mut [&mut two], Some("node-2")).await,
        [Code::ControllerSilent]
    );
    world.pass(&mut [&mut one], Duration::from_secs(3)).await;
    let of_two = told(&mut world, &mut [&mut one], Some("node-2")).await;
    assert_eq!(of_two, [Code::Dead, Code::Moving]);
    world.settle(&mut [&mut one]).await;
    assert_eq!(told(&mut world, &mut [&mut one], None).await, [Code::Dead]);
    // Nobody does a round while this looks.
    let why = world.admin().why(None).await.unwrap();
    let still = [Code::ControllerSilent, Code::Silent, Code::Dead];
    assert_eq!(codes(&why), still);
    let unknown = world.admin().why(Some("node-9")).await;
    assert!(
        matches!(unknown, Err(Refusal::Unknown { .. })),
        "{unknown:?}"
    );
}
