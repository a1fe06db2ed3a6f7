//! An attempt of another node's operation: from the question for a place to its end.
//!
//! It queues and runs in the pool of its type as this node's own do, so the limits of the pool hold for all
//! together. When its stream breaks the handler is dropped; nothing of the attempt is left then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use selvedge_cluster::actor::ScopedAddress;
use selvedge_cluster::peer::{PeerReader, PeerStream, PeerWriter, StreamError};
use selvedge_protocol::Tenant;
use selvedge_protocol::peer::close;
use selvedge_protocol::peer::processing::{
    Ask, Chunk, Done, End, Ending, Load, Payload, ProcessingAnswer, ProcessingRequest, Want,
    Work as WireWork,
};
use tokio::sync::{mpsc, oneshot};

use crate::metrics;
use crate::operation;
use crate::processing::Pools;
use crate::processing::breaker::Verdict;
use crate::processing::control::Control;
use crate::processing::elsewhere::line::Line;
use crate::processing::elsewhere::{serve, wire};
use crate::processing::payload::Source;
use crate::processing::pool::Pool;
use crate::processing::reporter::Reporter;
use crate::processing::runner::{self, Ended, Task};
use crate::processing::scheduler::Order;
use crate::processing::stream::{PayloadBroken, Stream};

/// A question for a place. Dropped unanswered, there is none.
pub(in crate::processing) struct Guest {
    pools: Pools,
    pool: Arc<Pool>,
    tenant: Tenant,
    turn: Option<oneshot::Sender<Turn>>,
}

/// The answer to a question for a place.
enum Turn {
    /// The stream is wanted here.
    Granted(Load, oneshot::Sender<PeerStream>),
    Full(Load),
}

impl Guest {
    /// Nobody waits for an answer any more.
    pub(in crate::processing) fn is_void(&self) -> bool {
        self.turn.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// There is no place at the moment.
    pub(in crate::processing) fn turn_away(mut self) {
        let full = Turn::Full(self.pool.load());
        if let Some(turn) = self.turn.take() {
            // Who asked has gone.
            let _ = turn.send(full);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.pool.count_guest(false);
    }
}

/// Answers the question for a place, and hands the stream over to whoever runs the attempt.
pub(super) async fn asked(pools: &Pools, ask: Ask, mut stream: PeerStream) {
    let Some(pool) = pools.pool_here(&ask.tenant, &ask.operation_type) else {
        let none = Load {
            is_granted: false,
            taken: 0,
            places: 0,
        };
        return refuse(&mut stream, none).await;
    };
    let (turn, mut answer) = oneshot::channel();
    pool.count_guest(true);
    let guest = Guest {
        pools: pools.clone(),
        pool: Arc::clone(&pool),
        tenant: ask.tenant.clone(),
        turn: Some(turn),
    };
    let order = Order {
        tenant: ask.tenant,
        priority: ask.priority,
        since: pools.clock().monotonic(),
        // Its owner knows how long it has waited.
        is_patient: true,
        is_ending: false,
    };
    let taken = pool.take_guest(Box::new(guest), order, ask.wait_ms > 0);
    if let Err(load) = taken {
        metrics::guest_refused(pool.name());
        return refuse(&mut stream, load).await;
    }
    let patience = match ask.wait_ms {
        0 => ANSWER_MAX,
        ms => Duration::from_millis(ms.into()),
    };
    let turn = tokio::select! {
        turn = &mut answer => turn.ok(),
        () = tokio::time::sleep(patience) => None,
        // It has given up, or found another place.
        _ = stream.read::<ProcessingRequest>() => return stream.reset(close::DONE),
    };
    match turn {
        Some(Turn::Granted(load, to)) => {
            if say_load(&mut stream, load).await.is_ok() {
                // A runner that is gone has crashed: the stream ends with it.
                let _ = to.send(stream);
            }
        }
        Some(Turn::Full(load)) => {
            metrics::guest_refused(pool.name());
            refuse(&mut stream, load).await;
        }
        None => {
            metrics::guest_refused(pool.name());
            refuse(&mut stream, pool.load()).await;
        }
    }
}

async fn refuse(stream: &mut PeerStream, load: Load) {
    if say_load(stream, load).await.is_ok() {
        stream.finish();
    }
}

async fn say_load(stream: &mut PeerStream, load: Load) -> Result<(), StreamError> {
    let load = ProcessingAnswer::Load(load);
    stream.write(&wire::frame(&load)?).await
}

/// Runs the attempt that has got its place. A runner of the pool calls it.
pub(in crate::processing) async fn run(mut guest: Box<Guest>) -> Verdict {
    let Some(turn) = guest.turn.take() else {
        return Verdict::Neutral;
    };
    let load = Load {
        is_granted: true,
        ..guest.pool.load()
    };
    let (to, stream) = oneshot::channel();
    if turn.send(Turn::Granted(load, to)).is_err() {
        return Verdict::Neutral;
    }
    let Ok(mut stream) = stream.await else {
        return Verdict::Neutral;
    };
    let work = tokio::time::timeout(WORK_MAX, stream.read()).await;
    match work {
        Ok(Ok(Some(ProcessingRequest::Work(work)))) => {
            metrics::guest_came(guest.pool.name());
            let mut verdict = Verdict::Neutral;
            let ended = attempt(&guest, work, &mut stream, &mut verdict).await;
            serve::end(&mut stream, ended);
            verdict
        }
        // The place was for one that has found another, or its owner is gone.
        Ok(Ok(None) | Err(_)) | Err(_) => {
            stream.reset(close::DONE);
            Verdict::Neutral
        }
        Ok(Ok(Some(_))) => {
            serve::end(&mut stream, Err(StreamError::Cut));
            Verdict::Neutral
        }
    }
}

async fn attempt(
    guest: &Guest,
    work: WireWork,
    stream: &mut PeerStream,
    verdict: &mut Verdict,
) -> Result<(), StreamError> {
    let pools = &guest.pools;
    let operation = operation::address(guest.tenant.clone(), &work.operation);
    let operation = operation.map_err(|_| StreamError::Cut)?;
    let (source, payload) = source(pools, &operation, work.payload);
    let task = Task {
        id: work.operation,
        tenant: guest.tenant.clone(),
        input: wire::text(&work.input)?,
        steps: wire::heard_steps(work.steps)?,
        undo: work.undo.map(wire::heard_promises).transpose()?,
        is_noted: work.is_noted,
    };
    let control = Arc::new(Control::new(pools.clock().random(), 0));
    control.take();
    let (line, out) = Line::new();
    let line = Arc::new(line);
    let _registered = pools.register_guest(&control);
    let reporter = Reporter::guest(
        pools.clone(),
        Arc::clone(&control),
        work.attempt,
        Arc::clone(&line),
    );
    let executing = runner::execute(&guest.pool, reporter, task, source, verdict);
    let (reader, writer) = stream.halves();
    let ended = {
        let mut executing = std::pin::pin!(executing);
        let mut writing = std::pin::pin!(write(writer, out));
        let talking = {
            let mut hearing = std::pin::pin!(hear(reader, &line, &control, payload));
            tokio::select! {
                ended = executing.as_mut() => Either::Left(ended),
                error = hearing.as_mut() => Either::Right(error),
                error = writing.as_mut() => Either::Right(error.err().unwrap_or(StreamError::Cut)),
            }
        };
        match talking {
            Either::Left(Some(ended)) => {
                line.say(end_frame(&ended)).await;
                line.hang_up();
                return writing.await;
            }
            Either::Left(None) => StreamError::Ended(close::DONE.into()),
            Either::Right(error) => {
                line.cut();
                control.stop();
                // The handler is dropped; what it had done is lost with the attempt.
                executing.await;
                error
            }
        }
    };
    Err(ended)
}

/// The last frame. An end that is too large to be told is a failure that says so.
fn end_frame(ended: &Ended) -> Vec<u8> {
    let done = wire::done(&ended.done);
    let say = |done, ending| {
        ProcessingAnswer::End(End {
            done,
            progress: ended.progress.clone(),
            ending,
        })
    };
    // What goes on has not ended.
    let ending = wire::ending(&ended.news).unwrap_or(Ending::Stopped);
    let error = match wire::done_frame(&say(done.clone(), ending), &done) {
        Ok(frame) => return frame,
        Err(error) => error,
    };
    let failed = Ending::Failed {
        code: error.code,
        message: error.message,
        step: None,
        is_permanent: true,
        retry_after_ms: None,
    };
    wire::frame(&say(Done::default(), failed)).unwrap_or_default()
}

async fn write(
    writer: &mut PeerWriter,
    mut out: mpsc::Receiver<Vec<u8>>,
) -> Result<(), StreamError> {
    while let Some(frame) = out.recv().await {
        writer.write(&frame).await?;
    }
    Ok(())
}

type Chunks = mpsc::Sender<Result<bytes::Bytes, PayloadBroken>>;

/// Where the payload is, and where it is to be put as it comes.
fn source(pools: &Pools, operation: &ScopedAddress, payload: Payload) -> (Source, Option<Chunks>) {
    match payload {
        Payload::None => (Source::None, None),
        Payload::Stored { length } => {
            let source = Source::Stored {
                store: Arc::clone(pools.store()),
                path: pools.path(operation),
                length,
            };
            (source, None)
        }
        Payload::Streamed { length } => {
            let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
            let stream = Stream { length, chunks };
            (Source::Streamed(stream), Some(sender))
        }
        Payload::Withheld => (Source::Taken, None),
    }
}

/// Hears what the owner says, until it says no more or something wrong.
async fn hear(
    reader: &mut PeerReader,
    line: &Line,
    control: &Control,
    mut payload: Option<Chunks>,
) -> StreamError {
    // Places for chunks that were asked for.
    let mut places = VecDeque::new();
    loop {
        let place = async {
            match &payload {
                Some(payload) => payload.clone().reserve_owned().await,
                None => std::future::pending().await,
            }
        };
        let heard = tokio::select! {
            heard = reader.read() => heard,
            place = place => {
                match place {
                    Ok(place) => {
                        places.push_back(place);
                        let want = ProcessingAnswer::Want(Want { chunks: 1 });
                        line.say(wire::frame(&want).unwrap_or_default()).await;
                    }
                    // Nobody reads the rest.
                    Err(_) => payload = None,
                }
                continue;
            }
        };
        let request = match heard {
            Ok(Some(request)) => request,
            Ok(None) => return StreamError::Ended(close::DONE.into()),
            Err(error) => return error,
        };
        match request {
            ProcessingRequest::Heard(heard) => line.heard(heard.number, heard.result.is_ok()),
            ProcessingRequest::Hold(hold) => control.pause(hold.is_held),
            ProcessingRequest::Delivered(delivered) => match wire::heard_steps(delivered.steps) {
                Ok(steps) => control.add_delivered(steps),
                Err(error) => return error,
            },
            ProcessingRequest::Stop(_) => control.stop(),
            ProcessingRequest::Chunk(chunk) => {
                let place: Option<mpsc::OwnedPermit<_>> = places.pop_front();
                match (chunk, place) {
                    (Chunk::Bytes { data }, Some(place)) => {
                        drop(place.send(Ok(data)));
                    }
                    (Chunk::Broken { message }, Some(place)) => {
                        drop(place.send(Err(PayloadBroken(message))));
                        payload = None;
                    }
                    (Chunk::End, _) => {
                        places.clear();
                        payload = None;
                    }
                    // The reader has gone.
                    (Chunk::Bytes { .. } | Chunk::Broken { .. }, None) if payload.is_none() => {}
                    (Chunk::Bytes { .. } | Chunk::Broken { .. }, None) => return StreamError::Cut,
                }
            }
            ProcessingRequest::Ask(_)
            | ProcessingRequest::Work(_)
            | ProcessingRequest::Carry(_)
            | ProcessingRequest::Changed(_)
            | ProcessingRequest::Workers(_) => return StreamError::Cut,
        }
    }
}

/// How long a pool may take to say whether it has a place; then it is as if it had none.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long a place is kept for an attempt that does not come: many round trips.
const WORK_MAX: Duration = Duration::from_secs(2);
/// Chunks of a streamed payload that are asked for before they are read: 64 KiB each, enough for a round trip
/// between nodes at any rate that a client sends with.
const CHUNKS_AHEAD: usize = 4;
