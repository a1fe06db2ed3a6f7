//! Domain errors as failures of the wire: the one place that turns the ones into the others.
//!
//! Messages say what to do and never carry internals: those are logged here.

use selvedge_cluster::store;
use selvedge_protocol::{ActorKind, ErrorCode, Failure, Target};

/// The store could not do it.
pub(crate) fn store(error: &store::Error) -> Failure {
    tracing::warn!(%error, "store failed a request");
    match error {
        store::Error::Conflict | store::Error::TooOld | store::Error::CommitUnknown => {
            Failure::new(ErrorCode::Unavailable, "the store is busy; send it again")
        }
        store::Error::Unavailable(_) => Failure::new(
            ErrorCode::Unavailable,
            "the store cannot be reached at the moment; send it again",
        ),
        store::Error::Full { .. } | store::Error::Stopped(_) => Failure::new(
            ErrorCode::Unavailable,
            "the store takes no requests at the moment; its node's log says why",
        ),
        store::Error::TooLarge { what, limit, .. } => Failure::new(
            ErrorCode::TooLarge,
            format!("the {what} is over the store's limit of {limit} bytes"),
        ),
        store::Error::Locked { .. }
        | store::Error::Corrupt { .. }
        | store::Error::Unreadable { .. }
        | store::Error::NewerSchema { .. }
        | store::Error::Unfinished
        | store::Error::Record { .. } => Failure::new(
            ErrorCode::Internal,
            "what is stored cannot be read; the node's log says more",
        ),
    }
}

/// The body of a request is not what it should be.
pub(super) fn body(error: &serde_json::Error) -> Failure {
    Failure::field(ErrorCode::Invalid, "body", error.to_string())
}

/// Actors decide on what is stored with them.
pub(super) fn streamed_to_actor() -> Failure {
    Failure::field(
        ErrorCode::Invalid,
        "payload",
        "actors take attached payloads of up to 8 MiB; streamed ones go to operations",
    )
}

/// No actor of this kind can be addressed by clients.
pub(super) fn unknown_kind(kind: &ActorKind) -> Failure {
    Failure::new(
        ErrorCode::UnknownKind,
        format!("this node's application has no actor kind {kind}"),
    )
}

/// The target has no such command, query or events.
pub(super) fn no_such(target: &Target, name: &str) -> Failure {
    Failure::new(
        ErrorCode::UnknownCommand,
        format!("{target} has no {name:?}"),
    )
}

/// Somebody was named who is no user.
pub(crate) fn no_such_principal(field: &str) -> Failure {
    let message = "there is no user of this name; see `selvedge user list`";
    Failure::field(ErrorCode::NotFound, field, message)
}
