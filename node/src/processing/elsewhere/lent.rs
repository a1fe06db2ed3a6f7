//! The owner's end of an attempt that another node executes: sends the work there, makes its reports durable
//! and passes on what its operation says.
//!
//! Here as with attempts of its own the owner alone writes. An attempt whose stream breaks is lost, as with a
//! crash of its runner, and the operation is run again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::peer::{PeerReader, PeerStream, PeerWriter, StreamError};
use selvedge_protocol::limits::INLINE_BYTES_MAX;
use selvedge_protocol::peer::close;
use selvedge_protocol::peer::processing::{
    Chunk, Delivered, End, Heard, Hold, Payload, ProcessingAnswer, ProcessingRequest, Stop, Work,
};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::Instant;

use crate::processing::control::Control;
use crate::processing::elsewhere::seek::Granted;
use crate::processing::elsewhere::wire;
use crate::processing::handler::HandlerError;
use crate::processing::payload::{PayloadReader, Source};
use crate::processing::reporter::Reporter;
use crate::processing::runner::{Ended, Task};

/// An attempt, and where it goes.
pub(in crate::processing) struct Lent {
    pub(in crate::processing) task: Task,
    pub(in crate::processing) source: Source,
    pub(in crate::processing) granted: Granted,
}

/// How it came out.
struct Attempt<'a> {
    reporter: &'a Reporter,
    control: &'a Control,
    writer: &'a mut PeerWriter,
    /// Steps that the other node knows of.
    known: HashSet<Arc<str>>,
    is_held: bool,
    payload: Feed,
}

/// A streamed payload on its way.
struct Feed {
    reader: Option<PayloadReader>,
    /// What of the last chunk is still to be sent.
    rest: Bytes,
    /// Chunks that are wanted.
    wanted: usize,
}

/// Runs an attempt on another node. `None`: it was lost, or the operation went on elsewhere.
pub(in crate::processing) async fn run(reporter: &Reporter, lent: Lent) -> Option<Ended> {
    let node = Arc::clone(&lent.granted.node);
    let mut stream = lent.granted.take_stream()?;
    reporter.control().set_node(Some(Arc::clone(&node)));
    let ended = talk(reporter, lent.task, lent.source, &mut stream).await;
    match ended {
        Ok(ended) => {
            stream.finish();
            Some(ended)
        }
        Err(error) => {
            stream.reset(close::DONE);
            tracing::info!(%node, %error, "an attempt on another node was lost");
            None
        }
    }
}

async fn talk(
    reporter: &Reporter,
    task: Task,
    source: Source,
    stream: &mut PeerStream,
) -> Result<Ended, StreamError> {
    let control = reporter.control();
    let known = task.steps.iter().map(|step| Arc::clone(&step.name));
    let known = known.collect();
    let (payload, reader) = payload(source);
    let work = ProcessingRequest::Work(Work {
        operation: task.id,
        attempt: reporter.attempt(),
        input: wire::json(&task.input),
        steps: wire::steps(&task.steps),
        undo: task.undo.as_deref().map(wire::promises),
        is_noted: task.is_noted,
        payload,
    });
    let (reader_half, writer) = stream.halves();
    writer.write(&wire::frame(&work)?).await?;
    drop(work);
    let mut attempt = Attempt {
        reporter,
        control,
        writer,
        known,
        is_held: false,
        payload: Feed {
            reader,
            rest: Bytes::new(),
            wanted: 0,
        },
    };
    attempt.pass_on(reader_half).await
}

impl Attempt<'_> {
    /// Passes on what each end says, to the end of the attempt.
    async fn pass_on(&mut self, reader: &mut PeerReader) -> Result<Ended, StreamError> {
        let control = self.control;
        // When a node that was told to stop has not done so.
        let mut give_up: Option<Instant> = None;
        loop {
            let changed = control.changed();
            self.tell_changes().await?;
            let is_late = async {
                match give_up {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = control.stopped(), if give_up.is_none() => {
                    give_up = Some(Instant::now() + STOP_MAX);
                    self.say(&ProcessingRequest::Stop(Stop {})).await?;
                }
                () = is_late => return Err(StreamError::Ended(close::BUSY.into())),
                () = changed => {}
                heard = reader.read() => {
                    let heard = heard?.ok_or(StreamError::Cut)?;
                    if let Some(ended) = self.hear(heard).await? {
                        return Ok(ended);
                    }
                }
                chunk = self.payload.next() => {
                    self.say(&ProcessingRequest::Chunk(chunk)).await?;
                }
            }
        }
    }

    async fn hear(&mut self, heard: ProcessingAnswer) -> Result<Option<Ended>, StreamError> {
        match heard {
            ProcessingAnswer::Report(report) => {
                let done = wire::heard_done(report.done)?;
                let names = done.steps.iter().map(|step| Arc::clone(&step.name));
                self.known.extend(names);
                let flushed = self.reporter.flush(&done).await;
                let is_lost = flushed.is_err();
                // What was decided before it was durable is heard before that it is.
                self.tell_changes().await?;
                let heard = Heard {
                    number: report.number,
                    result: flushed.map_err(refused),
                };
                self.say(&ProcessingRequest::Heard(heard)).await?;
                if is_lost {
                    return Err(StreamError::Ended(close::DONE.into()));
                }
            }
            ProcessingAnswer::Note(note) => self.reporter.note(note.progress),
            ProcessingAnswer::Want(want) => {
                let wanted = usize::try_from(want.chunks).unwrap_or(usize::MAX);
                self.payload.wanted = self.payload.wanted.saturating_add(wanted);
            }
            ProcessingAnswer::End(End {
                done,
                progress,
                ending,
            }) => {
                return Ok(Some(Ended {
                    done: wire::heard_done(done)?,
                    news: wire::heard_ending(ending)?,
                    progress,
                }));
            }
            ProcessingAnswer::Load(_)
            | ProcessingAnswer::Carried(_)
            | ProcessingAnswer::Noted(_) => return Err(StreamError::Cut),
        }
        Ok(None)
    }

    /// Tells what has changed for the handler: whether it is held, and what others have finished.
    async fn tell_changes(&mut self) -> Result<(), StreamError> {
        let is_held = self.control.is_held();
        if is_held != self.is_held {
            self.is_held = is_held;
            self.say(&ProcessingRequest::Hold(Hold { is_held })).await?;
        }
        let steps = self.control.all_delivered(&self.known);
        if steps.is_empty() {
            return Ok(());
        }
        let delivered = steps.iter().map(|(name, result)| wire::step(name, result));
        let delivered = Delivered {
            steps: delivered.collect(),
        };
        self.known.extend(steps.into_iter().map(|(name, _)| name));
        self.say(&ProcessingRequest::Delivered(delivered)).await
    }

    async fn say(&mut self, request: &ProcessingRequest) -> Result<(), StreamError> {
        self.writer.write(&wire::frame(request)?).await
    }
}

impl Feed {
    /// The next part that is wanted. Cancelled in between, nothing is lost.
    async fn next(&mut self) -> Chunk {
        let Some(reader) = self.reader.as_mut().filter(|_| self.wanted > 0) else {
            return std::future::pending().await;
        };
        if self.rest.is_empty() {
            match reader.next().await {
                Ok(Some(bytes)) => self.rest = bytes,
                Ok(None) => {
                    self.reader = None;
                    return Chunk::End;
                }
                Err(error) => {
                    self.reader = None;
                    let message = error.message;
                    return Chunk::Broken { message };
                }
            }
        }
        self.wanted -= 1;
        let length = self.rest.len().min(INLINE_BYTES_MAX);
        let data = self.rest.split_to(length);
        Chunk::Bytes { data }
    }
}

/// What the other node is told of a payload, and what is to be sent to it.
fn payload(source: Source) -> (Payload, Option<PayloadReader>) {
    match source {
        Source::None => (Payload::None, None),
        Source::Memory(bytes) => {
            let length = bytes.len() as u64;
            (Payload::Stored { length }, None)
        }
        Source::Stored { length, .. } => (Payload::Stored { length }, None),
        Source::Streamed(stream) => {
            let length = stream.length;
            let reader = PayloadReader::new(Source::Streamed(stream));
            (Payload::Streamed { length }, Some(reader))
        }
        Source::Taken => (Payload::Withheld, None),
    }
}

fn refused(error: HandlerError) -> Failure {
    Failure::new(ErrorCode::Conflict, error.message)
}

/// How long another node may take to drop a handler and to tell what it has done.
const STOP_MAX: Duration = Duration::from_secs(5);
