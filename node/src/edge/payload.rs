//! Serves one stream with a command and a payload of its own, and answers on the same stream.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::RecvStream;
use selvedge_protocol::frame::{
    ClientFrame, Command, Outcome, Payload, Reply, Request, ServerFrame,
};
use selvedge_protocol::limits::PAYLOAD_BYTES_MAX;
use selvedge_protocol::session::server::bounded;
use selvedge_protocol::{ErrorCode, Failure, codec};
use tokio::sync::{mpsc, oneshot};

use crate::edge::wire::{Entrance, Wire};
use crate::edge::{Shared, close};
use crate::gateway::CommandPayload;
use crate::processing::PayloadBroken;
use crate::session::{PayloadCommand, SessionReporter};

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
        shared,
        session,
        wire,
        recv,
        buffer: BytesMut::new(),
    };
    match upload.run().await {
        Ok(Some(reply)) => {
            let mut bytes = Vec::new();
            if let Err(error) = codec::encode(&ServerFrame::Reply(reply), &mut bytes) {
                tracing::error!(%error, "the answer to a command fits no frame");
                let _ = send.reset(upload.wire.code(ErrorCode::Internal));
                return;
            }
            // A client that is gone resends the command and gets its outcome then.
            if send.write_all(&bytes).await.is_ok() {
                let _ = send.finish();
            }
        }
        // The session has no answer for this connection.
        Ok(None) => {
            let _ = send.reset(upload.wire.code(ErrorCode::Unavailable));
        }
        Err(failure) => {
            tracing::debug!(%failure, "payload stream given up");
            let code = upload.wire.code(failure.code);
            let _ = upload.recv.stop(code);
            let _ = send.reset(code);
        }
    }
}

struct Upload {
    shared: Arc<Shared>,
    session: SessionReporter,
    wire: Wire,
    recv: RecvStream,
    buffer: BytesMut,
}

impl Upload {
    async fn run(&mut self) -> Result<Option<Reply>, Failure> {
        let command = self.command().await?;
        match command.payload {
            Payload::Attached { length } => self.attached(command, length).await,
            Payload::Streamed { length } => self.streamed(command, length).await,
            Payload::Inline(_) | Payload::None => Err(Failure::field(
                ErrorCode::Malformed,
                "payload",
                "only commands with a payload of their own go on a stream of their own",
            )),
        }
    }

    async fn command(&mut self) -> Result<Command, Failure> {
        loop {
            match codec::decode(&mut self.buffer).map_err(|error| close::malformed(&error))? {
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

    /// Receives all bytes, then executes the command.
    async fn attached(&mut self, command: Command, length: u64) -> Result<Option<Reply>, Failure> {
        let number = command.number;
        let (Ok(length), Ok(kib)) = (usize::try_from(length), u32::try_from(length / 1024)) else {
            return Ok(Some(self.refuse(number, too_large(length))));
        };
        if length > PAYLOAD_BYTES_MAX {
            return Ok(Some(self.refuse(number, too_large(length as u64))));
        }
        // Held until the reply, for so long does somebody hold the bytes.
        let shared = Arc::clone(&self.shared);
        let Ok(_permit) = shared.payload_kib.acquire_many(kib).await else {
            return Ok(None);
        };
        let mut bytes = std::mem::take(&mut self.buffer);
        while bytes.len() <= length {
            let Some(chunk) = self.chunk().await? else {
                break;
            };
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Ok(Some(self.refuse(number, too_large(bytes.len() as u64))));
        }
        if bytes.len() != length {
            let failure = wrong_length(length as u64, bytes.len() as u64);
            return Ok(Some(self.refuse(number, failure)));
        }
        let payload = CommandPayload::Whole(bytes.freeze());
        Ok(self.execute(command, payload).await.ok())
    }

    /// Executes the command, and hands the bytes through while they come.
    async fn streamed(
        &mut self,
        command: Command,
        length: Option<u64>,
    ) -> Result<Option<Reply>, Failure> {
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        let reply = self.execute(command, CommandPayload::Streamed { length, chunks });
        let (reply, ()) = tokio::join!(reply, self.pump(sender, length));
        self.session.payload_ended();
        Ok(reply.ok())
    }

    fn execute(&self, command: Command, payload: CommandPayload) -> oneshot::Receiver<Reply> {
        let (reply, replied) = oneshot::channel();
        self.session.payload_command(PayloadCommand {
            command,
            payload,
            reply,
        });
        replied
    }

    async fn pump(
        &mut self,
        sender: mpsc::Sender<Result<Bytes, PayloadBroken>>,
        length: Option<u64>,
    ) {
        let mut received = 0;
        let first = std::mem::take(&mut self.buffer).freeze();
        let mut chunk: Result<_, Failure> = Ok(Some(first));
        loop {
            let item = match chunk {
                Ok(Some(bytes)) => {
                    received += bytes.len() as u64;
                    match length {
                        Some(length) if received > length => {
                            Err(wrong_length(length, received).message)
                        }
                        Some(_) | None => Ok(bytes),
                    }
                }
                Ok(None) => match length {
                    Some(length) if received != length => {
                        Err(wrong_length(length, received).message)
                    }
                    Some(_) | None => return,
                },
                Err(failure) => Err(failure.message),
            };
            let is_last = item.is_err();
            // Nobody takes it: the command was refused, is a repeat, or its operation has ended.
            if sender.send(item.map_err(PayloadBroken)).await.is_err() || is_last {
                let _ = self.recv.stop(self.wire.done());
                return;
            }
            chunk = self.chunk().await;
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let stall = self.shared.config.payload_stall;
        match tokio::time::timeout(stall, self.recv.read_chunk(CHUNK_BYTES, true)).await {
            Ok(Ok(chunk)) => Ok(chunk.map(|chunk| chunk.bytes)),
            Ok(Err(error)) => Err(broken(&error.to_string())),
            Err(_) => Err(broken("no byte came for too long")),
        }
    }

    fn refuse(&mut self, number: u64, failure: Failure) -> Reply {
        let _ = self.recv.stop(self.wire.code(failure.code));
        Reply {
            request: Request::Command(number),
            outcome: Outcome::Failure(bounded(failure)),
            ext: Vec::new(),
        }
    }
}

/// The largest piece handed on at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pieces between the stream and whoever takes them: enough to keep both at work.
const CHUNKS_MAX: usize = 8;

fn broken(why: &str) -> Failure {
    Failure::field(ErrorCode::Invalid, "payload", why)
}

fn too_large(length: u64) -> Failure {
    Failure::field(
        ErrorCode::TooLarge,
        "payload",
        format!(
            "an attached payload has at most {PAYLOAD_BYTES_MAX} bytes, this one {length} or more: send it streamed"
        ),
    )
}

fn wrong_length(announced: u64, received: u64) -> Failure {
    Failure::field(
        ErrorCode::Invalid,
        "payload",
        format!("{announced} bytes were announced and {received} or more came"),
    )
}
