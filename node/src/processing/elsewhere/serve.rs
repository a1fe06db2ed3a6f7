//! Serves other nodes: places for their attempts, payloads for operations of this node, and news.

use selvedge_cluster::peer::{Inbound, PeerStream, StreamError};
use selvedge_protocol::peer::close;
use selvedge_protocol::peer::processing::{Noted, ProcessingAnswer, ProcessingRequest};

use crate::processing::elsewhere::{carry, guest, wire};
use crate::processing::{Pools, policy_kind};

/// Serves one stream to its end, or until the node stops.
pub(in crate::processing) async fn serve(pools: Pools, inbound: Inbound) {
    let Inbound {
        mut stream,
        mut stopping,
        ..
    } = inbound;
    let first = tokio::select! {
        first = stream.read::<ProcessingRequest>() => first,
        () = stopping.begun() => return stream.reset(close::STOPPING),
    };
    match first {
        // An attempt that is under way is ended by its pool.
        Ok(Some(ProcessingRequest::Ask(ask))) => guest::asked(&pools, ask, stream).await,
        Ok(Some(ProcessingRequest::Carry(carried))) => tokio::select! {
            () = carry::carried(&pools, carried, &mut stream) => {}
            () = stopping.begun() => stream.reset(close::STOPPING),
        },
        Ok(Some(news @ (ProcessingRequest::Changed(_) | ProcessingRequest::Workers(_)))) => {
            tokio::select! {
                heard = hear(&pools, news, &mut stream) => end(&mut stream, heard),
                () = stopping.begun() => stream.reset(close::STOPPING),
            }
        }
        Ok(Some(
            ProcessingRequest::Work(_)
            | ProcessingRequest::Heard(_)
            | ProcessingRequest::Hold(_)
            | ProcessingRequest::Delivered(_)
            | ProcessingRequest::Stop(_)
            | ProcessingRequest::Chunk(_),
        )) => end(&mut stream, Err(StreamError::Cut)),
        Ok(None) => stream.finish(),
        Err(error) => end(&mut stream, Err(error)),
    }
}

/// Takes news until there are no more.
async fn hear(
    pools: &Pools,
    first: ProcessingRequest,
    stream: &mut PeerStream,
) -> Result<(), StreamError> {
    let mut next = Some(first);
    while let Some(news) = next {
        match news {
            ProcessingRequest::Changed(changed) => match changed.policy {
                Some(policy) => {
                    let read = policy_kind::reload(pools, policy.tenant, &policy.subject).await;
                    if let Err(error) = read {
                        tracing::warn!(%error, "a changed policy cannot be read");
                        // It is told again.
                        return Err(StreamError::Ended(close::BUSY.into()));
                    }
                }
                None => pools.reread(),
            },
            ProcessingRequest::Workers(workers) => pools.heard_of_workers(workers),
            ProcessingRequest::Ask(_)
            | ProcessingRequest::Work(_)
            | ProcessingRequest::Heard(_)
            | ProcessingRequest::Hold(_)
            | ProcessingRequest::Delivered(_)
            | ProcessingRequest::Stop(_)
            | ProcessingRequest::Chunk(_)
            | ProcessingRequest::Carry(_) => return Err(StreamError::Cut),
        }
        let noted = wire::frame(&ProcessingAnswer::Noted(Noted {}))?;
        stream.write(&noted).await?;
        next = stream.read().await?;
    }
    Ok(())
}

pub(super) fn end(stream: &mut PeerStream, ended: Result<(), StreamError>) {
    match ended {
        Ok(()) => stream.finish(),
        Err(error @ (StreamError::Malformed(_) | StreamError::Cut)) => {
            tracing::warn!(%error, "a node speaks of operations in a wrong way");
            stream.reset(close::MALFORMED);
        }
        Err(error @ (StreamError::Ended(_) | StreamError::Lost(_))) => {
            tracing::debug!(%error, "a node speaks of operations no more");
            stream.reset(close::DONE);
        }
    }
}
