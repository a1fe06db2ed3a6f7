//! The keys of one actor, with what they share encoded once: an actor's commit writes several.

use foundationdb_tuple::{TuplePack, pack_into};
use selvedge_protocol::ids::{ActorAddress, CommandId, SessionId, Tenant};

use super::{Family, KeyRange, Part, start, tuple_bytes};

/// The encoded slot, tenant, kind and key of an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorPrefix(Box<[u8]>);

impl ActorPrefix {
    pub fn new(slot: u16, tenant: &Tenant, address: &ActorAddress) -> Self {
        let (tenant, kind, key) = (tenant.as_str(), address.kind.as_str(), address.key.as_str());
        // Each text has a type code before it and a zero after it; a slot takes up to three bytes.
        let mut out = Vec::with_capacity(tenant.len() + kind.len() + key.len() + 9);
        pack_into(&(slot, tenant, kind, key), &mut out);
        Self(out.into_boxed_slice())
    }

    pub fn record(&self) -> Vec<u8> {
        self.part(Part::Record)
    }

    pub fn state(&self, chunk: u32) -> Vec<u8> {
        self.part(Part::State { chunk })
    }

    pub fn session(&self, session: SessionId) -> Vec<u8> {
        self.part(Part::Session { session })
    }

    pub fn command_outcome(&self, command: CommandId) -> Vec<u8> {
        self.part(Part::CommandOutcome { command })
    }

    pub fn part(&self, part: Part) -> Vec<u8> {
        match part {
            Part::Record => self.key(Family::Actor, &(RECORD,)),
            Part::State { chunk } => self.key(Family::Actor, &(STATE, chunk)),
            Part::Session { session } => {
                self.key(Family::Actor, &(SESSION, tuple_bytes(session.as_bytes())))
            }
            Part::CommandOutcome { command } => self.key(
                Family::Actor,
                &(COMMAND_OUTCOME, tuple_bytes(command.as_bytes())),
            ),
        }
    }

    pub fn event(&self, seq: u64) -> Vec<u8> {
        self.key(Family::Event, &(seq,))
    }

    pub fn outbox(&self, seq: u64) -> Vec<u8> {
        self.key(Family::Outbox, &(seq,))
    }

    pub fn awake(&self) -> Vec<u8> {
        self.key(Family::Awake, &())
    }

    pub fn payload(&self, chunk: u32) -> Vec<u8> {
        self.key(Family::Payload, &(chunk,))
    }

    /// All parts of the actor.
    pub fn parts(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Actor, &()))
    }

    /// The chunks of the state.
    pub fn state_chunks(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Actor, &(STATE,)))
    }

    /// What is known of sessions.
    pub fn sessions(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Actor, &(SESSION,)))
    }

    /// The outcomes of commands.
    pub fn command_outcomes(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Actor, &(COMMAND_OUTCOME,)))
    }

    /// The events.
    pub fn events(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Event, &()))
    }

    /// The events from `seq` on.
    pub fn events_from(&self, seq: u64) -> KeyRange {
        KeyRange {
            begin: self.event(seq).into(),
            end: self.events().end,
        }
    }

    /// The messages that wait for delivery.
    pub fn outbox_messages(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Outbox, &()))
    }

    /// The chunks of the payload.
    pub fn payload_chunks(&self) -> KeyRange {
        KeyRange::after(&self.key(Family::Payload, &()))
    }

    fn key<T: TuplePack>(&self, family: Family, rest: &T) -> Vec<u8> {
        // The family takes two bytes; the longest rest is an id with every byte escaped.
        let mut out = start(family, 2 + self.0.len() + 36);
        out.extend_from_slice(&self.0);
        pack_into(rest, &mut out);
        out
    }
}

// The persisted ordinals of an actor's parts.
pub(super) const RECORD: u16 = 1;
pub(super) const STATE: u16 = 2;
pub(super) const SESSION: u16 = 3;
pub(super) const COMMAND_OUTCOME: u16 = 4;
