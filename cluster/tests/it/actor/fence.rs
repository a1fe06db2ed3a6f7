//! Two hosts on one store: only the one that took the slots last can commit.

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::Identity;
use selvedge_cluster::store::Store;
use selvedge_protocol::ErrorCode;

use super::faults::Faulty;
use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_commit_of_an_earlier_owner_is_refused() {
    let world = World::new().await;
    let first = world.host().await;
    ok(add(&first, "a", Identity::Natural).await);
    ok(add(&first, "b", Identity::Natural).await);

    let second = world.host().await;
    // The attempt: the first host still has the actor in memory, decides, and tries to commit.
    assert_eq!(
        code(add(&first, "a", Identity::Natural).await),
        ErrorCode::Unavailable
    );
    // The refusal left no trace.
    assert_eq!(sum(&second, "a").await, 1);
    assert_eq!(number(&ok(add(&second, "a", Identity::Natural).await)), 2);
    // It has noticed, and serves nothing of that slot from memory that may be old.
    assert_eq!(
        code(ask_query(&first, "a", "sum").await),
        ErrorCode::Unavailable
    );
    // An actor that it had not activated is not loaded either.
    assert_eq!(
        code(ask_query(&first, "never-seen", "sum").await),
        ErrorCode::Unavailable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_others_can_write_a_query_proves_that_the_slot_is_owned() {
    let world = World::new().await;
    let shared = || -> Arc<dyn Store> {
        Arc::new(Faulty {
            inner: Arc::clone(&world.store),
            dice: Clock::manual(0, 1),
            percent: 0,
            is_exclusive: false,
        })
    };
    let first = world.host_on(shared()).await;
    ok(add(&first, "a", Identity::Natural).await);
    assert_eq!(sum(&first, "a").await, 1);
    let second = world.host_on(shared()).await;
    ok(add(&second, "a", Identity::Natural).await);
    assert_eq!(
        code(ask_query(&first, "a", "sum").await),
        ErrorCode::Unavailable
    );
    assert_eq!(sum(&second, "a").await, 2);
}
