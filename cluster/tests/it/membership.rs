//! Members of a cluster on one store, their rounds driven by hand: joins, deaths, drains, and a controller
//! that believes it still is one.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::membership::{Joining, Ousted, Role, Round, Service, Timing, Versions};
use selvedge_cluster::plan::Plan;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{self, Store};
use tokio::time::Instant;

const SLOTS: u16 = 64;

struct World {
    store: Arc<dyn Store>,
    clock: Clock,
    now: Instant,
    timing: Timing,
    _directory: tempfile::TempDir,
}

impl World {
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

    async fn join(&self, number: u32) -> Service {
        let joining = Joining {
            name: format!("node-{number}"),
            weight: 1,
            roles: vec![Role::Core],
            peer: format!("127.0.0.1:{}", 7_410 + number),
            quic: None,
            http: None,
            operations: Vec::new(),
            versions: Versions {
                binary: "0.1.0".to_owned(),
                protocol: 1,
                schema: 1,
            },
        };
        let store = Arc::clone(&self.store);
        Service::join(store, &self.clock, SLOTS, joining, self.timing)
            .await
            .unwrap()
    }

    /// Rounds of these nodes, one each beat, for a time.
    async fn pass(&mut self, nodes: &mut [&mut Service], time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += self.timing.beat;
            let now = self.now;
            for node in nodes.iter_mut() {
                let round = node.round(|| now).await.unwrap();
                assert!(matches!(round, Round::Member { .. }), "{round:?}");
            }
        }
    }
}

fn count(plan: &Plan, number: u32) -> usize {
    plan.slots_of(&format!("node-{number}")).count()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn one_grows_to_three_and_shrinks_again() {
    let mut world = World::new().await;
    let mut one = world.join(1).await;
    world.pass(&mut [&mut one], SECOND).await;
    assert_eq!(count(&one.view().await.unwrap().plan, 1), 64);
    let (mut two, mut three) = (world.join(2).await, world.join(3).await);
    world
        .pass(&mut [&mut one, &mut two, &mut three], SECOND)
        .await;
    // Whoever has read the view knows that it is the controller's.
    let view = two.view().await.unwrap();
    let round = three.round(|| world.now).await.unwrap();
    assert!(matches!(round, Round::Member { view: Some(digest), .. } if digest == view.digest()));
    let plan = view.plan;
    assert!((1..=3).all(|number| (21..=22).contains(&count(&plan, number))));
    // Drained, one of them has nothing, and the others what it had.
    two.begin_to_leave(&world.clock).await.unwrap();
    world
        .pass(&mut [&mut one, &mut two, &mut three], SECOND)
        .await;
    let drained = three.view().await.unwrap().plan;
    assert_eq!([1, 2, 3].map(|number| count(&drained, number)), [32, 0, 32]);
    // The controller dies: another one finds out.
    world.pass(&mut [&mut two, &mut three], 2 * SECOND).await;
    let left = three.view().await.unwrap().plan;
    assert_eq!([1, 2, 3].map(|number| count(&left, number)), [0, 0, 64]);
}

#[tokio::test]
async fn whoever_was_declared_dead_is_told_and_joins_anew() {
    let mut world = World::new().await;
    let (mut one, mut two) = (world.join(1).await, world.join(2).await);
    world.pass(&mut [&mut one, &mut two], SECOND).await;
    world.pass(&mut [&mut one], 3 * SECOND).await;
    assert_eq!(count(&one.view().await.unwrap().plan, 2), 0);
    let dead = Round::Ousted(Ousted::Dead);
    assert_eq!(two.round(|| world.now).await.unwrap(), dead);
    assert_eq!(two.round(|| world.now).await.unwrap(), dead);
    let mut again = world.join(2).await;
    world.pass(&mut [&mut one, &mut again], SECOND).await;
    assert_eq!(count(&one.view().await.unwrap().plan, 2), 32);
    // Of two under one name the later is the member.
    let replaced = Round::Ousted(Ousted::Replaced);
    assert_eq!(two.round(|| world.now).await.unwrap(), replaced);
    let mut third = world.join(2).await;
    assert_eq!(again.round(|| world.now).await.unwrap(), replaced);
    world.pass(&mut [&mut one, &mut third], SECOND).await;
}

#[tokio::test]
async fn a_controller_that_was_replaced_decides_nothing() {
    let mut world = World::new().await;
    let (mut one, mut two) = (world.join(1).await, world.join(2).await);
    world.pass(&mut [&mut one, &mut two], SECOND).await;
    let is_controller =
        |round| matches!(round, Round::Member { is_controller, .. } if is_controller);
    assert!(is_controller(one.round(|| world.now).await.unwrap()));
    // It stands still; the other takes over and plans without it.
    world.pass(&mut [&mut two], 3 * SECOND).await;
    assert!(is_controller(two.round(|| world.now).await.unwrap()));
    let plan = two.view().await.unwrap().plan;
    // It wakes, and would now find the other silent for as long, had it a say.
    world.now += 5 * SECOND;
    let dead = Round::Ousted(Ousted::Dead);
    assert_eq!(one.round(|| world.now).await.unwrap(), dead);
    assert_eq!(two.view().await.unwrap().plan, plan);
    assert_eq!(count(&plan, 2), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_at_the_same_time_decide_each_plan_once() {
    let world = World::new().await;
    let mut nodes = Vec::new();
    for number in 1..=5 {
        nodes.push(world.join(number).await);
    }
    for round in 1..=40 {
        let now = world.now + world.timing.beat * round;
        let rounds = nodes.iter_mut().map(|node| node.round(move || now));
        for result in futures::future::join_all(rounds).await {
            assert!(matches!(result.unwrap(), Round::Member { .. }));
        }
    }
    let view = nodes[0].view().await.unwrap();
    assert_eq!(view.members.len(), 5);
    let plan = view.plan;
    assert_eq!(plan.nodes().count(), 5);
    assert!((1..=5).all(|number| (12..=13).contains(&count(&plan, number))));
}
