//! Subscriptions on a node whose store is away.

use std::sync::Arc;
use std::time::Duration;

use selvedge_protocol::frame::Since;

use super::world::*;
use crate::actor::world::*;
use crate::ownership::gate::Gate;

/// It fails at once for as long as it is away: who asks again without a pause takes the processor from all others.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_to_read_asks_seldom_and_goes_on_when_it_is_back() {
    let mut cluster = Cluster::new().await;
    let gate = Gate::new();
    let store = gate.store(Arc::clone(&cluster.world.store));
    let one = cluster.node_on("one", store).await;
    cluster.give_all_to("one");
    cluster.take(&one).await;
    cluster.tell(&one);
    assert_eq!(add_surely(&one.host, "a", 1).await, 1);
    let since = Since::After(0);
    let mut events = one.host.subscribe(actor("a"), since).await.unwrap();
    gate.set_away(true);
    let next = tokio::spawn(async move { next_seq(&mut events).await });
    let failed = gate.has_failed(6).await;
    // As they happened, however late this task hears of them.
    let elapsed = failed[5] - failed[0];
    // One of the pauses may be cut short by something that has changed.
    assert!(elapsed >= Duration::from_millis(4 * 100), "{elapsed:?}");
    gate.set_away(false);
    assert_eq!(soon(next).await.unwrap(), 1);
}
