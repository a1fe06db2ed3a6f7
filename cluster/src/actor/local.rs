//! A subscription to an actor of this node: its events, read from the store up to now and then as they are
//! committed. Does not activate the actor.
//!
//! The queue is opened before the store is read, so nothing falls between them; what comes both ways is
//! told apart by its seq. A queue that overflowed is opened anew, and the store read again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use selvedge_protocol::frame::Since;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::mpsc;

use crate::actor::core::Core;
use crate::actor::hub::Published;
use crate::actor::record::{ActorRecord, EventsRecord, Stored, StoredState};
use crate::actor::request::{ScopedAddress, StoredEvent, SubscriptionItem};
use crate::slot::Slot;
use crate::store::keys::{ActorPrefix, Key};
use crate::store::{self, Isolation};

/// Rows of events read from the store at once: at 90 kB each still below what a transaction may read.
const PAGE_MAX: usize = 64;

/// The events of one actor, in order, without gap or repeat, for as long as somebody asks for them.
pub(crate) struct LocalSubscription {
    core: Arc<Core>,
    actor: ScopedAddress,
    prefix: ActorPrefix,
    /// The last event handed out.
    position: u64,
    /// Read from the store or received, not yet handed out.
    ready: VecDeque<StoredEvent>,
    /// Whether the store holds nothing after `ready` that the queue does not bring.
    is_live: bool,
    queue: Option<mpsc::Receiver<Published>>,
}

impl LocalSubscription {
    pub(crate) async fn open(
        core: Arc<Core>,
        actor: ScopedAddress,
        since: Since,
    ) -> Result<Self, Failure> {
        let slot = core.slot_of(&actor);
        let prefix = ActorPrefix::new(slot.number, &actor.tenant, &actor.address);
        let queue = Some(slot.hub.subscribe(&actor));
        let mut subscription = Self {
            prefix,
            position: 0,
            ready: VecDeque::new(),
            is_live: false,
            queue,
            core,
            actor,
        };
        subscription.position = match since {
            Since::After(seq) => seq,
            Since::Latest => subscription.record().await?.map_or(0, |record| record.seq),
        };
        Ok(subscription)
    }

    /// The last event before the next item.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The next item. Waits as long as there is none. After an error the subscription has ended.
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<SubscriptionItem, Failure> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if event.seq == self.next_seq() {
                    self.position = event.seq;
                    return Ok(SubscriptionItem::Event(event));
                }
                if event.seq > self.position {
                    // Missed something: the store has it, and this one as well.
                    self.is_live = false;
                    self.ready.clear();
                }
            }
            if !self.is_live {
                if let Some(gap) = self.read_page().await? {
                    return Ok(gap);
                }
                continue;
            }
            let Some(queue) = &mut self.queue else {
                self.reopen()?;
                continue;
            };
            match queue.recv().await {
                Some(Published::Events(events)) => self.ready.extend(events.iter().cloned()),
                Some(Published::Ephemeral(item)) => return Ok(item),
                None => self.queue = None,
            }
        }
    }

    /// Positions come from outside: the largest has none after it.
    const fn next_seq(&self) -> u64 {
        self.position.saturating_add(1)
    }

    fn slot(&self) -> &Slot {
        self.core.slot_of(&self.actor)
    }

    /// Subscribes again after falling behind.
    fn reopen(&mut self) -> Result<(), Failure> {
        let stopping = &self.core.is_stopping;
        if !self.slot().is_open() || stopping.load(std::sync::atomic::Ordering::Acquire) {
            return Err(Failure::new(
                ErrorCode::Unavailable,
                "this node does not serve the actor any more; subscribe again",
            ));
        }
        self.queue = Some(self.slot().hub.subscribe(&self.actor));
        self.is_live = false;
        Ok(())
    }

    /// Reads on from the position. Answers a gap if events after it are not stored any more.
    async fn read_page(&mut self) -> Result<Option<SubscriptionItem>, Failure> {
        let range = self
            .prefix
            .events_from(self.next_seq())
            .read(PAGE_MAX, Isolation::Snapshot);
        let mut transaction = self.core.store.begin();
        let rows = transaction.range(range).await.map_err(unavailable)?;
        if rows.is_empty() {
            return self.go_live().await;
        }
        let mut events = VecDeque::with_capacity(rows.len());
        for (key, value) in rows {
            events.extend(row(&key, &value).map_err(undecodable)?);
        }
        // The first row may begin before the position.
        let known = events.partition_point(|event: &StoredEvent| event.seq <= self.position);
        events.drain(..known);
        if events
            .front()
            .is_none_or(|first| first.seq == self.next_seq())
        {
            self.ready = events;
            return Ok(None);
        }
        self.gap().await.map(Some)
    }

    /// Nothing is stored after the position: what comes is published. Answers a gap if the actor is not as
    /// far as that: it has ended since, and perhaps begun anew.
    async fn go_live(&mut self) -> Result<Option<SubscriptionItem>, Failure> {
        if self.position > 0 {
            let record = self.record().await?;
            if record.as_ref().map_or(0, |record| record.seq) < self.position {
                return self.gap_to(record).await.map(Some);
            }
        }
        self.is_live = true;
        Ok(None)
    }

    async fn gap(&mut self) -> Result<SubscriptionItem, Failure> {
        let record = self.record().await?;
        self.gap_to(record).await
    }

    async fn gap_to(&mut self, record: Option<ActorRecord>) -> Result<SubscriptionItem, Failure> {
        let seq = record.as_ref().map_or(0, |record| record.seq);
        let snapshot = self.snapshot(record.as_ref()).await?;
        let after = std::mem::replace(&mut self.position, seq);
        Ok(SubscriptionItem::Gap {
            after,
            seq,
            snapshot,
        })
    }

    async fn record(&self) -> Result<Option<ActorRecord>, Failure> {
        let mut transaction = self.core.store.begin();
        let value = transaction
            .get(&self.prefix.record(), Isolation::Snapshot)
            .await
            .map_err(unavailable)?;
        value
            .map(|value| ActorRecord::decode(&value))
            .transpose()
            .map_err(undecodable)
    }

    async fn snapshot(&self, record: Option<&ActorRecord>) -> Result<Bytes, Failure> {
        let kind = self.core.kinds.find(self.actor.address.kind.as_str());
        let Some(kind) = kind else {
            return Err(Failure::new(
                ErrorCode::UnknownKind,
                "no such actor kind is registered",
            ));
        };
        let Some(record) = record else {
            return Ok(kind.fresh().view());
        };
        let state = match &record.state {
            StoredState::Here(state) => state.clone(),
            StoredState::Chunks(count) => {
                let limit = usize::try_from(*count).unwrap_or(usize::MAX);
                let range = self.prefix.state_chunks().read(limit, Isolation::Snapshot);
                let mut transaction = self.core.store.begin();
                let rows = transaction.range(range).await.map_err(unavailable)?;
                let mut whole = BytesMut::new();
                for (_, chunk) in rows {
                    whole.extend_from_slice(&chunk);
                }
                whole.freeze()
            }
        };
        let state = kind
            .decode(record.state_format, &state)
            .map_err(undecodable)?;
        Ok(state.view())
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        // The receiver goes first, so that the hub sees that this one left.
        self.queue = None;
        self.slot().hub.left(&self.actor);
    }
}

impl fmt::Debug for LocalSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LocalSubscription({} after {})",
            self.actor.address, self.position
        )
    }
}

/// The events of a row, which holds those of one commit under the seq of the last.
pub(crate) fn row(
    key: &[u8],
    value: &[u8],
) -> Result<impl Iterator<Item = StoredEvent>, store::Error> {
    let failed = |reason: String| store::Error::Record {
        key: EventsRecord::NAME.to_owned(),
        reason,
    };
    let Key::Event { seq: last, .. } =
        Key::decode(key).map_err(|error| failed(error.to_string()))?
    else {
        return Err(failed("the key is not an event's".to_owned()));
    };
    let EventsRecord(events) = EventsRecord::decode(value)?;
    let Some(before) = last.checked_sub(events.len() as u64) else {
        return Err(failed(format!("{} events end with {last}", events.len())));
    };
    Ok((before + 1..).zip(events).map(|(seq, event)| StoredEvent {
        seq,
        kind: event.kind,
        time_ms: event.time_ms,
        data: event.data,
    }))
}

fn unavailable(error: store::Error) -> Failure {
    if error.is_damage() {
        return undecodable(error);
    }
    // Of each subscription, again and again while the store is away: the store itself says so once.
    tracing::debug!(%error, "subscription cannot read the store");
    Failure::new(
        ErrorCode::Unavailable,
        "the store cannot be read at the moment; subscribe again",
    )
}

fn undecodable(reason: impl fmt::Display) -> Failure {
    tracing::error!(%reason, "subscription cannot read what is stored");
    Failure::new(
        ErrorCode::Internal,
        "what is stored of the actor cannot be read; see the node's log",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_ends_a_subscription_for_good() {
        let damage = store::Error::Unreadable {
            path: "/data/store".to_owned(),
            reason: "a checksum".to_owned(),
        };
        assert_eq!(unavailable(damage).code, ErrorCode::Internal);
        let passing = unavailable(store::Error::TooOld);
        assert_eq!(passing.code, ErrorCode::Unavailable);
    }
}
