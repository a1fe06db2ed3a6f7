//! Operations: durable, typed jobs. Each is an actor of the internal kind `operation`.
//!
//! `machine` decides (pure), `kind` hosts it, `index` and `list` make it found, [`Operations`] is what the
//! gateway calls. What runs the handlers is in [`crate::processing`]; it keeps nothing that is not in the
//! store.

mod child;
mod event;
mod index;
mod kind;
mod list;
mod machine;
mod record;
mod report;
mod retention;
mod scan;
mod schedule;
mod service;
mod subject;
mod submission;
mod verb;
mod view;
mod wait;
mod why;

pub(crate) use index::PAYLOAD_CHUNK_BYTES;
pub(crate) use kind::{NUDGE, OperationKind, REPORT, is_operation};
pub(crate) use record::{Compensation, Fault, Payload, Record};
pub(crate) use report::{Done, FinishedStep, NewWait, NewWaitOn, News, Report, Sent};
pub(crate) use schedule::ScheduleKind;
pub(crate) use service::address;
pub use service::{OperationCommand, OperationPayload, Operations};
pub(crate) use wait::Waiters;

use selvedge_cluster::store::keys::ActorPath;

/// The key of the chunk of a stored payload that begins at `position`.
pub(crate) fn payload_chunk(path: &ActorPath, position: u64) -> Vec<u8> {
    index::chunk_key(path, index::chunks(position)).encode()
}
