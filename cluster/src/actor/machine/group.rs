//! What shares a commit: decisions, what they cause, and the answers that wait for it. Part of the
//! machine.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{SessionId, Tenant};

use crate::actor::machine::Personal;
use crate::actor::mailbox::Caller;
use crate::actor::record::{EventRecord, EventsRecord, Stored};
use crate::actor::request::StoredEvent;
use crate::audit;
use crate::store::Version;
use crate::store::keys::{ActorPrefix, KeyRange};

/// A row to be set, or cleared if there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Bytes>,
}

/// One transaction of an actor.
#[derive(Debug)]
pub(crate) struct Batch {
    /// A version of the store at which the actor was as the batch assumes, and its slot ours.
    pub(crate) base: Version,
    /// The version of the actor that the batch builds on; 0 before its first commit.
    pub(crate) builds_on: u64,
    pub(crate) record: Vec<u8>,
    /// Cleared before anything is written.
    pub(crate) clear: Vec<KeyRange>,
    pub(crate) writes: Vec<Write>,
    /// `None`: the audit trail says nothing of it.
    pub(crate) audited: Option<Audited>,
    /// `None`: it is nobody's data.
    pub(crate) personal: Option<Personal>,
}

/// What an audit trail says of a batch.
#[derive(Debug)]
pub(crate) struct Audited {
    pub(crate) tenant: Tenant,
    pub(crate) entries: Vec<audit::Entry>,
}

/// Decisions that become durable together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) answers: Vec<(Caller, Outcome)>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) rows: Vec<Write>,
    pub(crate) audit: Vec<audit::Entry>,
    /// Sessions whose records changed, each once.
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) decisions: usize,
    pub(crate) bytes: usize,
    pub(crate) state_changed: bool,
    pub(crate) has_messages: bool,
    /// Whether it must be committed at once.
    pub(crate) is_urgent: bool,
    /// The earliest timer it sets.
    pub(crate) timer_due_ms: Option<u64>,
    /// Nothing is left of the actor after it.
    pub(crate) is_end: bool,
}

impl Group {
    /// What is to be said of it, as something that happened in this tenant.
    pub(super) fn audited(&mut self, tenant: &Tenant) -> Option<Audited> {
        let entries = std::mem::take(&mut self.audit);
        (!entries.is_empty()).then(|| Audited {
            tenant: tenant.clone(),
            entries,
        })
    }

    pub(crate) fn touch(&mut self, session: SessionId) {
        // Commands of one session arrive together, so the last is likely the same.
        if !self.sessions.iter().rev().any(|known| *known == session) {
            self.sessions.push(session);
        }
    }

    /// The rows of the events: as few as fit, for a row costs a store more than the bytes in it.
    pub(super) fn event_rows(&self, prefix: &ActorPrefix) -> Vec<Write> {
        let mut rows = Vec::new();
        let mut records = Vec::with_capacity(self.events.len());
        let mut bytes = 0;
        for (index, event) in self.events.iter().enumerate() {
            bytes += event.kind.len() + event.data.len() + EVENT_FRAME_BYTES_MAX;
            records.push(EventRecord {
                kind: Arc::clone(&event.kind),
                time_ms: event.time_ms,
                data: event.data.clone(),
            });
            let next = self.events.get(index + 1);
            let fits = |next: &StoredEvent| {
                let next = next.kind.len() + next.data.len() + EVENT_FRAME_BYTES_MAX;
                bytes + next <= EVENT_ROW_BYTES_MAX
            };
            if next.is_some_and(fits) {
                continue;
            }
            let record = EventsRecord(std::mem::take(&mut records));
            bytes = 0;
            rows.push(Write {
                key: prefix.event(event.seq),
                value: Some(record.encode()),
            });
        }
        rows
    }
}

/// What an event takes in a row besides its kind and data: three numbers of up to nine bytes.
const EVENT_FRAME_BYTES_MAX: usize = 27;
/// Under the store's limit on a value, with room for one event of the largest size.
const EVENT_ROW_BYTES_MAX: usize = 90_000;

/// What is to be done after a commit, in this order.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) events: Arc<[StoredEvent]>,
    pub(crate) has_messages: bool,
    pub(crate) timer_due_ms: Option<u64>,
    pub(crate) answers: Vec<(Caller, Outcome)>,
    /// Nothing is left of the actor: whoever follows it has to look again.
    pub(crate) is_end: bool,
}
