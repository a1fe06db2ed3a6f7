//! Members in trouble: a controller that stands still in the midst of a publication, a node that leaves with a slow
//! command, a store that is full, clocks that jump.

use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::Identity;
use selvedge_cluster::membership::{Leave, Standing};
use selvedge_cluster::ownership::OwnershipConfig;
use selvedge_cluster::store::keys::{ClusterKey, Key};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;
use tokio::time::timeout;

use super::world::*;
use crate::actor::world::{add, command, number, ok, reply, sum};

/// Completes when a node sees a cluster like this.
async fn sees(node: &Node, what: impl Fn(&selvedge_cluster::membership::View) -> bool) {
    let mut views = node.member.view();
    let seen = views.wait_for(|view| what(view));
    let is_seen = timeout(PATIENCE, seen).await.is_ok_and(|seen| seen.is_ok());
    assert!(is_seen, "{:?}", node.member.view().borrow());
}

/// Of two that hold themselves to be the controller the later decides, whatever the first had decided.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_wakes_in_a_publication_is_refused() {
    let cluster = Cluster::new().await;
    let one = cluster.start("one").await;
    one.owns(32).await;
    let two = cluster.start("two").await;
    for node in [&one, &two] {
        node.owns(16).await;
    }
    assert_eq!(
        one.member.view().borrow().controller.as_deref(),
        Some("one")
    );
    // It decides a plan for three nodes, and stands still before that is committed.
    one.membership
        .hold(&Key::Cluster(ClusterKey::Plan).encode());
    let three = cluster.start("three").await;
    one.membership.holds().await;
    let before = one.member.view().borrow().plan.number;
    // Whoever takes over finds it dead, and plans without it.
    for node in [&two, &three] {
        sees(node, |view| {
            let is_alive = view.members.get("one").is_some_and(|node| node.is_alive());
            let has_none = view.plan.slots_of("one").next().is_none();
            !is_alive && has_none && view.plan.nodes().count() == 2
        })
        .await;
    }
    let taken_over = two.member.view().borrow().clone();
    assert!(
        taken_over
            .controller
            .as_deref()
            .is_some_and(|name| name != "one")
    );
    assert!(
        taken_over.plan.number > before,
        "by the number that it had chosen"
    );
    assert_eq!(one.membership.refused(), 0);
    one.membership.let_go();
    let refused = async {
        while one.membership.refused() == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, refused).await.is_ok(), "it was not tried");
    // Nothing of it was written: the next plan follows the one of who took over.
    for node in [&one, &two, &three] {
        node.stands(Standing::Member).await;
        sees(node, |view| view.plan.nodes().count() == 3).await;
        let view = node.member.view().borrow().clone();
        assert_eq!(view.plan.number, taken_over.plan.number + 1);
        assert_eq!(view.members["one"].incarnation, 2);
        node.owns_share_of(3).await;
    }
    all_served(&[&one.host, &two.host, &three.host]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_with_a_slow_command_answers_it_first() {
    let cluster = Cluster::new().await;
    let patient = OwnershipConfig {
        quiet: PATIENCE,
        force: PATIENCE,
        ..OwnershipConfig::default()
    };
    let one = cluster.start_with("one", patient).await;
    one.owns(32).await;
    one.hosting.hold(b"tally");
    let (reply, mut answer) = reply();
    one.host
        .command(command("a", "add", "1", Identity::Natural), reply);
    one.hosting.holds().await;
    let two = cluster.start_with("two", patient).await;
    let leaving = async {
        let leave = one.leave().await;
        assert_eq!(leave, Leave::Emptied);
        assert_eq!(one.host.held(), [0_u16; 0]);
    };
    let letting_go = async {
        // Everything is the other's but the slot of the command.
        two.owns(31).await;
        assert_eq!(one.host.held(), [slot("a")]);
        assert!(answer.try_recv().is_err(), "it is not answered yet");
        one.hosting.let_go();
        ok(timeout(PATIENCE, &mut answer).await.unwrap().unwrap())
    };
    let ((), answered) = tokio::join!(leaving, letting_go);
    assert_eq!(number(&answered), 1);
    two.owns(32).await;
    assert_eq!(sum(&two.host, "a").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_with_a_command_that_does_not_end_leaves_it_unwritten() {
    let cluster = Cluster::new().await;
    let hasty = OwnershipConfig {
        quiet: Duration::from_millis(100),
        force: Duration::from_millis(300),
        ..OwnershipConfig::default()
    };
    let one = cluster.start_with("one", hasty).await;
    one.owns(32).await;
    let two = cluster.start_with("two", hasty).await;
    one.owns(16).await;
    two.owns(16).await;
    let keys = (0..).map(|n: u32| n.to_string());
    let key = keys
        .into_iter()
        .find(|key| one.host.owned().contains(&slot(key)))
        .unwrap();
    one.hosting.hold(b"tally");
    let (reply, answer) = reply();
    one.host
        .command(command(&key, "add", "1", Identity::Natural), reply);
    one.hosting.holds().await;
    assert_eq!(one.leave().await, Leave::Emptied);
    two.owns(32).await;
    assert_eq!(
        number(&ok(add(&two.host, &key, Identity::Natural).await)),
        1
    );
    // It goes on when the slot is another's.
    one.hosting.let_go();
    match timeout(PATIENCE, answer).await.unwrap().unwrap() {
        Outcome::Failure(failure) => assert_eq!(failure.code, ErrorCode::Unavailable),
        Outcome::Success(success) => panic!("{success:?}"),
    }
    assert_eq!(sum(&two.host, &key).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_store_is_full_say_so_and_go_on_when_there_is_room() {
    let cluster = Cluster::new().await;
    let one = cluster.start("one").await;
    one.owns(32).await;
    let two = cluster.start("two").await;
    for node in [&one, &two] {
        node.owns(16).await;
    }
    let before = two.member.view().borrow().clone();
    let (ones, twos) = (one.host.owned(), two.host.owned());
    for node in [&one, &two] {
        node.membership.set_full(true);
        node.hosting.set_full(true);
    }
    for node in [&one, &two] {
        node.stands(Standing::Doubtful).await;
    }
    let refused = add(&one.host, "a", Identity::Natural).await;
    assert!(matches!(refused, Outcome::Failure(_)), "{refused:?}");
    for node in [&one, &two] {
        node.membership.set_full(false);
        node.hosting.set_full(false);
    }
    // Nobody was declared dead for it, and nothing has moved.
    for node in [&one, &two] {
        node.stands(Standing::Member).await;
    }
    let after = two.member.view().borrow().clone();
    assert_eq!(after.plan, before.plan);
    assert_eq!(after.members, before.members);
    assert_eq!((one.host.owned(), two.host.owned()), (ones, twos));
    let hosts = [one.host.clone(), two.host.clone()];
    timeout(PATIENCE, add_surely(&hosts, "a", number_of(1, 1)))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_hours_moves_nothing() {
    const HOURS: Duration = Duration::from_secs(10 * 3_600);
    let mut cluster = Cluster::new().await;
    let one = cluster.start("one").await;
    one.owns(32).await;
    // One of them has a clock of its own.
    let clock = Clock::manual(1_000_000_000_000, 7);
    (cluster.clock, cluster.world.clock) = (clock.clone(), clock.clone());
    let two = cluster.start("two").await;
    for node in [&one, &two] {
        node.owns(16).await;
    }
    let before = one.member.view().borrow().clone();
    let hosts = [one.host.clone(), two.host.clone()];
    let mut number = 0;
    for jump in [
        Clock::advance,
        Clock::retreat,
        Clock::retreat,
        Clock::advance,
    ] {
        jump(&clock, HOURS);
        // A lease and a death would be over by the end of these rounds, were they measured by it.
        for _ in 0..3 {
            let beat = timeout(PATIENCE, beats(&cluster, &two)).await;
            assert!(beat.is_ok(), "it beats no more");
        }
        number += 1;
        for key in 0..8 {
            let id = number_of(key, number);
            timeout(PATIENCE, add_surely(&hosts, &key.to_string(), id))
                .await
                .unwrap();
        }
        for node in [&one, &two] {
            assert_eq!(*node.member.standing().borrow(), Standing::Member);
            let now = node.member.view().borrow().clone();
            assert_eq!((&now.plan, &now.members), (&before.plan, &before.members));
            assert_eq!(node.host.owned().len(), 16);
        }
    }
}

/// Completes with the next beat of a node.
async fn beats(cluster: &Cluster, node: &Node) {
    let name = node.member.name().to_owned();
    let key = Key::Cluster(ClusterKey::Beat { name }).encode();
    let store = &cluster.world.store;
    selvedge_cluster::store::Store::watch(&**store, &key)
        .await
        .unwrap();
}
