//! What makes Selvedge nodes act as one: the store, slots and their fences, and the hosting of actors.
//!
//! `selvedge-node` builds on this crate; it depends on `selvedge-protocol` only, and never on the
//! client. It knows nothing of operations, sessions or the edge.

pub mod actor;
pub mod audit;
pub mod backup;
pub mod bulletin;
pub mod clock;
pub mod forward;
pub mod gate;
pub mod membership;
pub mod metrics;
pub mod ownership;
pub mod peer;
pub mod plan;
pub mod privacy;
pub mod slot;
pub mod store;

pub use clock::Clock;
