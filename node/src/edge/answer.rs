//! Sends an answer that no frame holds on a stream that the node opens: the Reply, its body, FIN.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::SendStream;
use selvedge_protocol::frame::ServerFrame;
use selvedge_protocol::limits::SESSION_STREAMS_MAX;
use selvedge_protocol::{ErrorCode, codec};
use tokio::sync::Semaphore;

use crate::edge::wire::Wire;
use crate::session::Attached;

/// Streams with answers that one connection may have at a time; the others wait in their order.
pub(super) fn streams() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(SESSION_STREAMS_MAX as usize))
}

/// Waits for its turn and sends the answer. The client asks again for one that does not come whole.
pub(super) async fn serve(wire: Wire, streams: Arc<Semaphore>, answer: Attached, stall: Duration) {
    let Attached { reply, body, room } = answer;
    let mut head = Vec::new();
    if let Err(error) = codec::encode(&ServerFrame::Reply(reply), &mut head) {
        tracing::error!(%error, "an answer without its body fits no frame");
        return;
    }
    let Ok(_turn) = streams.acquire_owned().await else {
        return;
    };
    // Waits while the client allows no more streams. It fails with the connection only.
    let Ok(mut stream) = wire.open_uni().await else {
        return;
    };
    // What is small goes first.
    let _ = stream.set_priority(LARGE_PRIORITY);
    match write(&mut stream, &mut [Bytes::from(head), body], stall).await {
        Ok(()) => {
            let _ = stream.finish();
            // Until then the transport holds the bytes.
            let _ = tokio::time::timeout(stall, stream.stopped()).await;
        }
        Err(Unwritten::Stalled) => {
            let _ = stream.reset(wire.code(ErrorCode::Overloaded));
        }
        Err(Unwritten::Lost) => {}
    }
    drop(room);
}

/// Below the control stream and events, which have the default of 0.
const LARGE_PRIORITY: i32 = -1;

/// Why bytes could not be written.
pub(super) enum Unwritten {
    /// The client does not want them, or is gone.
    Lost,
    /// The client does not read.
    Stalled,
}

/// Writes all, unless nothing moves for too long.
pub(super) async fn write(
    stream: &mut SendStream,
    chunks: &mut [Bytes],
    stall: Duration,
) -> Result<(), Unwritten> {
    while chunks.iter().any(|chunk| !chunk.is_empty()) {
        match tokio::time::timeout(stall, stream.write_chunks(chunks)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Unwritten::Lost),
            Err(_) => return Err(Unwritten::Stalled),
        }
    }
    Ok(())
}
