//! What a runner tells an operation of its attempt: directly, or on the line to its owner.
//!
//! Runners and attempts call it. It keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::actor::ScopedAddress;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ActorKind, ErrorCode, Failure};

use crate::operation::{Done, News, REPORT, Report};
use crate::processing::Pools;
use crate::processing::control::Control;
use crate::processing::elsewhere::Line;
use crate::processing::handler::{Cause, HandlerError};
use crate::processing::pools::request;
use crate::processing::ready::{Held, Work};

/// Tries to make a report heard. Past them the operation is left to the next look at the store.
const TELL_TRIES: u32 = 10;
/// The first wait between them, doubled each time up to a second.
const TELL_WAIT_MS: u64 = 20;

/// Tells the operation what its attempt comes to.
#[derive(Clone)]
pub(super) struct Reporter {
    pools: Pools,
    to: To,
    control: Arc<Control>,
    run: u32,
    attempt: u32,
}

/// Who is told.
#[derive(Clone)]
enum To {
    Operation(ScopedAddress),
    /// The owner of the operation, another node.
    Owner(Arc<Line>),
}

impl Reporter {
    pub(super) fn own(held: &Held, work: &Work) -> Self {
        Self {
            pools: held.pools.clone(),
            to: To::Operation(held.actor.clone()),
            control: Arc::clone(&held.control),
            run: work.run,
            attempt: work.attempt,
        }
    }

    /// Of an attempt of another node's operation.
    pub(super) fn guest(
        pools: Pools,
        control: Arc<Control>,
        attempt: u32,
        line: Arc<Line>,
    ) -> Self {
        Self {
            pools,
            to: To::Owner(line),
            run: control.run(),
            control,
            attempt,
        }
    }

    pub(super) const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether there is code for actors of this kind; so it is held while the node ends.
    pub(super) fn knows_kind(&self, kind: &ActorKind) -> bool {
        self.pools.host().is_none_or(|host| host.has_kind(kind))
    }

    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.pools.clock().wall_ms()
    }

    /// Makes durable what was done; when it returns `Ok`, it is.
    pub(super) async fn flush(&self, done: &Done) -> Result<(), HandlerError> {
        if let To::Owner(line) = &self.to {
            return line.report(done).await;
        }
        let report = self.report(done.clone(), News::Running { urgent: true });
        self.tell(&report)
            .await
            .map(|_| ())
            .map_err(|_| HandlerError::new("lost", "the operation went on elsewhere", Cause::Lost))
    }

    pub(super) fn report(&self, done: Done, news: News) -> Report {
        Report {
            offer: self.control.offer(),
            run: self.run,
            done,
            progress: None,
            news,
            random: self.pools.clock().random(),
        }
    }

    /// Tells the operation until it has heard; answers with its status then.
    pub(super) async fn tell(&self, report: &Report) -> Result<bytes::Bytes, Failure> {
        let To::Operation(actor) = &self.to else {
            // The end of a guest is told by its stream.
            let text = "the operation is another node's";
            return Err(Failure::new(ErrorCode::Internal, text));
        };
        let body = report.encode();
        let mut tries = 1;
        loop {
            let asked = self.pools.ask(request(actor, REPORT, body.clone()));
            let failure = match asked.await {
                Outcome::Success(success) => return Ok(success.body),
                Outcome::Failure(failure) => failure,
            };
            if !failure.code.may_be_retried() || tries == TELL_TRIES {
                tracing::debug!(operation = %actor.address.key, %failure, "report refused");
                return Err(failure);
            }
            let wait_ms = (TELL_WAIT_MS << tries.min(6)).min(1_000);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            tries += 1;
        }
    }

    /// Notes that the attempt goes on. May be lost without harm.
    pub(super) fn note(&self, progress: Option<String>) {
        match &self.to {
            To::Owner(line) => line.note(progress),
            To::Operation(actor) => {
                let mut report = self.report(Done::default(), News::Running { urgent: false });
                report.progress = progress;
                self.pools.send(request(actor, REPORT, report.encode()));
            }
        }
    }

    /// Tells the end. `false` when it was not heard.
    pub(super) async fn end(&self, done: Done, news: News, progress: Option<String>) -> bool {
        let mut report = self.report(done, news);
        report.progress = progress;
        match self.tell(&report).await {
            Ok(_) => true,
            Err(failure) => !failure.code.may_be_retried(),
        }
    }
}
