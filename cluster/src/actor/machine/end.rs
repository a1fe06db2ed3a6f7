//! The end of an actor: nothing of it stays, and a command that comes later finds a new one. Part of the
//! machine.
//!
//! While the end is pending or in flight nothing else is decided, so that no decision builds on what goes.

use bytes::Bytes;

use crate::actor::machine::{Batch, Group, Machine, Memory, Name, Write};
use crate::store::keys::Key;

impl Machine {
    /// Whether the actor's end is to be committed, or about to be.
    pub(super) fn is_ending(&self) -> bool {
        let groups = [&self.pending, &self.in_flight];
        groups.into_iter().flatten().any(|group| group.is_end)
    }

    /// Makes a group the last one.
    pub(super) fn end(&mut self, group: &mut Group) {
        for timer in std::mem::take(&mut self.timers) {
            group.rows.push(Write {
                key: self.timer_key(timer.name, timer.due_ms),
                value: None,
            });
        }
        if std::mem::take(&mut self.awake) {
            group.rows.push(Write {
                key: self.name.prefix.awake(),
                value: None,
            });
        }
        group.is_end = true;
        group.is_urgent = true;
    }

    /// The last group as a transaction.
    pub(super) fn end_batch(&mut self, mut group: Box<Group>) -> Batch {
        let prefix = &self.name.prefix;
        let mut writes = std::mem::take(&mut group.rows);
        writes.extend(self.name.catalog(None));
        let audited = group.audited(&self.name.actor.tenant);
        self.in_flight = Some(group);
        Batch {
            base: self.base,
            builds_on: self.version,
            record: prefix.record(),
            clear: vec![prefix.parts(), prefix.events(), prefix.payload_chunks()],
            writes,
            audited,
            personal: self.personal_end(),
        }
    }

    /// The end is durable.
    pub(super) fn begin_anew(&mut self) {
        (self.seq, self.outbox, self.version) = (0, 0, 0);
        (self.chunks, self.has_parts) = (0, false);
        (self.subject, self.is_indexed) = (None, false);
        self.memory = Memory::default();
        self.expired = Vec::new();
    }
}

impl Name {
    /// The row by which clients find the actor, if they may.
    pub(super) fn catalog(&self, value: Option<Bytes>) -> Option<Write> {
        let key = Key::Catalog {
            tenant: self.actor.tenant.clone(),
            address: self.actor.address.clone(),
        };
        self.is_public.then(|| Write {
            key: key.encode(),
            value,
        })
    }
}
