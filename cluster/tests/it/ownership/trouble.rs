//! Nodes that stand still, are replaced, or do not hand over.

use std::time::Duration;

use selvedge_cluster::actor::Identity;
use selvedge_cluster::membership::{MemberError, Ousted, Standing};
use tokio::time::timeout;

use super::world::*;
use crate::actor::world::{add, code, number, ok, reply, sum};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stood_still_is_refused_and_joins_anew() {
    let cluster = Cluster::new().await;
    let (one, two) = (cluster.start("one").await, cluster.start("two").await);
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
    one.hosting.open();
    assert_eq!(
        code(add(&one.host, &key, Identity::Natural).await),
        selvedge_protocol::ErrorCode::Unavailable
    );
    assert_eq!(
        one.hosting.refused(),
        refused + 1,
        "the store has refused the commit"
    );
    assert!(!one.host.owned().contains(&slot(&key)));
    assert_eq!(sum(&two.host, &key).await, 2);
    // Then it finds out.
    let incarnation = one.member.view().borrow().incarnation;
    one.membership.open();
    let mut view = one.member.view();
    let joined = view.wait_for(|view| view.incarnation > incarnation);
    assert!(timeout(PATIENCE, joined).await.is_ok());
    one.stands(Standing::Member).await;
    one.owns(16).await;
    two.owns(16).await;
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
    let config = selvedge_cluster::ownership::OwnershipConfig {
        quiet: Duration::from_millis(100),
        force: Duration::from_millis(300),
        look: Duration::from_millis(20),
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
