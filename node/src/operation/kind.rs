//! The actor kind `operation`: takes commands in, lets the machine decide, adds rows and the answer, and
//! hands what is runnable to the pools.
//!
//! The host calls it. Whether a runner has taken the operation up is not stored: it lives in the
//! [`Control`] that kind and runner share, and is gone with the node, as the runner is.

mod relatives;

use std::sync::Arc;

use bytes::Bytes;
use selvedge_client::operation::{OperationStatus as Status, WhyOwner};
use selvedge_cluster::actor::kind::{MESSAGE_REFUSED, Stand, Urgency, json};
use selvedge_cluster::actor::{
    AuditEntry, Context, Effects, Incoming, Kind, Origin, Refusal, ScopedAddress,
};
use selvedge_cluster::store::keys::Key;
use selvedge_protocol::frame::Success;
use selvedge_protocol::limits::LABEL_BYTES_MAX;
use selvedge_protocol::{ActorAddress, ErrorCode, Failure, OperationType, SubjectId};

use crate::operation::child::{CHILD_FINISHED, SUBMIT_CHILD};
use crate::operation::record::{Payload, Record, Waiting};
use crate::operation::report::Report;
use crate::operation::retention::{self, TIMER_FORGET};
use crate::operation::submission::Submission;
use crate::operation::view::Frame;
use crate::operation::wait::{AWAIT, FINAL, Waiters};
use crate::operation::{index, machine, record, service, subject, verb, view, why};
use crate::processing::{Control, InvalidInput, Offer, Pools, RunBy, STREAMED_TO_WORKERS};

/// From clients.
pub(super) const SUBMIT: &str = "submit";
pub(super) const CANCEL: &str = "cancel";
pub(super) const PAUSE: &str = "pause";
pub(super) const RESUME: &str = "resume";
pub(super) const RETRY: &str = "retry";
pub(super) const SIGNAL: &str = "signal";
/// A query: what it waits for.
const WHY: &str = "why";
/// From [`super::Operations`]: a submit whose payload is streamed.
pub(super) const SUBMIT_STREAMED: &str = "submit.streamed";
/// From a runner: a [`Report`].
pub(crate) const REPORT: &str = "report";
/// From the pools: offer the operation again if it is runnable.
pub(crate) const NUDGE: &str = "nudge";

/// Hosts operations.
#[derive(Debug)]
pub(crate) struct OperationKind {
    pools: Pools,
    waiters: Waiters,
    /// The name of this node.
    node: String,
}

/// An activated operation.
#[derive(Debug, Default)]
pub(crate) struct OperationState {
    /// `None` before the submit.
    record: Option<Record>,
    /// The last offer to a pool.
    control: Option<Arc<Control>>,
    /// Submitted in this activation, so no attempt can have been lost; and its payload, if at hand.
    fresh: Option<Option<Bytes>>,
    /// Steps were finished by others than the runner, which has not heard of it.
    is_told: bool,
}

/// Whether an address is an operation's.
pub(crate) fn is_operation(address: &ActorAddress) -> bool {
    address.kind.as_str() == OperationKind::NAME
}

impl OperationKind {
    pub(crate) const fn new(pools: Pools, waiters: Waiters, node: String) -> Self {
        Self {
            pools,
            waiters,
            node,
        }
    }

    fn submit(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        submission: Submission,
        payload: Option<&Bytes>,
    ) -> Result<Effects, Refusal> {
        if state.record.is_some() {
            return self.submit_again(state, context, &submission);
        }
        let operation_type = submission.operation_type();
        self.pools
            .validate(operation_type, submission.input())
            .map_err(refused_input)?;
        if submission.stream().is_some() {
            self.refuse_stream(context, operation_type)?;
        }
        let policy = self.pools.policy_for(context.tenant, operation_type);
        let stream = submission.stream();
        let record = submission.into_record(context, policy.as_deref())?;
        let mut effects = machine::submitted(&record);
        effects.rows = index::created(&record, self.pools.index_shards());
        if let Some(payload) = payload {
            let path = self.pools.path(&scoped(context));
            effects.rows.extend(index::payload(&path, payload));
        }
        effects.reply = view::submitted(&record, self.frame(&record, None), true);
        match stream {
            Some(number) if self.is_known(&record) => {
                self.pools.streams().admit(&scoped(context), number);
            }
            // Nobody will read it, and the client waits until somebody does.
            Some(number) => self.pools.streams().turn_away(&scoped(context), number),
            None => {}
        }
        state.record = Some(record);
        state.fresh = Some(payload.cloned());
        Ok(effects)
    }

    /// Workers get no bytes that are not stored.
    fn refuse_stream(
        &self,
        context: &Context<'_>,
        operation_type: &OperationType,
    ) -> Result<(), Refusal> {
        match self.pools.run_by(context.tenant, operation_type) {
            RunBy::Workers | RunBy::AbsentWorkers => {
                Err(Refusal::invalid("payload", STREAMED_TO_WORKERS))
            }
            RunBy::Handler | RunBy::Nobody => Ok(()),
        }
    }

    fn submit_again(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        submission: &Submission,
    ) -> Result<Effects, Refusal> {
        let actor = scoped(context);
        let record = present(&state.record, context)?;
        if !submission.is_same(record) {
            return Err(Refusal(Failure::field(
                ErrorCode::Conflict,
                "id",
                format!(
                    "operation {} exists ({}) with another type, input or payload; choose another \
                     id",
                    record.id, record.status
                ),
            )));
        }
        if let Some(number) = submission.stream() {
            let is_over = record.status.is_final() || !self.is_known(record);
            let is_wanted = record.waiting == Some(Waiting::Payload);
            let streams = self.pools.streams();
            if is_over {
                streams.turn_away(&actor, number);
            } else if is_wanted {
                streams.admit(&actor, number);
                self.offer(&actor, state);
            } else {
                // The stream that it has may be dead without the node knowing yet.
                streams.admit(&actor, number);
                streams.park(&actor);
            }
        }
        let record = present(&state.record, context)?;
        let frame = self.frame(record, state.control.as_deref());
        Ok(Effects {
            reply: view::submitted(record, frame, false),
            urgency: Urgency::Never,
            ..Effects::default()
        })
    }

    /// Lets the machine change the record, then adds what follows from the change of status.
    fn decide(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        decide: impl FnOnce(&mut Record, &mut Option<Arc<Control>>) -> Result<Effects, Refusal>,
    ) -> Result<Effects, Refusal> {
        let Some(record) = &mut state.record else {
            return Err(absent(context.address));
        };
        let (before, steps) = (record.status, record.steps.len());
        let mut effects = decide(record, &mut state.control)?;
        state.is_told |= record.is_begun && record.steps.len() > steps;
        effects.rows = index::moved(before, record, self.pools.index_shards());
        if record.status.is_final() != before.is_final() {
            let policy = self
                .pools
                .policy_for(&record.tenant, &record.operation_type);
            let change = retention::changed(before.is_final(), record, policy.as_deref());
            effects.timers.extend(change);
        }
        if record.status.is_final() && !before.is_final() {
            let path = self.pools.path(&scoped(context));
            effects
                .rows
                .extend(index::payload_cleared(&path, &record.payload));
        }
        Ok(effects)
    }

    /// A verb of a client, answered with the operation as it is then.
    fn verb(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        let now_ms = context.now_ms;
        let mut effects = match command.name {
            CANCEL => self.decide(state, context, |record, control| {
                machine::cancel(record, now_ms, is_taken(record, control.as_deref()))
            }),
            PAUSE => self.decide(state, context, |record, control| {
                machine::pause(record, now_ms, is_taken(record, control.as_deref()))
            }),
            RESUME => self.decide(state, context, |record, control| {
                machine::resume(record, now_ms, is_taken(record, control.as_deref()))
            }),
            RETRY => {
                let retry: verb::Retry = verb::read(command)?;
                let record = present(&state.record, context)?;
                if matches!(record.payload, Payload::Streamed { .. }) {
                    // It would wait for a stream that is refused.
                    self.refuse_stream(context, &record.operation_type)?;
                }
                self.decide(state, context, |record, _| {
                    machine::retry(record, now_ms, retry.from.as_deref())
                })
            }
            SIGNAL => {
                let signal = verb::signal(command)?;
                self.decide(state, context, |record, _| {
                    machine::signal(record, now_ms, signal)
                })
            }
            name => Err(Refusal::unknown(Self::NAME, name)),
        }?;
        let record = present(&state.record, context)?;
        effects.reply = view::answer(record, self.frame(record, None));
        audit_of_others(&mut effects, record, context, command.name);
        Ok(effects)
    }

    /// The operation has been kept long enough, or longer by a policy that has changed.
    fn forget(&self, state: &mut OperationState, context: &Context<'_>) -> Effects {
        let policy = state.record.as_ref().and_then(|record| {
            let operation_type = &record.operation_type;
            self.pools.policy_for(&record.tenant, operation_type)
        });
        let shards = self.pools.index_shards();
        retention::due(&mut state.record, context.now_ms, policy.as_deref(), shards)
    }

    fn report(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        body: &[u8],
    ) -> Result<Effects, Refusal> {
        let report = Report::decode(body).map_err(|error| Refusal::invalid("body", error))?;
        if state.control.is_none() {
            // Reloaded while the runner was at work: it goes on under the same offer.
            state.control = self.pools.active(&scoped(context));
        }
        let mut effects = self.decide(state, context, |record, control| {
            let is_ours = control
                .as_ref()
                .is_some_and(|control| control.offer() == report.offer);
            if !is_ours && !record.status.is_final() {
                return Err(Refusal(Failure::new(
                    ErrorCode::Conflict,
                    "the operation was offered to another runner since",
                )));
            }
            let retry = self.pools.retry(&record.tenant, &record.operation_type);
            machine::report(record, context.now_ms, report, &retry)
        })?;
        let record = present(&state.record, context)?;
        effects.reply = Bytes::from_static(record.status.name().as_bytes());
        Ok(effects)
    }

    /// Offers the operation to its pool unless it is there already.
    fn offer(&self, actor: &ScopedAddress, state: &mut OperationState) {
        let Some(record) = &state.record else {
            return;
        };
        if !record.is_runnable() {
            return;
        }
        if let Some(control) = state.control.as_ref().filter(|control| control.is_alive()) {
            let is_present =
                record.run < control.run() || (record.run == control.run() && record.is_begun);
            // A runner whose run is over is about to end: it asks for the next offer then, unless it
            // has ended in this moment.
            if is_present || control.miss() {
                return;
            }
        }
        if matches!(record.waiting, Some(Waiting::Payload)) && !self.pools.streams().claim(actor) {
            return;
        }
        let fresh = state.fresh.take();
        let is_cancelling = record.status == Status::Cancelling;
        state.control = self.pools.offer(Offer {
            actor,
            record,
            is_fresh: fresh.is_some() || record.waiting == Some(Waiting::Payload),
            payload: fresh.flatten(),
        });
        if let Some(control) = state.control.as_ref().filter(|_| is_cancelling) {
            control.stop();
        }
    }

    fn frame(&self, record: &Record, control: Option<&Control>) -> Frame {
        Frame {
            is_taken: control.is_some_and(|control| control.is_ahead_of(record)),
            run_by: self.pools.run_by(&record.tenant, &record.operation_type),
        }
    }

    /// Whether somebody runs its type here.
    fn is_known(&self, record: &Record) -> bool {
        self.pools
            .policy_for(&record.tenant, &record.operation_type)
            .is_some()
    }
}

impl Kind for OperationKind {
    type State = OperationState;

    const NAME: &'static str = "operation";
    const FORMAT: u8 = record::FORMAT;

    fn apply(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        match (context.origin, command.name) {
            (Origin::Client(_), SUBMIT) => {
                let submission = Submission::plain(command)?;
                self.submit(state, context, submission, command.payload)
            }
            (Origin::Client(_), SUBMIT_STREAMED) => {
                let submission = Submission::streamed(command)?;
                self.submit(state, context, submission, None)
            }
            (Origin::Client(_), _) => self.verb(state, context, command),
            (Origin::Actor, CANCEL) => self.cancel_child(state, context, command),
            (Origin::Actor, SUBMIT_CHILD) => self.submit_child(state, context, command.body),
            (Origin::Actor, CHILD_FINISHED) => self.child_finished(state, context, command.body),
            (Origin::Node, REPORT) => self.report(state, context, command.body),
            (Origin::Node, MESSAGE_REFUSED) => self.message_refused(state, context, command.body),
            (Origin::Node, NUDGE) => {
                self.offer(&scoped(context), state);
                Ok(Effects {
                    urgency: Urgency::Never,
                    ..Effects::default()
                })
            }
            (Origin::Timer, TIMER_FORGET) => Ok(self.forget(state, context)),
            (Origin::Timer, name) => self.decide(state, context, |record, _| {
                machine::due(record, context.now_ms, name)
            }),
            (Origin::Actor | Origin::Node, name) => Err(Refusal::unknown(Self::NAME, name)),
        }
    }

    fn query(&self, state: &OperationState, name: &str, body: &[u8]) -> Result<Bytes, Refusal> {
        let _ = body;
        if !["get", WHY, FINAL, AWAIT].contains(&name) {
            return Err(Refusal::unknown(Self::NAME, name));
        }
        match &state.record {
            None => Err(Refusal(Failure::new(
                ErrorCode::NotFound,
                "no operation has this id",
            ))),
            Some(record) if [FINAL, AWAIT].contains(&name) && !record.status.is_final() => {
                Ok(Bytes::new())
            }
            Some(record) if name == WHY => {
                let control = state.control.as_deref();
                let actor = service::address(record.tenant.clone(), &record.id).map_err(Refusal)?;
                let standing = why::Standing {
                    frame: self.frame(record, control),
                    control: control.filter(|control| control.is_alive()),
                    queue: self.pools.queue_state(&actor, &record.operation_type),
                    owner: WhyOwner {
                        node: self.node.clone(),
                        slot: self.pools.path(&actor).slot,
                    },
                };
                Ok(json::encode(&why::why(record, standing)))
            }
            Some(_) => Ok(self.view(state)),
        }
    }

    fn view(&self, state: &OperationState) -> Bytes {
        let Some(record) = &state.record else {
            return Bytes::from_static(b"null");
        };
        let frame = self.frame(record, state.control.as_deref());
        view::json(record, frame)
    }

    fn encode(&self, state: &OperationState) -> Bytes {
        state
            .record
            .as_ref()
            .map_or_else(Bytes::new, Record::encode)
    }

    fn decode(&self, format: u8, bytes: &[u8]) -> Result<OperationState, String> {
        // The record says it as well.
        let _ = format;
        let record = match bytes {
            [] => None,
            bytes => Some(Record::decode(bytes)?),
        };
        Ok(OperationState {
            record,
            ..OperationState::default()
        })
    }

    fn committed(&self, actor: &ScopedAddress, state: &mut OperationState, stand: Stand) {
        let Some(record) = &state.record else {
            return;
        };
        // Not in `apply`: a decision whose commit fails stops nothing.
        let is_final = record.status.is_final();
        if is_final && matches!(record.payload, Payload::Streamed { .. }) {
            // One that was kept in case the operation would need it.
            self.pools.streams().remove(actor);
        }
        if is_final && stand.is_durable {
            self.waiters.wake(actor, || Success {
                body: self.view(state),
                seq: stand.seq,
                version: stand.version,
            });
        }
        self.offer(actor, state);
        let (Some(record), Some(control)) = (&state.record, &state.control) else {
            return;
        };
        let is_over = control.run() == record.run && !record.is_begun;
        if is_final || is_over || record.status == Status::Cancelling {
            control.stop();
        }
        control.pause(record.status == Status::Paused);
        if stand.is_durable && std::mem::take(&mut state.is_told) {
            control.deliver(record);
        }
    }

    /// A final operation is only read from now on; what was never submitted is nothing; one that waits for a
    /// timer, a client or a child takes no memory meanwhile; nor does one for which its pool has no place
    /// yet, since the pool looks for it in the store.
    fn is_at_rest(&self, state: &OperationState, is_awake: bool) -> bool {
        let Some(record) = &state.record else {
            return true;
        };
        let is_offered = state
            .control
            .as_ref()
            .is_some_and(|control| control.is_alive());
        record.status.is_final() || (!record.is_begun && (!is_awake || !is_offered))
    }

    fn is_public(&self) -> bool {
        false
    }

    fn hears_refusals(&self) -> bool {
        true
    }

    /// Labels never change, so neither does whom it is about.
    fn subject(&self, _actor: &ScopedAddress, state: &OperationState) -> Option<SubjectId> {
        subject::of(state.record.as_ref()?)
    }

    fn traces(&self, _actor: &ScopedAddress, state: &OperationState) -> Vec<Key> {
        let record = state.record.as_ref();
        record.map_or_else(Vec::new, |record| {
            index::traces(record, self.pools.index_shards())
        })
    }

    /// What is at work goes on to its next report, which is refused; nothing begins any more.
    fn erased(&self, actor: &ScopedAddress, state: &mut OperationState) {
        self.pools.streams().remove(actor);
        if let Some(control) = &state.control {
            control.stop();
        }
    }
}

/// What somebody does to an operation that another has submitted is in the audit trail. One's own is not: that is what
/// operations are for.
fn audit_of_others(effects: &mut Effects, record: &Record, context: &Context<'_>, verb: &str) {
    if effects.urgency == Urgency::Never || record.created_by == context.principal {
        return;
    }
    let (operation_type, created_by) = (record.operation_type.as_str(), &record.created_by);
    let detail = serde_json::json!({ "type": operation_type, "createdBy": created_by });
    effects.audit.push(AuditEntry {
        action: format!("{}.{verb}", OperationKind::NAME).into(),
        target: record.id.to_string(),
        detail: detail.to_string(),
    });
}

/// Whether a runner is at work on the operation. One that has not begun is kept from it.
fn is_taken(record: &Record, control: Option<&Control>) -> bool {
    control.is_some_and(|control| {
        if control.run() > record.run {
            !control.withdraw()
        } else {
            // A runner whose run is over only has to end.
            control.run() == record.run && record.is_begun && control.is_running()
        }
    })
}

fn scoped(context: &Context<'_>) -> ScopedAddress {
    ScopedAddress {
        tenant: context.tenant.clone(),
        address: context.address.clone(),
    }
}

fn present<'a>(record: &'a Option<Record>, context: &Context<'_>) -> Result<&'a Record, Refusal> {
    record.as_ref().ok_or_else(|| absent(context.address))
}

/// An input that its handler does not take.
fn refused_input(invalid: InvalidInput) -> Refusal {
    let mut field = match &*invalid.field {
        "" => "input".to_owned(),
        field => format!("input.{field}"),
    };
    field.truncate(field.floor_char_boundary(LABEL_BYTES_MAX));
    Refusal::invalid(field, invalid.message)
}

fn absent(address: &ActorAddress) -> Refusal {
    Refusal(Failure::new(
        ErrorCode::NotFound,
        format!("no operation has the id {}; submit it first", address.key),
    ))
}
