//! Nodes that stand still, are replaced, or do not hand over.

use std::time::Duration;

use selvedge_cluster::actor::{Claim, Identity};
use selvedge_cluster::membership::{MemberError, Ousted, Standing};
use selvedge_cluster::ownership::OwnershipConfig;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Since;
use tokio::time::timeout;

use super::world::*;
use crate::actor::world::{actor, add, code, number, ok, reply, sum};

/// A node that finds out by what it tries, and by nothing else.
const UNCHECKED: OwnershipConfig = OwnershipConfig {
    part: Duration::from_millis(600),
    quiet: Duration::from_secs(2),
    force: Duration::from_secs(3),
    look: Duration::from_millis(20),
    check: Duration::from_secs(3_600),
};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stood_still_is_refused_and_joins_anew() {
    let cluster = Cluster::new().await;
    let one = cluster.start_with("one", UNCHECKED).await;
    let two = cluster.start("two").await;
    two.owns(16).await;
    one.owns(16).await;
    let key = (0..)
        .map(|n: u32| n.to_string())
        .find(|key| one.host.owned().contains(&slot(key)));
    let key = key.unwrap();
    assert_eq!(
        number(&ok(add(&one.host, &key, Identity::Natural).await)),
        1
    );
    one.stop();
    one.stands(Standing::Doubtful).await;
    two.owns(32).await;
    assert_eq!(
        number(&ok(add(&two.host, &key, Identity::Natural).await)),
        2
    );
    // It wakes in the belief that it still owns, and tries.
    assert!(one.host.owned().contains(&slot(&key)));
    let refused = one.hosting.refused();
    one.hosting.open_but_for_ranges();
    assert_eq!(
        code(add(&one.host, &key, Identity::Natural).await),
        ErrorCode::Unavailable
    );
    assert_eq!(
        one.hosting.refused(),
        refused + 1,
        "the store has refused the commit"
    );
    assert!(!one.host.owned().contains(&slot(&key)));
    assert_eq!(sum(&two.host, &key).await, 2);
    // Then it finds out.
    one.hosting.open();
    let incarnation = one.member.view().borrow().incarnation;
    one.membership.open();
    let mut view = one.member.view();
    let joined = view.wait_for(|view| view.incarnation > incarnation);
    assert!(timeout(PATIENCE, joined).await.is_ok());
    one.stands(Standing::Member).await;
    one.owns(16).await;
    two.owns(16).await;
}

/// The new owner has the slot and has not touched the actor: nothing but the fence is in the way of a commit, of
/// one that was on its way when the node was stopped, and of one that it makes when it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_on_in_the_belief_that_it_owns_is_refused_by_the_fence_alone() {
    let cluster = Cluster::new().await;
    let one = cluster.start_with("one", UNCHECKED).await;
    let two = cluster.start("two").await;
    one.owns(16).await;
    two.owns(16).await;
    let owned = one.host.owned();
    // Of different slots, as a slot that was lost once is known to be.
    let mut keys = (0..).map(|n: u32| n.to_string());
    let mut keys = owned[..2]
        .iter()
        .map(|of| keys.find(|key| slot(key) == *of));
    let [begun, later] = [keys.next().unwrap().unwrap(), keys.next().unwrap().unwrap()];
    for key in [&begun, &later] {
        assert_eq!(number(&ok(add(&one.host, key, Identity::Natural).await)), 1);
    }
    one.stop();
    let (reply, answer) = reply();
    let command = crate::actor::world::command(&begun, "add", "1", Identity::Natural);
    one.host.command(command, reply);
    two.owns(32).await;
    let (refused, fenced) = (one.hosting.refused(), one.host.commits_fenced());
    assert_eq!((refused, fenced), (0, 0));
    assert!(one.host.owned().contains(&slot(&begun)), "it does not know");
    assert!(!two.host.is_activated(&actor(&begun)) && !two.host.is_activated(&actor(&later)));

    one.hosting.open_but_for_ranges();
    let outcome = timeout(PATIENCE, answer).await.unwrap().unwrap();
    let said = format!("{outcome:?}");
    assert_eq!(code(outcome), ErrorCode::Unavailable);
    let counted = (one.hosting.refused(), one.host.commits_fenced());
    assert_eq!(counted, (1, 1), "{said}");
    assert!(one.host.owned().contains(&slot(&later)), "nor of that");
    let outcome = add(&one.host, &later, Identity::Natural).await;
    assert_eq!(code(outcome), ErrorCode::Unavailable);
    assert_eq!((one.hosting.refused(), one.host.commits_fenced()), (2, 2));
    for key in [&begun, &later] {
        assert_eq!(sum(&two.host, key).await, 1, "nothing of it was written");
        assert_eq!(number(&ok(add(&two.host, key, Identity::Natural).await)), 2);
    }
    assert_eq!(two.host.commits_fenced(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_with_one_name_the_first_ends() {
    let cluster = Cluster::new().await;
    let first = cluster.start("one").await;
    first.owns(32).await;
    let second = cluster.start("one").await;
    let failed = timeout(PATIENCE, first.member.failed()).await.unwrap();
    assert!(matches!(&failed, MemberError::Replaced { name } if name == "one"));
    assert!(failed.to_string().contains("--name"), "{failed}");
    first.stands(Standing::Out(Ousted::Replaced)).await;
    first.owns(0).await;
    second.owns(32).await;
    ok(add(&second.host, "a", Identity::Natural).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_handed_over_is_taken_by_force() {
    let cluster = Cluster::new().await;
    let config = OwnershipConfig {
        quiet: Duration::from_millis(100),
        force: Duration::from_millis(300),
        look: Duration::from_millis(20),
        ..OwnershipConfig::default()
    };
    let one = cluster.start_with("one", config).await;
    one.owns(32).await;
    // It is alive, and neither its commits nor its releases get through.
    one.hosting.close();
    let (reply, answer) = reply();
    let command = crate::actor::world::command("a", "add", "1", Identity::Natural);
    one.host.command(command, reply);
    let two = cluster.start_with("two", config).await;
    two.owns(16).await;
    one.stands(Standing::Member).await;
    one.hosting.open();
    drop(answer);
    one.owns(16).await;
}

/// Nobody asks the loser for anything; its plan has not changed, nor does its membership know.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_owner_finds_out_what_was_taken_from_it() {
    let cluster = Cluster::new().await;
    let config = OwnershipConfig {
        check: Duration::from_millis(200),
        ..OwnershipConfig::default()
    };
    let one = cluster.start_with("one", config).await;
    one.owns(32).await;
    ok(add(&one.host, "a", Identity::Natural).await);
    let since = Since::After(1);
    let mut events = one.host.subscribe(actor("a"), since).await.unwrap();
    let thief = cluster.world.idle("thief", SLOTS).await;
    let claim = Claim {
        plan: 100,
        incarnation: 1,
    };
    let taken = thief.take(&[slot("a")], claim, &|_, _| true).await.unwrap();
    assert_eq!(taken.taken, [slot("a")]);
    // The subscription ends, so whoever follows it goes to the new owner.
    let ended = timeout(PATIENCE, events.next()).await.unwrap();
    assert_eq!(ended.unwrap_err().code, ErrorCode::Unavailable);
    one.owns(31).await;
    assert!(!one.host.owned().contains(&slot("a")));
    // Nothing else of it was touched, and what it takes back later it has.
    assert_eq!(one.host.check().await.unwrap(), 0);
}
