//! What is sent to an actor, before it has a place in a mailbox.

use bytes::Bytes;

use crate::actor::activation::Message;
use crate::actor::mailbox::Caller;
use crate::actor::request::{CommandRequest, QueryRequest, ScopedAddress};

/// What an actor is asked, and which actor.
#[derive(Debug)]
pub(crate) enum Letter {
    Request(Request),
    /// A timer is due. Comes from this node's chores, as does the next.
    Fire {
        actor: ScopedAddress,
        name: String,
        due_ms: u64,
        body: Bytes,
    },
    /// Nothing but to be activated.
    Wake(ScopedAddress),
}

/// What may come from any node.
#[derive(Debug)]
pub(crate) enum Request {
    Command(CommandRequest),
    Query(QueryRequest),
}

impl Letter {
    pub(crate) const fn actor(&self) -> &ScopedAddress {
        match self {
            Self::Request(request) => request.actor(),
            Self::Fire { actor, .. } | Self::Wake(actor) => actor,
        }
    }

    pub(crate) fn into_message(self, caller: Caller) -> Message {
        match self {
            Self::Request(Request::Command(request)) => Message::Command(request, caller),
            Self::Request(Request::Query(request)) => Message::Query(request, caller),
            Self::Fire {
                name, due_ms, body, ..
            } => Message::Fire {
                name,
                due_ms,
                body,
                caller,
            },
            Self::Wake(_) => Message::Wake(caller),
        }
    }
}

impl Request {
    pub(crate) const fn actor(&self) -> &ScopedAddress {
        match self {
            Self::Command(request) => &request.actor,
            Self::Query(request) => &request.actor,
        }
    }
}
