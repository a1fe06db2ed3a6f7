//! Serves other nodes that ask for actors of this one.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_protocol::codec;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::peer::actors::{
    ActorAnswer, ActorRequest, Elsewhere, Ended, Opened, Subscribe,
};
use selvedge_protocol::peer::close;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::actor::request::{AnswerSink, ScopedAddress};
use crate::forward::line::Line;
use crate::forward::parcel::AskedBy;
use crate::forward::{Forward, wire};
use crate::peer::{PeerReader, PeerStream, PeerWriter, StreamError};

/// The answers to one other node that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Answers {
    out: Mutex<Vec<u8>>,
    /// There is something to write.
    wake: Notify,
    /// It was taken to be written.
    taken: Notify,
    /// By slot, what the other node has asked for and is held here.
    lines: Mutex<HashMap<u16, Arc<Line>>>,
}

/// What became of the requests of a stream for the same slot before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is to be waited for.
    Next,
    /// They wait.
    Held,
    /// They were sent elsewhere, and this one was asked before that was known.
    SentAway,
}

impl Answers {
    pub(super) fn elsewhere(&self, elsewhere: Elsewhere) {
        self.put(&ActorAnswer::Elsewhere(elsewhere));
    }

    /// How a request for a slot stands to those before it.
    pub(super) fn turn(&self, slot: u16, plan: u64) -> Turn {
        match self.lines.lock().get(&slot) {
            Some(line) if line.is_sent_away(plan) => Turn::SentAway,
            Some(line) if !line.is_clear() => Turn::Held,
            Some(_) | None => Turn::Next,
        }
    }

    /// The requests for a slot. There are no more than slots.
    pub(super) fn line(&self, slot: u16) -> Arc<Line> {
        Arc::clone(self.lines.lock().entry(slot).or_default())
    }

    fn put(&self, answer: &ActorAnswer) {
        let put = codec::encode(answer, &mut self.out.lock());
        if let (Err(error), ActorAnswer::Answer(answer)) = (put, answer) {
            tracing::error!(%error, "an answer to another node is too large");
            let failure = Failure::new(ErrorCode::TooLarge, "the answer is too large");
            let failed = wire::answer(answer.id, Outcome::Failure(failure));
            // Some bytes: they fit.
            let _ = codec::encode(&failed, &mut self.out.lock());
        }
        self.wake.notify_one();
    }

    /// All that is there, once something is.
    async fn next(&self) -> Vec<u8> {
        loop {
            let out = std::mem::take(&mut *self.out.lock());
            if !out.is_empty() {
                self.taken.notify_one();
                return out;
            }
            self.wake.notified().await;
            // Others that are answered in this moment share the packet.
            tokio::task::yield_now().await;
        }
    }

    /// Completes when what was answered has been taken off but for a rest.
    async fn room(&self) {
        while self.out.lock().len() > OUT_BYTES_MAX {
            self.taken.notified().await;
        }
    }
}

impl AnswerSink for Answers {
    fn answer(&self, token: u64, outcome: Outcome) {
        self.put(&wire::answer(token, outcome));
    }
}

/// Serves one stream to its end.
pub(super) async fn serve(forward: Forward, mut stream: PeerStream) {
    let first = match stream.read().await {
        Ok(Some(first)) => first,
        // Opened and given up.
        Ok(None) => return stream.finish(),
        Err(error) => return end(&mut stream, &error),
    };
    match first {
        ActorRequest::Subscribe(subscribe) => events(&forward, subscribe, stream).await,
        first @ (ActorRequest::Command(_)
        | ActorRequest::CommandIf(_)
        | ActorRequest::Query(_)
        | ActorRequest::Tell(_)) => {
            requests(&forward, first, stream).await;
        }
    }
}

async fn requests(forward: &Forward, first: ActorRequest, stream: PeerStream) {
    let answers = Arc::<Answers>::default();
    let (mut reader, mut writer) = stream.split();
    let reading = read(forward, first, &mut reader, &answers);
    let writing = write(&mut writer, &answers);
    let ended = tokio::select! {
        biased;
        ended = reading => ended,
        ended = writing => ended,
    };
    if let Err(error) = ended {
        let mut stream = PeerStream::unite(reader, writer);
        end(&mut stream, &error);
    }
}

async fn read(
    forward: &Forward,
    first: ActorRequest,
    reader: &mut PeerReader,
    answers: &Arc<Answers>,
) -> Result<(), StreamError> {
    let mut next = Some(first);
    while let Some(request) = next {
        let now = Instant::now();
        match request {
            ActorRequest::Command(command) => {
                let by = asked_by(command.id, command.plan, answers);
                forward.asked(wire::command(now, command, None), by);
            }
            ActorRequest::CommandIf(wire_if) => {
                let (command, version) = (wire_if.command, wire_if.version);
                let by = asked_by(command.id, command.plan, answers);
                forward.asked(wire::command(now, command, Some(version)), by);
            }
            ActorRequest::Query(query) => {
                let by = asked_by(query.id, query.plan, answers);
                forward.asked(wire::query(now, query), by);
            }
            ActorRequest::Tell(tell) => forward.told(tell),
            ActorRequest::Subscribe(_) => {
                tracing::warn!("a node subscribes among its requests");
                return Err(StreamError::Cut);
            }
        }
        answers.room().await;
        next = reader.read().await?;
    }
    Ok(())
}

fn asked_by(id: u64, plan: u64, answers: &Arc<Answers>) -> AskedBy {
    AskedBy {
        answers: Arc::clone(answers),
        id,
        plan,
    }
}

async fn write(writer: &mut PeerWriter, answers: &Answers) -> Result<(), StreamError> {
    loop {
        let out = answers.next().await;
        writer.write(&out).await?;
    }
}

/// Serves a subscription for as long as the other node listens and this one owns the actor.
async fn events(forward: &Forward, subscribe: Subscribe, mut stream: PeerStream) {
    let actor = ScopedAddress {
        tenant: subscribe.tenant,
        address: subscribe.actor,
    };
    let opened = forward
        .subscribed(actor, subscribe.since, subscribe.plan)
        .await;
    let mut subscription = match opened {
        Ok(subscription) => subscription,
        Err(refused) => {
            say(&mut stream, &refused).await;
            return stream.finish();
        }
    };
    let position = subscription.position();
    if !say(&mut stream, &ActorAnswer::Opened(Opened { position })).await {
        return;
    }
    loop {
        let next = tokio::select! {
            biased;
            () = stream.stopped() => return,
            next = subscription.next() => next,
        };
        let (frame, is_last) = match next {
            Ok(item) => (ActorAnswer::Item(wire::item(item)), false),
            Err(failure) => (ActorAnswer::Ended(Ended { failure }), true),
        };
        if !say(&mut stream, &frame).await {
            return;
        }
        if is_last {
            return stream.finish();
        }
    }
}

/// Whether it was said.
async fn say(stream: &mut PeerStream, answer: &ActorAnswer) -> bool {
    let mut out = Vec::new();
    if let Err(error) = codec::encode(answer, &mut out) {
        tracing::error!(%error, "an event is too large for another node");
        stream.reset(close::MALFORMED);
        return false;
    }
    stream.write(&out).await.is_ok()
}

fn end(stream: &mut PeerStream, error: &StreamError) {
    match error {
        StreamError::Malformed(_) | StreamError::Cut => {
            tracing::warn!(%error, "a node asks for actors in a wrong way");
            stream.reset(close::MALFORMED);
        }
        StreamError::Ended(_) | StreamError::Lost(_) => {
            tracing::debug!(%error, "a node asks for actors no more");
            stream.reset(close::DONE);
        }
    }
}

/// Answers that wait to be written; with more nothing is read.
const OUT_BYTES_MAX: usize = 4 * 1024 * 1024;
