//! Reads the committed state of an actor without activating it: for lists, which show many actors and
//! change none, and for queries that any committed state will do for. What an activation has decided and not
//! committed is not in it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::{ErrorCode, Failure};
use tracing::{error, warn};

use crate::actor::core::{Core, come_back, failure};
use crate::actor::hosted::{AnyKind, defect};
use crate::actor::load::{ATTEMPTS_MAX, unknown, unreadable};
use crate::actor::machine::{is_late, late};
use crate::actor::record::{ActorRecord, Stored, StoredState as Place};
use crate::actor::request::{QueryRequest, ReplyTo};
use crate::store::keys::{ActorPath, ActorPrefix};
use crate::store::{self, Isolation, Transaction};

/// A state as its kind has encoded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// The format version that the kind wrote it with.
    pub format: u8,
    pub bytes: Bytes,
    /// The last event of the actor.
    pub seq: u64,
    /// How many commits it is made of.
    pub version: u64,
}

/// The state of an actor in the snapshot of `transaction`; `None` before its first commit.
pub async fn stored_state(
    transaction: &mut dyn Transaction,
    actor: &ActorPath,
) -> Result<Option<StoredState>, store::Error> {
    read(transaction, &actor.prefix()).await
}

async fn read(
    transaction: &mut dyn Transaction,
    prefix: &ActorPrefix,
) -> Result<Option<StoredState>, store::Error> {
    let record = transaction
        .get(&prefix.record(), Isolation::Snapshot)
        .await?;
    let Some(record) = record else {
        return Ok(None);
    };
    let record = ActorRecord::decode(&record)?;
    let bytes = match record.state {
        Place::Here(bytes) => bytes,
        Place::Chunks(count) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let chunks = prefix.state_chunks().read(count, Isolation::Snapshot);
            let mut whole = BytesMut::new();
            for (_, chunk) in transaction.range(chunks).await? {
                whole.extend_from_slice(&chunk);
            }
            whole.freeze()
        }
    };
    Ok(Some(StoredState {
        format: record.state_format,
        bytes,
        seq: record.seq,
        version: record.version,
    }))
}

/// Answers a query from what is stored, whoever owns the actor. Never waits: so many at a time, no more.
pub(crate) fn answer(core: &Arc<Core>, request: QueryRequest, reply: ReplyTo) {
    if core.is_stopping.load(Ordering::Acquire) {
        return reply.answer(failure(ErrorCode::Unavailable, "this node is stopping"));
    }
    let Some(kind) = core.kinds.find(request.actor.address.kind.as_str()) else {
        let unknown = unknown(&request.actor.address.kind);
        return reply.answer(Outcome::Failure(unknown));
    };
    if is_late(request.deadline, core.now()) {
        return reply.answer(late());
    }
    let Ok(permit) = Arc::clone(&core.snapshots).try_acquire_owned() else {
        let text = "too many queries are answered from the store; come back later";
        return reply.answer(come_back(text));
    };
    let (kind, core) = (Arc::clone(kind), Arc::clone(core));
    let runtime = core.runtime.clone();
    runtime.spawn(async move {
        let answering = query(&core, &*kind, &request);
        let outcome = match request.deadline {
            None => answering.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, answering).await {
                Ok(outcome) => outcome,
                Err(_) => late(),
            },
        };
        drop(permit);
        reply.answer(outcome);
    });
}

async fn query(core: &Core, kind: &dyn AnyKind, request: &QueryRequest) -> Outcome {
    let actor = &request.actor.address;
    let stored = match load(core, request).await {
        Ok(stored) => stored,
        Err(error) if error.is_damage() => {
            error!(%actor, %error, "stored actor cannot be read");
            return Outcome::Failure(unreadable());
        }
        Err(error) => {
            if core.may_tell_trouble() {
                warn!(%actor, %error, "actor cannot be read");
            }
            let text = "the store cannot be read at the moment; ask again";
            return failure(ErrorCode::Unavailable, text);
        }
    };
    // Any code of the application may panic.
    let answer = catch_unwind(AssertUnwindSafe(|| ask(kind, stored.as_ref(), request)));
    let (seq, version) = stored.map_or((0, 0), |stored| (stored.seq, stored.version));
    match answer.unwrap_or_else(|_| Err(defect("the query"))) {
        Ok(body) => Outcome::Success(Success { body, seq, version }),
        Err(failure) => Outcome::Failure(failure),
    }
}

/// Begun anew as a load is.
async fn load(core: &Core, request: &QueryRequest) -> Result<Option<StoredState>, store::Error> {
    let actor = &request.actor;
    let slot = core.slot_of(actor).number;
    let prefix = ActorPrefix::new(slot, &actor.tenant, &actor.address);
    for _ in 1..ATTEMPTS_MAX {
        match read(&mut *core.store.begin(), &prefix).await {
            Err(error) if error.may_be_retried() => {}
            result => return result,
        }
    }
    read(&mut *core.store.begin(), &prefix).await
}

fn ask(
    kind: &dyn AnyKind,
    stored: Option<&StoredState>,
    request: &QueryRequest,
) -> Result<Bytes, Failure> {
    let state = match stored {
        None => kind.fresh(),
        Some(stored) => kind
            .decode(stored.format, &stored.bytes)
            .map_err(|reason| {
                error!(actor = %request.actor.address, reason, "stored actor cannot be read");
                unreadable()
            })?,
    };
    state.answer(&request.name, &request.body)
}
