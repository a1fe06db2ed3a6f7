//! Erasing: what is left, and in which order things may come.

use selvedge_cluster::audit;
use selvedge_cluster::privacy::Erased;
use selvedge_cluster::store::Order;
use selvedge_cluster::store::keys::Family;
use selvedge_protocol::Tenant;
use selvedge_protocol::frame::{Consistency, Outcome};

use super::world::{World, pages_of, rows, said, subject};
use crate::actor::world::ok;

fn of_actors(stored: &[(bytes::Bytes, bytes::Bytes)], named: &str) -> usize {
    let families = [
        Family::Actor,
        Family::Event,
        Family::Timer,
        Family::Outbox,
        Family::Awake,
        Family::Payload,
        Family::Catalog,
        Family::SubjectActor,
    ];
    let rows = stored.iter().filter(|(key, _)| {
        Family::of(key).is_some_and(|family| families.contains(&family))
            && super::world::holds(key, named)
    });
    rows.count()
}

#[tokio::test]
async fn what_was_erased_is_not_there_and_then_cleared_and_the_rest_is_untouched() {
    let world = World::new();
    let node = world.node("node-1").await;
    let (ann, ben) = (subject("ann"), subject("ben"));
    for of in ["ann/a", "ann/b", "ben/a"] {
        for (number, name) in ["write", "remind", "tell", "awake"].into_iter().enumerate() {
            ok(node.tell(of, name, &said(number, of)).await);
        }
    }
    assert_eq!(node.erase(&world.clock, &ann).await, Erased::Now);
    node.host.subject_erased(&ann);
    assert_eq!(node.erase(&world.clock, &ann).await, Erased::Before);
    assert_eq!(
        node.erase(&world.clock, &subject("eve")).await,
        Erased::Nothing
    );
    assert_eq!(node.pages("ann/a").await.len(), 0);
    assert_eq!(
        pages_of(&node.host, "ann/b", Consistency::Eventual)
            .await
            .len(),
        0
    );
    assert_eq!(node.pages("ben/a").await.len(), 4);
    assert!(of_actors(&rows(&*world.inner).await, "ann/") > 0);
    node.sweep(&world.clock, &ann).await;
    let stored = rows(&*world.inner).await;
    assert_eq!(of_actors(&stored, "ann/"), 0);
    assert!(of_actors(&stored, "ben/") >= 8);
    // Done again it does nothing.
    node.sweep(&world.clock, &ann).await;
    assert_eq!(rows(&*world.inner).await, stored);

    let tenant = Tenant::default_tenant();
    let mut transaction = world.inner.begin();
    let chain = (&tenant).into();
    let trail = audit::page(&mut *transaction, &chain, None, Order::Ascending, 10);
    let trail = trail.await.unwrap();
    let told: Vec<_> = trail
        .iter()
        .map(|record| (&*record.entry.action, &*record.entry.target))
        .collect();
    assert_eq!(told, [("subject.erase", "ann")]);

    node.insist("ann/a", "write", "anew").await;
    assert_eq!(node.pages("ann/a").await, ["anew"]);
    node.sweep(&world.clock, &ann).await;
    assert_eq!(node.pages("ann/a").await, ["anew"]);
    let again = world.node("node-1").await;
    assert_eq!(again.pages("ann/a").await, ["anew"]);
    assert_eq!(again.pages("ben/a").await.len(), 4);
    let _ = ben;
}

/// A node that has not heard of it yet stores nothing on top of what was erased.
#[tokio::test]
async fn a_commit_after_the_erasure_builds_on_nothing_that_was_before() {
    let world = World::new();
    let (one, other) = (world.node("node-1").await, world.keys());
    ok(one.tell("ann/a", "write", "before").await);
    ok(one.tell("ann/b", "write", "before").await);
    let ann = subject("ann");
    let erasure = selvedge_cluster::privacy::Erasure {
        of: &ann,
        principal: "tester",
        notice: b"",
    };
    // By another node: this one has the key and the states in memory.
    let erased = selvedge_cluster::privacy::erase(&other, &world.clock, erasure).await;
    assert_eq!(erased.unwrap(), Erased::Now);
    let refused = one.tell("ann/a", "write", "after").await;
    assert!(matches!(refused, Outcome::Failure(failure) if failure.code.may_be_retried()));
    ok(one.tell("ann/a", "write", "after").await);
    assert_eq!(one.pages("ann/a").await, ["after"]);
    // Told before it writes.
    one.host.subject_erased(&ann);
    one.insist("ann/b", "write", "after").await;
    assert_eq!(one.pages("ann/b").await, ["after"]);
    one.sweep(&world.clock, &ann).await;
    assert_eq!(one.pages("ann/b").await, ["after"]);
    let again = world.node("node-1").await;
    assert_eq!(again.pages("ann/a").await, ["after"]);
    assert_eq!(again.pages("ann/b").await, ["after"]);
}

/// A state that was loaded through a key that is in memory still is not written under the next one.
#[tokio::test]
async fn what_was_loaded_with_an_old_key_is_not_sealed_anew() {
    let world = World::new();
    let (one, other) = (world.node("node-1").await, world.keys());
    ok(one.tell("ann/a", "write", "before").await);
    // Of the same subject, in memory with the key and not committed by this activation.
    drop(one);
    let one = world.node("node-1").await;
    assert_eq!(one.pages("ann/a").await, ["before"]);
    let ann = subject("ann");
    let erasure = selvedge_cluster::privacy::Erasure {
        of: &ann,
        principal: "tester",
        notice: b"",
    };
    selvedge_cluster::privacy::erase(&other, &world.clock, erasure)
        .await
        .unwrap();
    let refused = one.tell("ann/a", "write", "after").await;
    assert!(matches!(refused, Outcome::Failure(failure) if failure.code.may_be_retried()));
    ok(one.tell("ann/a", "write", "after").await);
    assert_eq!(one.pages("ann/a").await, ["after"]);
}

/// Clients write on while subjects are erased again and again: whoever is answered after an erasure finds what it
/// wrote, and what was written before is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasures_and_commits_in_any_order_lose_nothing_and_keep_nothing() {
    let world = World::new();
    let node = world.node("node-1").await;
    let ann = subject("ann");
    for round in 0..20 {
        let writes = async {
            let mut last = None;
            for number in 0..10 {
                let text = format!("{round} {number}");
                if let Outcome::Success(_) = node.tell("ann/a", "write", &text).await {
                    last = Some(text);
                }
            }
            last
        };
        let erasing = async {
            tokio::task::yield_now().await;
            node.erase(&world.clock, &ann).await;
            node.host.subject_erased(&ann);
            node.sweep(&world.clock, &ann).await;
        };
        let (last, ()) = tokio::join!(writes, erasing);
        let text = format!("{round} end");
        node.insist("ann/a", "write", &text).await;
        let pages = node.pages("ann/a").await;
        assert_eq!(pages.last(), Some(&text));
        let is_old = |page: &&String| !page.starts_with(&format!("{round} "));
        assert!(
            round == 0 || pages.iter().filter(is_old).count() == 0,
            "{round}: {pages:?} {last:?}"
        );
    }
}
