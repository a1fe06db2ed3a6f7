//! The members of a cluster, by rows in its store: who is there, who is alive, who owns which slot.
//!
//! [`record`] is what is stored, [`machine`] decides (pure), [`Member`](service::Service) runs its rounds on a
//! store. Each node beats on a row of its own. One of them, the controller, holds a lease, declares dead
//! who is silent, and publishes plans; whatever it writes stands in one transaction with its lease, so that one
//! that was replaced can write nothing. The nodes of a binary do not run it yet: today each owns all slots.

pub mod machine;
pub mod record;
pub mod service;
pub mod view;

pub use machine::{Ousted, Timing};
pub use record::{NodeRecord, NodeState, Role, Versions};
pub use service::{Joining, Round, Service};
pub use view::{Owner, View};
