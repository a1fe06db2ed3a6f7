//! The members of a cluster, by rows in its store: who is there, who is alive, who owns which slot.
//!
//! [`record`] is what is stored, [`machine`] decides (pure), [`service`] runs its rounds on a store, and
//! [`member`] is the task that runs them on time and publishes the view. Each node beats on a row of its own.
//! One of them, the controller, holds a lease, declares dead who is silent, and publishes plans; whatever it
//! writes stands in one transaction with its lease, so that one that was replaced can write nothing. Operators ask [`admin`];
//! [`why`] says in words what a cluster waits for.

pub mod admin;
pub mod machine;
pub mod member;
pub mod record;
pub mod service;
pub mod snapshot;
pub mod view;
pub mod why;

pub use admin::{Admin, Changed, Force, Refusal};
pub use machine::{Ousted, Timing};
pub use member::{Leave, Member, MemberConfig, MemberError, Reach, Standing};
pub use record::{NodeRecord, NodeState, RemovedRecord, Role, UNREACHABLE_MAX, Versions};
pub use service::{Joining, Round, Service, ring};
pub use snapshot::{Condition, Move, Snapshot, runs};
pub use view::{Owner, View};
pub use why::{Code, Observed, Reason, Why};
