//! The subscribers to a slot's actors, on this node. Activations publish here what they committed.
//!
//! Never waits for a subscriber: one whose queue is full is let go, and reads on from the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::actor::request::{ScopedAddress, StoredEvent, SubscriptionItem};

/// Items queued towards one subscriber. A shorter queue sends slow ones to the store more often, a
/// longer one costs memory for each.
const QUEUE_MAX: usize = 64;

/// What goes to a subscriber.
#[derive(Debug, Clone)]
pub(crate) enum Published {
    /// Events of one commit.
    Events(Arc<[StoredEvent]>),
    /// Not stored.
    Ephemeral(SubscriptionItem),
}

#[derive(Debug, Default)]
pub(crate) struct Hub {
    /// Looked at before the lock is taken: most commits have no subscribers.
    count: AtomicUsize,
    subscribers: Mutex<HashMap<ScopedAddress, Vec<mpsc::Sender<Published>>>>,
}

impl Hub {
    /// Whatever is published to the actor from now on, until the queue was full once.
    pub(crate) fn subscribe(&self, actor: &ScopedAddress) -> mpsc::Receiver<Published> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let mut subscribers = self.subscribers.lock();
        let of_actor = subscribers.entry(actor.clone()).or_default();
        // Those that left without a word are only noticed when something is sent.
        let before = of_actor.len();
        of_actor.retain(|subscriber| !subscriber.is_closed());
        let left = before - of_actor.len();
        of_actor.push(sender);
        self.count.fetch_add(1, Ordering::AcqRel);
        self.count.fetch_sub(left, Ordering::AcqRel);
        receiver
    }

    pub(crate) fn publish(&self, actor: &ScopedAddress, events: &Arc<[StoredEvent]>) {
        if self.count.load(Ordering::Acquire) == 0 || events.is_empty() {
            return;
        }
        self.send(actor, &Published::Events(Arc::clone(events)));
    }

    pub(crate) fn tell(&self, actor: &ScopedAddress, item: SubscriptionItem) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.send(actor, &Published::Ephemeral(item));
        }
    }

    /// Lets the subscribers of an actor go.
    pub(crate) fn let_go(&self, actor: &ScopedAddress) {
        let gone = self.subscribers.lock().remove(actor);
        let count = gone.map_or(0, |subscribers| subscribers.len());
        self.count.fetch_sub(count, Ordering::AcqRel);
    }

    /// Lets all subscribers go.
    pub(crate) fn close(&self) {
        let subscribers = std::mem::take(&mut *self.subscribers.lock());
        let count: usize = subscribers.values().map(Vec::len).sum();
        self.count.fetch_sub(count, Ordering::AcqRel);
        // They are let go in the order of their actors: that of a map is another one each time.
        let mut subscribers: Vec<_> = subscribers.into_iter().collect();
        subscribers.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        drop(subscribers);
    }

    /// Forgets the subscribers of an actor that have left.
    pub(crate) fn left(&self, actor: &ScopedAddress) {
        let mut subscribers = self.subscribers.lock();
        if let Some(of_actor) = subscribers.get_mut(actor) {
            let before = of_actor.len();
            of_actor.retain(|subscriber| !subscriber.is_closed());
            self.count
                .fetch_sub(before - of_actor.len(), Ordering::AcqRel);
            if of_actor.is_empty() {
                subscribers.remove(actor);
            }
        }
    }

    fn send(&self, actor: &ScopedAddress, published: &Published) {
        let mut subscribers = self.subscribers.lock();
        let Some(of_actor) = subscribers.get_mut(actor) else {
            return;
        };
        let before = of_actor.len();
        of_actor.retain(|subscriber| match subscriber.try_send(published.clone()) {
            Ok(()) => true,
            // An ephemeral item is lost; for events the subscriber has to go to the store.
            Err(TrySendError::Full(Published::Ephemeral(_))) => true,
            Err(TrySendError::Full(Published::Events(_)) | TrySendError::Closed(_)) => false,
        });
        self.count
            .fetch_sub(before - of_actor.len(), Ordering::AcqRel);
        if of_actor.is_empty() {
            subscribers.remove(actor);
        }
    }
}
