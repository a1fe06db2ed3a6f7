//! Takes in the payload of a command, whatever carries its bytes, and has the command executed.
//!
//! An attached payload is received whole first, a streamed one is handed through while it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use selvedge_protocol::frame::{Command, Outcome, Payload, Reply, Request};
use selvedge_protocol::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_STALL_BYTES_MIN};
use selvedge_protocol::session::server::bounded;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::gateway::CommandPayload;
use crate::processing::PayloadBroken;
use crate::session::{PayloadCommand, SessionReporter};

/// Where the bytes of a payload come from.
pub(crate) trait Source: Send {
    /// The next bytes, `None` at their end. Waits, but not for ever.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Failure>> + Send;
    /// No more of them are wanted, because of a failure or since nobody takes them.
    fn stop(&mut self, why: Option<ErrorCode>);
}

/// Room for attached payloads that are received, over all connections: in KiB, of which a semaphore holds enough.
#[derive(Debug, Clone)]
pub(crate) struct PayloadRoom(Arc<Semaphore>);

impl PayloadRoom {
    /// Room for so many bytes, and at least for the largest payload.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            bytes_max.max(PAYLOAD_BYTES_MAX) / 1024,
        )))
    }
}

/// A payload that is being received.
pub(crate) struct Upload<S> {
    pub(crate) source: S,
    pub(crate) session: SessionReporter,
    pub(crate) room: PayloadRoom,
    /// How long each [`PAYLOAD_STALL_BYTES_MIN`] of an attached payload may take.
    pub(crate) stall: Duration,
}

/// How fast an attached payload comes. It holds memory until it is whole, so it must do better than a byte now and
/// then.
#[derive(Debug)]
struct Progress {
    stall: Duration,
    /// What came since it was enough, and how long it was waited for.
    bytes: usize,
    waited: Duration,
}

impl<S: Source> Upload<S> {
    /// The reply to the command; `None` where the session has none for this connection.
    pub(crate) async fn run(&mut self, command: Command) -> Result<Option<Reply>, Failure> {
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
        let room = Arc::clone(&self.room.0);
        let Ok(_permit) = room.acquire_many(kib).await else {
            return Ok(None);
        };
        let bytes = self.whole(length).await?;
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

    /// All bytes, or more than there may be.
    async fn whole(&mut self, length: usize) -> Result<BytesMut, Failure> {
        let mut bytes = BytesMut::new();
        let mut progress = Progress::new(self.stall);
        while bytes.len() <= length {
            let began = Instant::now();
            let Ok(chunk) = timeout(progress.left(), self.source.next()).await else {
                return Err(broken("its bytes take too long to come"));
            };
            let Some(chunk) = chunk? else {
                break;
            };
            progress.came(chunk.len(), began.elapsed());
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
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
        loop {
            let item = match self.source.next().await {
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
                self.source.stop(None);
                return;
            }
        }
    }

    fn refuse(&mut self, number: u64, failure: Failure) -> Reply {
        self.source.stop(Some(failure.code));
        refusal(number, failure)
    }
}

impl Progress {
    const fn new(stall: Duration) -> Self {
        Self {
            stall,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    /// How long the next bytes may take.
    const fn left(&self) -> Duration {
        self.stall.saturating_sub(self.waited)
    }

    fn came(&mut self, bytes: usize, waited: Duration) {
        self.bytes += bytes;
        self.waited += waited;
        if self.bytes >= PAYLOAD_STALL_BYTES_MIN {
            *self = Self::new(self.stall);
        }
    }
}

/// The reply to a command that is refused.
pub(crate) fn refusal(number: u64, failure: Failure) -> Reply {
    Reply {
        request: Request::Command(number),
        outcome: Outcome::Failure(bounded(failure)),
        ext: Vec::new(),
    }
}

/// Pieces between the source and whoever takes them: enough to keep both at work.
const CHUNKS_MAX: usize = 8;

/// The bytes stopped to come.
pub(crate) fn broken(why: &str) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_has_no_more_time_for_being_steady() {
        let mut progress = Progress::new(Duration::from_secs(30));
        for _ in 0..29 {
            progress.came(1, Duration::from_secs(1));
        }
        assert_eq!(progress.left(), Duration::from_secs(1));
        progress.came(1, Duration::from_secs(2));
        assert_eq!(progress.left(), Duration::ZERO);
    }

    #[test]
    fn what_brings_enough_may_take_as_long_as_it_takes() {
        let mut progress = Progress::new(Duration::from_secs(30));
        for _ in 0..1_000 {
            progress.came(PAYLOAD_STALL_BYTES_MIN / 2, Duration::from_secs(14));
            assert!(progress.left() >= Duration::from_secs(16));
        }
    }
}
