//! What the gateway calls: commands, queries and lists of operations, and their events.
//!
//! A thin layer over the host: it maps operation ids to actors and hands payloads over. It decides
//! nothing.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Host, Identity, Kind, Origin, QueryRequest, ReplyTo, ScopedAddress,
    Subscription,
};
use selvedge_protocol::frame::{Consistency, Outcome, Since, Success};
use selvedge_protocol::{
    ActorAddress, ActorKey, ActorKind, ErrorCode, Failure, OperationId, Tenant,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::operation::kind::{
    CANCEL, OperationKind, PAUSE, RESUME, RETRY, SIGNAL, SUBMIT, SUBMIT_STREAMED,
};
use crate::operation::list::List;
use crate::operation::submission;
use crate::operation::wait::Waiters;
use crate::processing::{Carrying, PayloadBroken, Pools, Stream, carry};

/// The query that counts what a list would have.
pub(crate) const COUNT: &str = "count";

/// A cheap handle on the operations of a cluster.
#[derive(Debug, Clone)]
pub struct Operations {
    host: Host,
    pools: Pools,
    waiters: Waiters,
}

/// A client's command to an operation: `submit`, `cancel`, `pause`, `resume`, `retry` or `signal`.
#[derive(Debug)]
pub struct OperationCommand {
    pub tenant: Tenant,
    pub principal: Arc<str>,
    pub id: OperationId,
    /// What makes it take effect once.
    pub identity: Identity,
    pub name: String,
    /// JSON text.
    pub body: Bytes,
    pub payload: OperationPayload,
    /// The version that it must have.
    pub if_version: Option<u64>,
    pub deadline: Option<Instant>,
}

/// The bytes that come with a submit.
#[derive(Debug)]
pub enum OperationPayload {
    None,
    /// At hand: stored with the submit, up to 8 MiB.
    Stored(Bytes),
    /// Handed through while the operation runs. The sender drops the channel at the end of the payload,
    /// and sends an error first when its own source broke; without a known length nothing else tells
    /// an end from a break. A closed channel means that nobody wants the rest.
    Streamed {
        length: Option<u64>,
        chunks: mpsc::Receiver<Result<Bytes, PayloadBroken>>,
    },
}

impl Operations {
    pub(crate) const fn new(host: Host, pools: Pools, waiters: Waiters) -> Self {
        Self {
            host,
            pools,
            waiters,
        }
    }

    /// Sends a command. Never waits; refusals come as answers.
    pub fn command(&self, command: OperationCommand, reply: ReplyTo) {
        let actor = match address(command.tenant, &command.id) {
            Ok(actor) => actor,
            Err(failure) => return reply.answer(Outcome::Failure(failure)),
        };
        let name = command.name.as_str();
        if ![SUBMIT, CANCEL, PAUSE, RESUME, RETRY, SIGNAL].contains(&name) {
            let message = format!(
                "an operation has no command {name:?}; use submit, cancel, pause, resume, retry or \
                 signal"
            );
            let failure = Failure::new(ErrorCode::UnknownCommand, message);
            return reply.answer(Outcome::Failure(failure));
        }
        // The repeat of a submit or cancel is harmless by itself.
        let identity = match name {
            SUBMIT | CANCEL => Identity::Natural,
            _ => command.identity,
        };
        let mut request = CommandRequest {
            actor,
            principal: command.principal,
            origin: Origin::Client(None),
            identity,
            name: command.name,
            body: command.body,
            payload: None,
            if_version: command.if_version,
            deadline: command.deadline,
        };
        match command.payload {
            OperationPayload::Streamed { length, chunks }
                if request.name == SUBMIT && self.pools.may_be_elsewhere(&request.actor) =>
            {
                let stream = Stream { length, chunks };
                let carried = self.clone().carried(request, command.id, stream, reply);
                tokio::spawn(carried);
            }
            OperationPayload::Streamed { length, chunks } if request.name == SUBMIT => {
                SUBMIT_STREAMED.clone_into(&mut request.name);
                let stream = self.pools.streams().arrive(Stream { length, chunks });
                request.body = submission::wrap_streamed(length, stream, &request.body);
                let reply = ReplyTo::new(
                    Arc::new(StreamedReply {
                        reply: parking_lot::Mutex::new(Some(reply)),
                        pools: self.pools.clone(),
                        actor: request.actor.clone(),
                        stream,
                    }),
                    0,
                );
                self.host.command(request, reply);
            }
            OperationPayload::Stored(bytes) => {
                request.payload = Some(bytes);
                self.host.command(request, reply);
            }
            OperationPayload::None | OperationPayload::Streamed { .. } => {
                self.host.command(request, reply);
            }
        }
    }

    /// A submit to another node, which gets the payload first.
    async fn carried(
        self,
        mut request: CommandRequest,
        id: OperationId,
        stream: Stream,
        reply: ReplyTo,
    ) {
        let length = stream.length;
        let carrying = match carry(&self.pools, &request.actor, &id, stream).await {
            Ok(carrying) => carrying,
            Err(failure) => return reply.answer(Outcome::Failure(failure)),
        };
        SUBMIT_STREAMED.clone_into(&mut request.name);
        request.body = submission::wrap_streamed(length, carrying.number, &request.body);
        let reply = CarriedReply(parking_lot::Mutex::new(Some((reply, carrying))));
        self.host.command(request, ReplyTo::new(Arc::new(reply), 0));
    }

    /// Answers the query `get` with the operation, and `wait` with the operation once it is final, or as
    /// it is after a while (30 s, or the deadline). Never waits itself.
    pub fn query(
        &self,
        tenant: Tenant,
        id: &OperationId,
        name: String,
        body: Bytes,
        deadline: Option<Instant>,
        reply: ReplyTo,
    ) {
        match address(tenant, id) {
            Ok(actor) if name == "wait" => {
                self.waiters.wait(&self.host, actor, deadline, reply);
            }
            Ok(actor) => self.host.query(get(actor, name, body), reply),
            Err(failure) => reply.answer(Outcome::Failure(failure)),
        }
    }

    /// Answers the query `list` with a page of operations, and `count` with how many there are. Never waits.
    pub fn list(&self, tenant: Tenant, name: &str, body: &[u8], reply: ReplyTo) {
        let list = match List::parse(tenant, self.pools.index_shards(), body) {
            Ok(list) => list,
            Err(failure) => return reply.answer(Outcome::Failure(failure)),
        };
        let pools = self.pools.clone();
        let is_count = name == COUNT;
        tokio::spawn(async move {
            let answer = match is_count {
                true => list.count(&pools).await.map(|count| json::encode(&count)),
                false => list.page(&pools).await,
            };
            reply.answer(match answer {
                Ok(body) => Outcome::Success(Success {
                    body,
                    seq: 0,
                    version: 0,
                }),
                Err(failure) => Outcome::Failure(failure),
            });
        });
    }

    /// The events of an operation from a position on.
    pub async fn subscribe(
        &self,
        tenant: Tenant,
        id: &OperationId,
        since: Since,
    ) -> Result<Subscription, Failure> {
        self.host.subscribe(address(tenant, id)?, since).await
    }
}

/// Passes the answer to a submit on whose payload goes to another node; a refused one's is broken off.
struct CarriedReply(parking_lot::Mutex<Option<(ReplyTo, Carrying)>>);

impl AnswerSink for CarriedReply {
    fn answer(&self, _token: u64, outcome: Outcome) {
        if let Some((reply, carrying)) = self.0.lock().take() {
            let carried = match &outcome {
                Outcome::Success(_) => carrying.go_on(),
                Outcome::Failure(_) => Ok(()),
            };
            reply.answer(carried.map_or_else(Outcome::Failure, |()| outcome));
        }
    }
}

/// Passes the answer to a streamed submit on; a refused one's stream is dropped.
struct StreamedReply {
    reply: parking_lot::Mutex<Option<ReplyTo>>,
    pools: Pools,
    actor: ScopedAddress,
    stream: u64,
}

impl AnswerSink for StreamedReply {
    fn answer(&self, _token: u64, outcome: Outcome) {
        // One that another node has answered after all was not admitted here.
        let is_elsewhere = self.pools.may_be_elsewhere(&self.actor);
        if matches!(outcome, Outcome::Failure(_)) || is_elsewhere {
            self.pools.streams().turn_away(&self.actor, self.stream);
        }
        if let Some(reply) = self.reply.lock().take() {
            reply.answer(outcome);
        }
    }
}

pub(super) fn get(actor: ScopedAddress, name: String, body: Bytes) -> QueryRequest {
    QueryRequest {
        actor,
        name,
        body,
        consistency: Consistency::Linearizable,
        deadline: None,
    }
}

/// The actor that an operation is.
pub(crate) fn address(tenant: Tenant, id: &OperationId) -> Result<ScopedAddress, Failure> {
    let invalid = |error: selvedge_protocol::IdError| {
        Failure::field(ErrorCode::Invalid, "id", error.to_string())
    };
    Ok(ScopedAddress {
        tenant,
        address: ActorAddress {
            kind: ActorKind::new(OperationKind::NAME).map_err(invalid)?,
            key: ActorKey::new(id.as_str()).map_err(invalid)?,
        },
    })
}
