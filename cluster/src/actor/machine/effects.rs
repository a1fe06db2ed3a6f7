//! How a decision becomes part of the next commit. Part of the machine.

use std::any::Any;
use std::sync::Arc;

use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::{
    ACTOR_TIMERS_MAX, EFFECTS_LEN_MAX, INLINE_BYTES_MAX, NAME_BYTES_MAX, STORE_VALUE_BYTES_MAX,
};
use tracing::error;

use crate::actor::kind::{AuditEntry, Effects, Message, NewEvent, Refusal, TimerChange, Urgency};
use crate::actor::machine::retention::TIMER;
use crate::actor::machine::{Broken, Group, Machine, New, Write, internal};
use crate::actor::mailbox::Caller;
use crate::actor::record::{OutboxRecord, Stored, TimerEntry, TimerRecord};
use crate::actor::request::{Identity, StoredEvent};
use crate::audit;

/// What `apply` came to, a panic included.
pub(super) type Decision = Result<Result<Effects, Refusal>, Box<dyn Any + Send>>;

/// Of whom and when a decision is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) now_ms: u64,
    pub(super) principal: &'a str,
    pub(super) identity: &'a Identity,
}

impl Asked<'_> {
    /// Of a timer.
    pub(super) const fn by_nobody(now_ms: u64) -> Self {
        Self {
            now_ms,
            principal: NODE,
            identity: &Identity::Natural,
        }
    }
}

impl Machine {
    /// Makes a decision part of the next commit.
    pub(super) fn settle(
        &mut self,
        asked: Asked<'_>,
        decision: Decision,
        caller: Caller,
    ) -> Result<(), Broken> {
        let effects = match decision {
            Ok(Ok(effects)) => effects,
            Ok(Err(Refusal(failure))) => {
                let is_final = !failure.code.may_be_retried();
                let outcome = Outcome::Failure(failure);
                if is_final {
                    self.keep(asked, &outcome);
                }
                self.answer_when_committed(caller, outcome);
                return Ok(());
            }
            Err(panic) => {
                error!(actor = %self.name.actor.address, panic = text(&*panic), "actor panicked");
                self.parting.push((caller, internal("the command")));
                return Err(Broken);
            }
        };
        if let Some(defect) = self.defect(&effects) {
            error!(actor = %self.name.actor.address, defect, "effects are over their limits");
            self.parting.push((caller, internal("the command")));
            return Err(Broken);
        }
        if effects.urgency == Urgency::Never {
            let outcome = self.success(effects.reply);
            self.answer_when_committed(caller, outcome);
            return Ok(());
        }
        self.absorb(asked, effects, caller);
        Ok(())
    }

    fn absorb(&mut self, asked: Asked<'_>, effects: Effects, caller: Caller) {
        let now_ms = asked.now_ms;
        let mut group = self.pending.take().unwrap_or_default();
        group.decisions += 1;
        group.state_changed = true;
        group.is_urgent |= effects.urgency == Urgency::Now;
        for event in effects.events {
            self.seq += 1;
            group.bytes += event.data.len();
            group.events.push(stored(self.seq, now_ms, event));
        }
        for change in effects.timers {
            self.change_timer(change, &mut group);
        }
        for message in effects.messages {
            self.post(now_ms, message, &mut group);
        }
        if let Some(awake) = effects.awake.filter(|awake| *awake != self.awake) {
            self.awake = awake;
            group.rows.push(Write {
                key: self.name.prefix.awake(),
                value: awake.then(bytes::Bytes::new),
            });
        }
        match effects.is_end {
            true => self.end(&mut group),
            false => self.keep_longer(now_ms, &mut group),
        }
        for (key, value) in effects.rows {
            group.bytes += value.as_ref().map_or(0, bytes::Bytes::len);
            let key = key.encode();
            group.rows.push(Write { key, value });
        }
        for entry in effects.audit {
            group.audit(asked, entry);
        }
        self.pending = Some(group);
        let outcome = self.success(effects.reply);
        if !effects.is_end {
            self.keep(asked, &outcome);
        }
        if let Some(group) = &mut self.pending {
            group.answers.push((caller, outcome));
        }
    }

    fn keep(&mut self, asked: Asked<'_>, outcome: &Outcome) {
        let Asked {
            now_ms, identity, ..
        } = asked;
        if *identity == Identity::Natural {
            return;
        }
        let version = self.next_version();
        let group = self.pending.get_or_insert_default();
        let new = New {
            identity,
            outcome,
            now_ms,
            version,
        };
        // Counted where an answer is all that is kept, too: it bounds the commit.
        if let Outcome::Failure(_) = outcome {
            group.decisions += 1;
            group.is_urgent = true;
        }
        let before = group.rows.len();
        if let Some(session) = self.memory.keep(new, &self.name.prefix, &mut group.rows) {
            group.touch(session);
        }
        let kept = &group.rows[before..];
        self.has_parts |= kept.iter().any(|row| row.value.is_some());
    }

    pub(super) fn change_timer(&mut self, change: TimerChange, group: &mut Group) {
        let (name, set) = match change {
            TimerChange::Set { name, due_ms, body } => (name, Some((due_ms, body))),
            TimerChange::Cancel { name } => (name, None),
        };
        if let Some(index) = self.timers.iter().position(|timer| timer.name == name) {
            let old = self.timers.swap_remove(index);
            group.rows.push(Write {
                key: self.timer_key(old.name, old.due_ms),
                value: None,
            });
        }
        if let Some((due_ms, body)) = set {
            group.bytes += body.len();
            group.rows.push(Write {
                key: self.timer_key(name.clone(), due_ms),
                value: Some(TimerRecord { body }.encode()),
            });
            group.timer_due_ms = Some(group.timer_due_ms.map_or(due_ms, |due| due.min(due_ms)));
            self.timers.push(TimerEntry { name, due_ms });
        }
    }

    fn post(&mut self, now_ms: u64, message: Message, group: &mut Group) {
        if self.outbox == 0 {
            // The numbers of another life of the actor are not used again: receivers may remember them.
            self.outbox = now_ms << OUTBOX_ROOM_BITS;
        }
        self.outbox += 1;
        group.bytes += message.body.len();
        group.has_messages = true;
        let record = OutboxRecord {
            to: message.to,
            name: message.name,
            body: message.body,
        };
        group.rows.push(Write {
            key: self.name.prefix.outbox(self.outbox),
            value: Some(record.encode()),
        });
    }

    /// What is over its limit: a defect of the kind, since clients' input was checked before.
    fn defect(&self, effects: &Effects) -> Option<&'static str> {
        let is_long = |bytes: &bytes::Bytes| bytes.len() > INLINE_BYTES_MAX;
        if effects.reply.len() > INLINE_BYTES_MAX {
            return Some("the reply is too long");
        }
        if effects.events.len() > EFFECTS_LEN_MAX
            || effects.timers.len() > EFFECTS_LEN_MAX
            || effects.messages.len() > EFFECTS_LEN_MAX
            || effects.rows.len() > EFFECTS_LEN_MAX
            || effects.audit.len() > EFFECTS_LEN_MAX
        {
            return Some("there are too many events, timers, messages, rows or audit entries");
        }
        if effects.urgency == Urgency::Never && !effects.audit.is_empty() {
            return Some("what changes nothing is not audited");
        }
        // Clients refuse an event whose type is longer than a name.
        let is_wrong_event =
            |event: &NewEvent| event.kind.len() > NAME_BYTES_MAX || is_long(&event.data);
        if effects.events.iter().any(is_wrong_event)
            || effects
                .messages
                .iter()
                .any(|message| is_long(&message.body))
        {
            return Some("an event or message is too long");
        }
        let is_long_row = |value: &Option<bytes::Bytes>| {
            value
                .as_ref()
                .is_some_and(|value| value.len() > STORE_VALUE_BYTES_MAX)
        };
        if effects.rows.iter().any(|(_, value)| is_long_row(value)) {
            return Some("a row is too long");
        }
        let is_wrong_timer = |change: &TimerChange| match change {
            TimerChange::Set { name, body, .. } => name.len() > NAME_BYTES_MAX || is_long(body),
            TimerChange::Cancel { .. } => false,
        };
        if effects.timers.iter().any(is_wrong_timer) {
            return Some("a timer's name or body is too long");
        }
        if effects.timers.iter().any(is_reserved) {
            return Some("a timer has the name of the host's own");
        }
        let own = self.timers.iter().filter(|it| it.name == TIMER).count();
        if self.timers.len() - own + effects.timers.len() > ACTOR_TIMERS_MAX {
            return Some("there are too many timers");
        }
        None
    }
}

/// Whether a change is to the timer that the host sets itself.
fn is_reserved(change: &TimerChange) -> bool {
    match change {
        TimerChange::Set { name, .. } | TimerChange::Cancel { name } => name == TIMER,
    }
}

impl Group {
    fn audit(&mut self, asked: Asked<'_>, entry: AuditEntry) {
        let AuditEntry {
            action,
            target,
            detail,
        } = entry;
        self.bytes += target.len() + detail.len();
        self.audit.push(audit::Entry {
            at_ms: asked.now_ms,
            principal: asked.principal.to_owned(),
            action: action.into_owned(),
            target,
            outcome: audit::Outcome::Done,
            detail,
        });
    }
}

/// The principal of what nobody asked for.
pub(super) const NODE: &str = "selvedge";
/// Room for a million messages before a life that begins a millisecond later would use their numbers; enough
/// is left for the time of the next centuries.
const OUTBOX_ROOM_BITS: u32 = 20;

fn stored(seq: u64, time_ms: u64, event: NewEvent) -> StoredEvent {
    StoredEvent {
        seq,
        kind: Arc::from(&*event.kind),
        time_ms,
        data: event.data,
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}
