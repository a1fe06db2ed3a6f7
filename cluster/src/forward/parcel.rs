//! A request on its way to the owner of its actor, wherever that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::{FORWARDED_BYTES_MAX, FORWARDED_MAX};
use selvedge_protocol::peer::actors::Elsewhere;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::Instant;

use crate::actor::letter::Request;
use crate::actor::request::{AnswerSink, ReplyTo};
use crate::forward::line::{Flight, Line};
use crate::forward::server::Answers;
use crate::membership::{NodeRecord, Owner, View};

/// A request and who waits for its answer.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) request: Request,
    pub(super) reply: ReplyTo,
    /// The node that asks, if it is another one: it is told where to ask instead, so that nothing is
    /// forwarded twice.
    pub(super) asked_by: Option<AskedBy>,
    /// Counts the parcels of this node: those of a slot keep their order.
    pub(super) number: u64,
    /// Given up after this.
    pub(super) until: Instant,
    /// The others of its asker for its slot.
    pub(super) line: Arc<Line>,
    /// While it is at another node, and until it is seen to be back.
    pub(super) flight: Option<Flight>,
    /// What a node has said that was asked for it in vain.
    pub(super) hint: Hint,
    pub(super) permit: Permit,
}

/// Who owns the actor, by a node that does not.
#[derive(Debug, Default)]
pub(super) struct Hint {
    /// The plan of the last node that said so. A view that is older is not believed any more.
    pub(super) plan: u64,
    /// To be followed once, by the plan above.
    pub(super) owner: Option<String>,
    /// One was given: none is taken any more.
    pub(super) is_given: bool,
}

/// Another node, and how it knows its request.
#[derive(Debug, Clone)]
pub(super) struct AskedBy {
    pub(super) answers: Arc<Answers>,
    pub(super) id: u64,
    /// The plan by which it was sent.
    pub(super) plan: u64,
}

impl AskedBy {
    pub(super) fn reply(&self) -> ReplyTo {
        ReplyTo::new(Arc::clone(&self.answers) as Arc<dyn AnswerSink>, self.id)
    }
}

impl Parcel {
    pub(super) fn fail(self: Box<Self>, code: ErrorCode, text: &str) {
        self.reply
            .answer(Outcome::Failure(Failure::new(code, text)));
    }

    /// Whether it was sent, or sent away, by a later plan than this one.
    pub(super) fn is_ahead_of(&self, plan: u64) -> bool {
        let asked_by = self.asked_by.as_ref().map_or(0, |by| by.plan);
        asked_by.max(self.hint.plan) > plan
    }

    /// Where it is to go from here, and by which plan, as far as that is known.
    pub(super) fn way<'a>(&self, view: &'a View, slot: u16) -> Option<Way<'a>> {
        let known = view.plan.number;
        let hint = self.hint.owner.as_ref().filter(|_| self.hint.plan > known);
        let hinted = hint.and_then(|owner| view.members.get_key_value(owner));
        if let Some((name, node)) = hinted.filter(|(_, node)| node.is_alive()) {
            let plan = self.hint.plan;
            return Some(Way { name, node, plan });
        }
        match view.owner(slot) {
            Owner::There { name, node } if !self.is_ahead_of(known) => {
                let plan = known;
                Some(Way { name, node, plan })
            }
            Owner::Here | Owner::There { .. } | Owner::Nobody => None,
        }
    }

    /// Tells the node that asked who else owns the actor. Hands one of this node back.
    pub(super) fn tell_elsewhere(self: Box<Self>, plan: u64, owner: &str) -> Option<Box<Self>> {
        let Some(by) = &self.asked_by else {
            return Some(self);
        };
        by.answers.elsewhere(Elsewhere {
            id: by.id,
            plan,
            owner: Some(owner.to_owned()),
        });
        self.line.send_away(plan);
        self.reply.dismiss();
        None
    }

    /// No frame holds it.
    pub(super) fn refuse_as_too_large(self: Box<Self>) {
        let text = "the request is too large to be sent to the node that owns the actor";
        self.fail(ErrorCode::TooLarge, text);
    }

    /// Its time is over.
    pub(super) fn give_up(self: Box<Self>) {
        let text =
            "no node answered for the actor in time; send it again with the same number or id";
        self.fail(ErrorCode::Unavailable, text);
    }
}

/// The node that is asked, and the plan by which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a NodeRecord,
    pub(super) plan: u64,
}

/// The room that a node has for parcels.
#[derive(Debug, Default)]
pub(super) struct Room {
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// All that ever were.
    numbers: AtomicU64,
}

impl Room {
    /// The number of the next parcel.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn permit(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let permit = Permit {
            room: Arc::clone(self),
            bytes,
        };
        // Given back by its drop, if it is one too many.
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        (count < FORWARDED_MAX && before < FORWARDED_BYTES_MAX).then_some(permit)
    }
}

/// The place of a parcel; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.room.count.fetch_sub(1, Ordering::Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests;
