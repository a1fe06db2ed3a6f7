//! Requests and answers as frames between nodes, and back.

use std::sync::Arc;

use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::peer::actors as wire;
use selvedge_protocol::peer::actors::{ActorAnswer, ActorRequest};
use tokio::time::{Duration, Instant};

use crate::actor::kind::Origin;
use crate::actor::letter::Request;
use crate::actor::request::{
    CommandRequest, Identity, QueryRequest, ScopedAddress, StoredEvent, SubscriptionItem,
};

/// A request as it is sent under a number, by a plan.
pub(super) fn request(id: u64, plan: u64, now: Instant, request: &Request) -> ActorRequest {
    match request {
        Request::Command(command) => {
            let framed = wire::Command {
                id,
                plan,
                deadline_ms: left_ms(now, command.deadline),
                tenant: command.actor.tenant.clone(),
                actor: command.actor.address.clone(),
                principal: command.principal.to_string(),
                sender: sender(command.origin),
                identity: identity(command.identity),
                name: command.name.clone(),
                body: command.body.clone(),
                payload: command.payload.clone(),
            };
            match command.if_version {
                None => ActorRequest::Command(framed),
                Some(version) => ActorRequest::CommandIf(wire::CommandIf {
                    version,
                    command: framed,
                }),
            }
        }
        Request::Query(query) => ActorRequest::Query(wire::Query {
            id,
            plan,
            deadline_ms: left_ms(now, query.deadline),
            tenant: query.actor.tenant.clone(),
            actor: query.actor.address.clone(),
            name: query.name.clone(),
            body: query.body.clone(),
            consistency: query.consistency,
        }),
    }
}

/// A command of another node, on a condition or none.
pub(super) fn command(now: Instant, command: wire::Command, if_version: Option<u64>) -> Request {
    Request::Command(CommandRequest {
        actor: ScopedAddress {
            tenant: command.tenant,
            address: command.actor,
        },
        principal: Arc::from(command.principal),
        origin: match command.sender {
            wire::Sender::Client(session) => Origin::Client(session),
            wire::Sender::Actor => Origin::Actor,
            wire::Sender::Node => Origin::Node,
        },
        identity: match command.identity {
            wire::Identity::Session {
                session,
                number,
                acknowledged,
            } => Identity::Session {
                session,
                number,
                acknowledged,
            },
            wire::Identity::Id(id) => Identity::Id(id),
            wire::Identity::Natural => Identity::Natural,
        },
        name: command.name,
        body: command.body,
        payload: command.payload,
        if_version,
        deadline: deadline(now, command.deadline_ms),
    })
}

/// A query of another node.
pub(super) fn query(now: Instant, query: wire::Query) -> Request {
    Request::Query(QueryRequest {
        actor: ScopedAddress {
            tenant: query.tenant,
            address: query.actor,
        },
        name: query.name,
        body: query.body,
        consistency: query.consistency,
        deadline: deadline(now, query.deadline_ms),
    })
}

pub(super) fn answer(id: u64, outcome: Outcome) -> ActorAnswer {
    let result = match outcome {
        Outcome::Success(Success { body, seq, version }) => Ok(wire::Done { body, seq, version }),
        Outcome::Failure(failure) => Err(failure),
    };
    ActorAnswer::Answer(wire::Answer { id, result })
}

pub(super) fn outcome(answer: wire::Answer) -> Outcome {
    match answer.result {
        Ok(wire::Done { body, seq, version }) => Outcome::Success(Success { body, seq, version }),
        Err(failure) => Outcome::Failure(failure),
    }
}

pub(super) fn item(item: SubscriptionItem) -> wire::Item {
    match item {
        SubscriptionItem::Event(event) => wire::Item::Event {
            seq: event.seq,
            kind: event.kind.to_string(),
            time_ms: event.time_ms,
            data: event.data,
        },
        SubscriptionItem::Gap {
            after,
            seq,
            snapshot,
        } => wire::Item::Gap {
            after,
            seq,
            snapshot,
        },
        SubscriptionItem::Ephemeral { from, name, data } => {
            wire::Item::Ephemeral { from, name, data }
        }
    }
}

pub(super) fn heard(item: wire::Item) -> SubscriptionItem {
    match item {
        wire::Item::Event {
            seq,
            kind,
            time_ms,
            data,
        } => SubscriptionItem::Event(StoredEvent {
            seq,
            kind: Arc::from(kind),
            time_ms,
            data,
        }),
        wire::Item::Gap {
            after,
            seq,
            snapshot,
        } => SubscriptionItem::Gap {
            after,
            seq,
            snapshot,
        },
        wire::Item::Ephemeral { from, name, data } => {
            SubscriptionItem::Ephemeral { from, name, data }
        }
    }
}

/// What a request carries, beside some hundred bytes for itself.
pub(super) fn bytes(request: &Request) -> usize {
    const ITSELF: usize = 512;
    let carried = match request {
        Request::Command(command) => {
            command.body.len() + command.payload.as_ref().map_or(0, bytes::Bytes::len)
        }
        Request::Query(query) => query.body.len(),
    };
    ITSELF + carried
}

fn sender(origin: Origin) -> wire::Sender {
    match origin {
        Origin::Client(session) => wire::Sender::Client(session),
        Origin::Actor => wire::Sender::Actor,
        // Timers are fired by the owner alone; one that came here would be refused by its kind.
        Origin::Timer | Origin::Node => wire::Sender::Node,
    }
}

const fn identity(identity: Identity) -> wire::Identity {
    match identity {
        Identity::Session {
            session,
            number,
            acknowledged,
        } => wire::Identity::Session {
            session,
            number,
            acknowledged,
        },
        Identity::Id(id) => wire::Identity::Id(id),
        Identity::Natural => wire::Identity::Natural,
    }
}

/// Milliseconds until a deadline, at least 1; 0 is none.
fn left_ms(now: Instant, deadline: Option<Instant>) -> u32 {
    deadline.map_or(0, |deadline| {
        let left = deadline.saturating_duration_since(now).as_millis();
        u32::try_from(left).unwrap_or(u32::MAX).max(1)
    })
}

fn deadline(now: Instant, ms: u32) -> Option<Instant> {
    (ms > 0).then(|| now + Duration::from_millis(ms.into()))
}
