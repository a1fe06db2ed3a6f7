//! Hosting of durable actors: what a kind is, and how a node runs them.
//!
//! [`kind`] is what applications implement, [`request`] is what callers ask, [`host`] runs it all. The
//! rest is private: slots, activations, timers and the outbox are details of the host.

pub mod host;
pub mod kind;
pub mod request;

pub(crate) mod activation;
pub(crate) mod attendance;
mod chore;
mod commit;
pub(crate) mod core;
pub mod export;
mod hosted;
pub(crate) mod hub;
pub(crate) mod letter;
mod load;
pub(crate) mod local;
mod machine;
pub(crate) mod mailbox;
mod proof;
pub(crate) mod record;
mod recovery;
mod sealing;
mod stored;
mod subscription;
mod supervisor;
mod taking;
mod work;

pub use host::{Host, HostConfig};
pub use hosted::Kinds;
pub use kind::{
    AuditEntry, Context, Effects, Incoming, Kind, Message, NewEvent, Origin, Refusal, TimerChange,
    Urgency,
};
pub use request::{
    AnswerSink, CommandRequest, Identity, QueryRequest, ReplyTo, ScopedAddress, StoredEvent,
    SubscriptionItem,
};
pub use stored::{StoredState, stored_state};
pub use subscription::Subscription;
pub use taking::{Claim, Holder, MayTake, Taking};
pub use work::Work;
