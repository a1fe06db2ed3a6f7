//! Processing: pools of step runners, one per operation type. Operations offer themselves when they are
//! runnable; a runner takes one up, drives its handler and tells the operation what came of it.
//!
//! `supervisor` (the actor `processing`) → `pool`, one actor per type → `runner`, its step runners. A
//! crash ends what is below it; what ran there is looked for in the store (`rescan`) and offered again.
//!
//! Nothing here is durable. What the store knows is offered again after a crash, by the operations
//! themselves.

mod attempt;
mod budget;
mod context;
mod control;
mod handler;
mod payload;
mod policy;
mod pool;
mod pools;
mod ready;
mod rescan;
mod runner;
mod stream;
mod supervisor;
pub mod worker;

pub use context::OperationContext;
pub(crate) use control::Control;
pub(crate) use handler::ErasedHandler;
pub use handler::{Handler, HandlerError};
pub use payload::PayloadReader;
pub use policy::{Policy, Retry};
pub(crate) use pools::{Offer, Pools, PoolsConfig, RunBy};
pub use stream::PayloadBroken;
pub(crate) use stream::Stream;
