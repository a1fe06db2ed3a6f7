//! One GraphQL operation under way: who asks, until when, and what it reads. Resolvers reach the node through it alone,
//! by the service that sessions use.
//!
//! Reads of one operation go on at the same time, a bounded number of them, and the same is read once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::Context;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use selvedge_cluster::actor::Identity;
use selvedge_protocol::frame::{Consistency, Since, Success};
use selvedge_protocol::limits::{GRAPHQL_READ_BYTES_MAX, GRAPHQL_READS_MAX};
use selvedge_protocol::{CommandId, ErrorCode, Failure, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::bridge::graphql::error::Refusal;
use crate::bridge::{Inside, Subscribed};
use crate::gateway::{Caller, CommandCall, CommandPayload, QueryCall};

/// Cheap to clone; clones share what was read.
#[derive(Clone)]
pub(super) struct Call(Arc<Shape>);

struct Shape {
    inside: Inside,
    caller: Caller,
    /// `None`: it is a subscription, which ends with its client.
    deadline: Option<Instant>,
    permits: Semaphore,
    read_bytes: AtomicUsize,
    reads: Mutex<HashMap<Read, Reading>>,
}

/// A query, as it is told from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Read {
    target: Target,
    name: String,
    body: Bytes,
}

type Reading = Shared<BoxFuture<'static, Result<Success, Failure>>>;

impl Call {
    pub(super) fn new(inside: Inside, caller: Caller, deadline: Option<Instant>) -> Self {
        Self(Arc::new(Shape {
            inside,
            caller,
            deadline,
            permits: Semaphore::new(GRAPHQL_READS_MAX),
            read_bytes: AtomicUsize::new(0),
            reads: Mutex::default(),
        }))
    }

    /// The call that a resolver is part of.
    pub(super) fn of<'a>(context: &Context<'a>) -> Result<&'a Self, Refusal> {
        context.data::<Self>().map_err(|error| {
            tracing::error!(?error, "a resolver runs outside a call");
            Refusal(Failure::new(
                ErrorCode::Internal,
                "the request cannot be served; the node's log says more",
            ))
        })
    }

    pub(super) fn inside(&self) -> &Inside {
        &self.0.inside
    }

    /// The answer to a query. It is asked once, however often it is needed.
    pub(super) async fn query(
        &self,
        target: Target,
        name: &str,
        body: Bytes,
    ) -> Result<Success, Refusal> {
        let read = Read {
            target,
            name: name.to_owned(),
            body,
        };
        let reading = {
            let mut reads = self.0.reads.lock();
            let begin = || Self::read(self.0.clone(), read.clone()).boxed().shared();
            reads.entry(read.clone()).or_insert_with(begin).clone()
        };
        Ok(reading.await?)
    }

    /// The answer as of now, and not kept for whoever asks the same.
    pub(super) async fn query_anew(
        &self,
        target: Target,
        name: &str,
        body: Bytes,
    ) -> Result<Success, Refusal> {
        let name = name.to_owned();
        let read = Read { target, name, body };
        Ok(Self::read(self.0.clone(), read).await?)
    }

    async fn read(shape: Arc<Shape>, read: Read) -> Result<Success, Failure> {
        // Nobody closes it.
        let _permit = shape.permits.acquire().await;
        let so_far = shape.read_bytes.load(Ordering::Relaxed);
        if so_far > GRAPHQL_READ_BYTES_MAX {
            return Err(Failure::new(
                ErrorCode::TooLarge,
                format!(
                    "the answer has more than {GRAPHQL_READ_BYTES_MAX} bytes; ask for shorter pages, or without \
                     states, inputs and results"
                ),
            ));
        }
        let call = QueryCall {
            target: read.target,
            name: read.name,
            body: read.body,
            consistency: Consistency::Linearizable,
            deadline: shape.deadline,
        };
        let success = shape.inside.query(&shape.caller, call).await?;
        shape
            .read_bytes
            .fetch_add(success.body.len(), Ordering::Relaxed);
        Ok(success)
    }

    /// An id that nobody has; ids sort by the time they were made.
    pub(super) fn new_id(&self) -> CommandId {
        let clock = &self.0.inside.clock;
        CommandId::from_parts(clock.wall_ms(), clock.random_bytes())
    }

    /// Executes a command. `id` makes its repeat harmless; without one each is its own.
    pub(super) async fn command(
        &self,
        target: Target,
        name: &str,
        body: Bytes,
        id: Option<&str>,
    ) -> Result<Success, Refusal> {
        let id = match id {
            Some(id) => CommandId::from_text(id),
            None => self.new_id(),
        };
        let call = CommandCall {
            target,
            identity: Identity::Id(id),
            name: name.to_owned(),
            body,
            payload: CommandPayload::None,
            if_version: None,
            deadline: self.0.deadline,
        };
        let success = self.0.inside.command(&self.0.caller, call).await?;
        // What was read before may be otherwise now.
        self.0.reads.lock().clear();
        Ok(success)
    }

    pub(super) async fn subscribe(
        &self,
        target: Target,
        since: Since,
    ) -> Result<Subscribed, Refusal> {
        Ok(self
            .0
            .inside
            .subscribe(&self.0.caller, target, since)
            .await?)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.0.caller).finish()
    }
}

/// A body as JSON text.
pub(super) fn encode(body: &impl Serialize) -> Result<Bytes, Refusal> {
    match serde_json::to_vec(body) {
        Ok(text) => Ok(Bytes::from(text)),
        Err(error) => Err(Refusal::invalid("body", format!("it is no JSON: {error}"))),
    }
}

/// An answer of the inside, JSON text. An empty one is null.
pub(super) fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, Refusal> {
    let text = if text.is_empty() { b"null" } else { text };
    serde_json::from_slice(text).map_err(|error| {
        tracing::error!(%error, "an answer of the node does not read");
        Refusal(Failure::new(
            ErrorCode::Internal,
            "the answer cannot be read; the node's log says more",
        ))
    })
}
