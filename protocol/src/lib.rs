//! What crosses a Selvedge wire, and the rules both ends share.
//!
//! Every other crate depends on this one; it depends on none of them. It never does I/O, never reads a
//! clock and never starts a task: bytes and numbers come in as arguments, frames and decisions go out.
//! The wire format is specified in `protocol/docs/wire.md`.

pub mod attachment;
mod bounded;
pub mod codec;
pub mod error;
pub mod frame;
pub mod ids;
pub mod if_version;
pub mod json;
pub mod limits;
pub mod peer;
pub mod servers;
pub mod session;
pub mod shared_event;
pub mod task_payload;
pub mod time;
pub mod version;

pub use error::{ErrorCode, Failure};
pub use ids::{
    ActorAddress, ActorKey, ActorKind, CommandId, IdError, OperationId, OperationType, SessionId,
    SubjectId, Target, Tenant,
};
