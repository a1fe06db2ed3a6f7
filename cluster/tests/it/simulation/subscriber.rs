//! Follows the events of one counter through any node, and goes on elsewhere where that ends: each must come once, in
//! order and without a gap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::actor::{Subscription, SubscriptionItem};
use selvedge_protocol::frame::Since;
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::node::Node;
use super::world::World;
use crate::actor::world::actor;

pub(super) struct Subscriber {
    pub(super) key: String,
    pub(super) world: Arc<World>,
    pub(super) dice: Dice,
    /// The last event that was heard of each counter.
    pub(super) heard: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Subscriber {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        loop {
            let nodes = self.world.nodes();
            if !nodes.is_empty() {
                let node = Arc::clone(self.dice.pick(&nodes));
                self.follow(&node).await;
            }
            sleep(self.dice.ms(20, 200)).await;
        }
    }

    fn last(&self) -> u64 {
        self.heard.lock().get(&self.key).copied().unwrap_or(0)
    }

    /// Through this node, for as long as it tells something.
    async fn follow(&self, node: &Node) {
        let key = &self.key;
        let Some(host) = node.host() else { return };
        let since = Since::After(self.last());
        let opened = timeout(PATIENCE, host.subscribe(actor(key), since)).await;
        drop(host);
        let Ok(Ok(mut subscription)) = opened else {
            return;
        };
        let process = &node.process;
        self.world.log.say(format_args!(
            "{key} is followed through {process} from {}",
            self.last()
        ));
        loop {
            tokio::select! {
                biased;
                () = node.life.over() => return,
                is_open = self.hear(&mut subscription) => if !is_open { return },
            }
            if !node.life.goes_on().await {
                return;
            }
        }
    }

    async fn hear(&self, subscription: &mut Subscription) -> bool {
        let (key, log) = (&self.key, &self.world.log);
        match subscription.next().await {
            Ok(SubscriptionItem::Event(event)) => {
                let last = self.last();
                log.say(format_args!("{key} tells {}", event.seq));
                if event.seq != last + 1 {
                    log.violation(format_args!("{key} tells {} after {last}", event.seq));
                }
                self.heard.lock().insert(key.clone(), event.seq);
                true
            }
            Ok(SubscriptionItem::Gap { after, seq, .. }) => {
                log.violation(format_args!("{key} tells of a gap: {after} to {seq}"));
                false
            }
            Ok(SubscriptionItem::Ephemeral { .. }) => true,
            Err(failure) => {
                log.say(format_args!("{key} tells no more: {failure}"));
                false
            }
        }
    }
}

/// After so long without an answer it tries another node.
const PATIENCE: Duration = Duration::from_millis(6_000);
