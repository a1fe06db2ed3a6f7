//! What can be watched: the events of an operation or an actor, in order, from a position on.

use async_graphql::{Context, ID, Json, SimpleObject, Subscription as Watch, Union};
use bytes::Bytes;
use futures::{Stream, StreamExt, future, stream};
use selvedge_client::operation::OperationStatus;
use selvedge_cluster::actor::{StoredEvent, SubscriptionItem};
use selvedge_protocol::frame::Since;
use selvedge_protocol::{Target, time};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::bridge::Subscribed;
use crate::bridge::graphql::call::{Call, decode};
use crate::bridge::graphql::error::Refusal;
use crate::bridge::graphql::schema::identity;
use crate::bridge::graphql::schema::scalar::{AnyJson, DateTime, UInt64, any};

/// What can be watched.
#[derive(Debug)]
pub(in crate::bridge::graphql) struct Subscription;

#[Watch(name = "Subscription")]
impl Subscription {
    /// The events of an operation, up to its final one; none where that is known.
    async fn operation_events(
        &self,
        context: &Context<'_>,
        id: ID,
        #[graphql(
            desc = "The seq of the last event that is known; without it from the beginning."
        )]
        after: Option<UInt64>,
    ) -> Result<impl Stream<Item = Result<EventOrGap, Refusal>>, Refusal> {
        let target = Target::Operation(identity::operation("id", &id)?);
        let after = after.map_or(0, |UInt64(seq)| seq);
        let call = Call::of(context)?;
        // One that does not exist has no events to wait for, and one that has ended no more.
        let now = call.query_anew(target.clone(), "get", Bytes::new()).await?;
        let is_over = after >= now.seq && decode::<Now>(&now.body)?.status.is_final();
        let subscribed = match is_over {
            true => None,
            false => Some(call.subscribe(target, Since::After(after)).await?),
        };
        Ok(stream::iter(subscribed).flat_map(|subscribed| until_final(events(subscribed))))
    }

    /// The events of an actor.
    async fn actor_events(
        &self,
        context: &Context<'_>,
        kind: String,
        key: String,
        #[graphql(
            desc = "The seq of the last event that is known, 0 for the beginning; without it from now on."
        )]
        after: Option<UInt64>,
    ) -> Result<impl Stream<Item = Result<EventOrGap, Refusal>>, Refusal> {
        let target = Target::Actor(identity::actor(&kind, &key)?);
        let since = after.map_or(Since::Latest, |UInt64(seq)| Since::After(seq));
        Ok(events(Call::of(context)?.subscribe(target, since).await?))
    }
}

/// What an operation says of its end.
#[derive(Debug, Deserialize)]
struct Now {
    status: OperationStatus,
}

/// What comes next.
#[derive(Debug, Union)]
pub(super) enum EventOrGap {
    Event(Event),
    Gap(Gap),
}

/// A fact that was committed.
#[derive(Debug, SimpleObject)]
pub(super) struct Event {
    /// Counts the events from 1, without gaps: `after` of a subscription that goes on behind it.
    seq: UInt64,
    #[graphql(name = "type")]
    kind: String,
    time: DateTime,
    data: Option<AnyJson>,
}

/// Events that are not stored any more.
#[derive(Debug, SimpleObject)]
pub(super) struct Gap {
    /// The last event before them.
    after: UInt64,
    /// The last one of them.
    seq: UInt64,
    /// The state behind them, to go on from.
    snapshot: Option<AnyJson>,
}

fn events(subscribed: Subscribed) -> impl Stream<Item = Result<EventOrGap, Refusal>> {
    stream::unfold(subscribed.items, |mut items: mpsc::Receiver<_>| async {
        loop {
            let next = match items.recv().await? {
                Ok(SubscriptionItem::Event(event)) => Event::read(&event),
                Ok(SubscriptionItem::Gap {
                    after,
                    seq,
                    snapshot,
                }) => any(&snapshot).map(|snapshot| {
                    EventOrGap::Gap(Gap {
                        after: UInt64(after),
                        seq: UInt64(seq),
                        snapshot: Some(snapshot),
                    })
                }),
                // Lossy by nature, and not part of what is watched here.
                Ok(SubscriptionItem::Ephemeral { .. }) => continue,
                Err(failure) => Err(Refusal(failure)),
            };
            return Some((next, items));
        }
    })
}

impl Event {
    fn read(event: &StoredEvent) -> Result<EventOrGap, Refusal> {
        Ok(EventOrGap::Event(Self {
            seq: UInt64(event.seq),
            kind: event.kind.to_string(),
            time: DateTime(time::format(event.time_ms)),
            data: Some(any(&event.data)?),
        }))
    }
}

/// The same up to the event after which there is nothing to come.
fn until_final(
    events: impl Stream<Item = Result<EventOrGap, Refusal>>,
) -> impl Stream<Item = Result<EventOrGap, Refusal>> {
    let with_end = events.flat_map(|event| {
        let end = is_final(&event).then_some(None);
        stream::iter([Some(Some(event)), end].into_iter().flatten())
    });
    with_end
        .take_while(|event| future::ready(event.is_some()))
        .filter_map(future::ready)
}

fn is_final(event: &Result<EventOrGap, Refusal>) -> bool {
    let status = match event {
        Ok(EventOrGap::Event(event)) => Some(event.kind.as_str()),
        Ok(EventOrGap::Gap(gap)) => match &gap.snapshot {
            // It was kept as long as it was to be, and is no more.
            Some(Json(Value::Null)) | None => return true,
            Some(Json(snapshot)) => snapshot["status"].as_str(),
        },
        Err(_) => None,
    };
    let status = status.and_then(|status| status.parse::<OperationStatus>().ok());
    status.is_some_and(OperationStatus::is_final)
}
