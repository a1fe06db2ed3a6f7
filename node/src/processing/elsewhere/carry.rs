//! The streamed payload of a submit that came to a node which does not own its operation: handed to the owner,
//! chunk by chunk, as fast as that takes it.
//!
//! The node of the client opens a stream and learns under which number the owner keeps the payload; the submit
//! names it. Whoever wants no more drops its end, and the other one hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_cluster::actor::ScopedAddress;
use selvedge_cluster::peer::{Link, PeerStream, StreamError};
use selvedge_protocol::limits::INLINE_BYTES_MAX;
use selvedge_protocol::peer::processing::{
    Carried, Carry, Chunk, ProcessingAnswer, ProcessingRequest,
};
use selvedge_protocol::peer::{Service, close};
use selvedge_protocol::{ErrorCode, Failure, OperationId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::operation;
use crate::processing::Pools;
use crate::processing::elsewhere::{serve, wire};
use crate::processing::stream::{PayloadBroken, Stream};

/// A payload on its way to another node. Dropped before it is let go, it is broken off.
#[derive(Debug)]
pub(crate) struct Carrying {
    /// By which the owner knows it.
    pub(crate) number: u64,
    task: Option<AbortHandle>,
    /// The way to the owner was lost before its end.
    is_lost: Arc<AtomicBool>,
}

impl Carrying {
    /// Its submit was accepted: it goes on by itself. `Err`: it was lost on its way, and is to be sent again.
    pub(crate) fn go_on(mut self) -> Result<(), Failure> {
        self.task = None;
        if self.is_lost.load(Ordering::Acquire) {
            let text = "the payload was lost on its way between two nodes; submit it again";
            return Err(Failure::new(ErrorCode::Unavailable, text));
        }
        Ok(())
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Begins to hand a payload to the owner of an operation, which is another node.
pub(crate) async fn carry(
    pools: &Pools,
    operation: &ScopedAddress,
    id: &OperationId,
    payload: Stream,
) -> Result<Carrying, Failure> {
    let unavailable = || {
        let text = "the owner of the operation cannot be reached; submit it again";
        Failure::new(ErrorCode::Unavailable, text)
    };
    let link = pools.way_to_owner(operation).ok_or_else(unavailable)?;
    let carry = Carry {
        tenant: operation.tenant.clone(),
        operation: id.clone(),
        length: payload.length,
    };
    let opened = tokio::time::timeout(OPEN_MAX, open(&link, carry)).await;
    let (number, stream) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a payload cannot be handed to its owner");
            return Err(unavailable());
        }
        Err(_elapsed) => return Err(unavailable()),
    };
    let is_lost = Arc::<AtomicBool>::default();
    let lost = Arc::clone(&is_lost);
    let task = tokio::spawn(async move {
        if let Err(error) = hand_over(payload, stream, link).await {
            tracing::info!(%error, "a payload was lost on its way to another node");
            lost.store(true, Ordering::Release);
        }
    });
    Ok(Carrying {
        number,
        task: Some(task.abort_handle()),
        is_lost,
    })
}

async fn open(link: &Link, carry: Carry) -> Result<(u64, PeerStream), StreamError> {
    let mut stream = link.stream(Service::Processing).await?;
    let carry = ProcessingRequest::Carry(carry);
    stream.write(&wire::frame(&carry)?).await?;
    match stream.read().await? {
        Some(ProcessingAnswer::Carried(carried)) => Ok((carried.number, stream)),
        Some(_) | None => Err(StreamError::Cut),
    }
}

/// Ends when the payload is over or nobody wants the rest. The link lives as long.
async fn hand_over(
    mut payload: Stream,
    mut stream: PeerStream,
    _link: Arc<Link>,
) -> Result<(), StreamError> {
    loop {
        let received = tokio::select! {
            received = payload.chunks.recv() => received,
            // By the owner, or with the connection: the next write tells.
            () = stream.stopped() => None,
        };
        let (written, is_last) = match received {
            Some(Ok(bytes)) => (hand_over_bytes(bytes, &mut stream).await, false),
            Some(Err(PayloadBroken(message))) => {
                (write(&mut stream, Chunk::Broken { message }).await, true)
            }
            None => (write(&mut stream, Chunk::End).await, true),
        };
        match written {
            Ok(()) if is_last => {
                stream.finish();
                return Ok(());
            }
            Ok(()) => {}
            // Nobody wants the rest.
            Err(StreamError::Ended(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

async fn hand_over_bytes(
    mut bytes: bytes::Bytes,
    stream: &mut PeerStream,
) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let data = bytes.split_to(bytes.len().min(INLINE_BYTES_MAX));
        write(stream, Chunk::Bytes { data }).await?;
    }
    Ok(())
}

async fn write(stream: &mut PeerStream, chunk: Chunk) -> Result<(), StreamError> {
    let chunk = ProcessingRequest::Chunk(chunk);
    stream.write(&wire::frame(&chunk)?).await
}

/// Takes a payload in that another node hands over.
pub(super) async fn carried(pools: &Pools, carry: Carry, stream: &mut PeerStream) {
    let Ok(operation) = operation::address(carry.tenant, &carry.operation) else {
        return serve::end(stream, Err(StreamError::Cut));
    };
    let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
    let length = carry.length;
    let number = pools.streams().arrive(Stream { length, chunks });
    let ended = take_in(stream, number, &sender).await;
    if let Err(error) = &ended {
        // Its submit may never come: then nobody else would let it go.
        if !pools.streams().turn_away_undecided(number) && !sender.is_closed() {
            let broken = PayloadBroken(format!("on its way between two nodes: {error}"));
            // Whoever reads it hears so when there is room.
            let _ = sender.send(Err(broken)).await;
        }
        tracing::debug!(operation = %operation.address.key, %error, "a payload broke off");
    }
    serve::end(stream, ended);
}

async fn take_in(
    stream: &mut PeerStream,
    number: u64,
    sender: &mpsc::Sender<Result<bytes::Bytes, PayloadBroken>>,
) -> Result<(), StreamError> {
    let carried = ProcessingAnswer::Carried(Carried { number });
    stream.write(&wire::frame(&carried)?).await?;
    loop {
        let heard = tokio::select! {
            heard = stream.read() => heard?,
            () = sender.closed() => return Err(StreamError::Ended(close::DONE.into())),
        };
        let chunk = match heard {
            Some(ProcessingRequest::Chunk(chunk)) => chunk,
            Some(_) => return Err(StreamError::Cut),
            // Its submit was refused, or its node is gone.
            None => return Err(StreamError::Ended(close::DONE.into())),
        };
        let chunk = match chunk {
            Chunk::Bytes { data } => Ok(data),
            Chunk::Broken { message } => Err(PayloadBroken(message)),
            Chunk::End => return Ok(()),
        };
        let is_last = chunk.is_err();
        // Nothing is read while there is no room: the other end waits then as well.
        if sender.send(chunk).await.is_err() || is_last {
            return Ok(());
        }
    }
}

/// How long the owner may take to answer.
const OPEN_MAX: Duration = Duration::from_secs(2);
/// Chunks that are kept for whoever reads; the rest waits in the stream.
const CHUNKS_AHEAD: usize = 4;
