//! Serves one stream with a command and a payload of its own, and answers on the same stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::RecvStream;
use selvedge_protocol::frame::{ClientFrame, Command, Reply, ServerFrame};
use selvedge_protocol::{ErrorCode, Failure, codec};

use crate::edge::Shared;
use crate::edge::wire::{Entrance, Wire};
use crate::session::{SessionReporter, Source, Upload, broken, malformed};

/// Reads the command and its payload, hands both to the session, and writes the reply.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionReporter,
    wire: Wire,
    entrance: Entrance,
) {
    let patience = shared.config.payload_stall;
    let Some((mut send, recv)) = wire.enter(entrance, patience).await else {
        return;
    };
    let mut upload = Upload {
        source: Stream {
            wire,
            recv,
            buffer: BytesMut::new(),
            stall: patience,
        },
        session,
        room: shared.payload_room.clone(),
        stall: patience,
    };
    match run(&mut upload, patience).await {
        Ok(Some(reply)) => {
            let mut bytes = Vec::new();
            if let Err(error) = codec::encode(&ServerFrame::Reply(reply), &mut bytes) {
                tracing::error!(%error, "the answer to a command fits no frame");
                let _ = send.reset(upload.source.wire.code(ErrorCode::Internal));
                return;
            }
            // A client that is gone resends the command and gets its outcome then.
            if send.write_all(&bytes).await.is_ok() {
                let _ = send.finish();
            }
        }
        // The session has no answer for this connection.
        Ok(None) => {
            let _ = send.reset(upload.source.wire.code(ErrorCode::Unavailable));
        }
        Err(failure) => {
            tracing::debug!(%failure, "payload stream given up");
            let code = upload.source.wire.code(failure.code);
            let _ = upload.source.recv.stop(code);
            let _ = send.reset(code);
        }
    }
}

/// The command is one frame, and has the time of one as a whole.
async fn run(upload: &mut Upload<Stream>, patience: Duration) -> Result<Option<Reply>, Failure> {
    let command = tokio::time::timeout(patience, upload.source.command()).await;
    let command = command.map_err(|_| broken("its command did not come whole in time"))??;
    upload.run(command).await
}

/// The bytes of a stream.
struct Stream {
    wire: Wire,
    recv: RecvStream,
    /// What came with the command and is not of it.
    buffer: BytesMut,
    stall: Duration,
}

impl Stream {
    async fn command(&mut self) -> Result<Command, Failure> {
        loop {
            match codec::decode(&mut self.buffer).map_err(|error| malformed(&error))? {
                Some(ClientFrame::Command(command)) => return Ok(command),
                Some(_) => {
                    return Err(Failure::new(
                        ErrorCode::Malformed,
                        "only commands go on streams of their own",
                    ));
                }
                None => {}
            }
            let Some(chunk) = self.chunk().await? else {
                return Err(broken("the stream ended within its command"));
            };
            self.buffer.extend_from_slice(&chunk);
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match tokio::time::timeout(self.stall, self.recv.read_chunk(CHUNK_BYTES, true)).await {
            Ok(Ok(chunk)) => Ok(chunk.map(|chunk| chunk.bytes)),
            Ok(Err(error)) => Err(broken(&error.to_string())),
            Err(_) => Err(broken("no byte came for too long")),
        }
    }
}

impl Source for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if !self.buffer.is_empty() {
            return Ok(Some(std::mem::take(&mut self.buffer).freeze()));
        }
        self.chunk().await
    }

    fn stop(&mut self, why: Option<ErrorCode>) {
        let code = why.map_or_else(|| self.wire.done(), |why| self.wire.code(why));
        let _ = self.recv.stop(code);
    }
}

/// The largest piece handed on at a time.
const CHUNK_BYTES: usize = 64 * 1024;
