//! Processing: pools of step runners, one per operation type. Operations offer themselves when they are
//! runnable; a runner takes one up, drives its handler and tells the operation what came of it.
//!
//! `supervisor` (the actor `processing`) → `pool`, one actor per type → `runner`, its step runners. A
//! crash ends what is below it; what ran there is looked for in the store (`rescan`) and offered again.
//!
//! With other nodes (`elsewhere`) what finds no place here is executed there; its runner stays with its owner.
//!
//! What of a pool's queue starts is decided by pure machines: `scheduler`, with `gates` made of `rate` and
//! `breaker`; `places` bounds who may queue. What a tenant changes of a `policy` is a `patch`, stored by the
//! actors of `policy_kind` and in force through `policies`; `queue_state` shows how it all stands.
//!
//! Apart from these actors nothing here is durable. What the store knows is offered again after a crash, by the operations
//! themselves.

mod attempt;
mod breaker;
mod budget;
pub mod builtin;
mod context;
mod control;
mod elsewhere;
mod gates;
mod handler;
mod patch;
mod payload;
mod places;
mod policies;
mod policy;
mod policy_kind;
mod pool;
mod pools;
mod queue_state;
mod rate;
mod ready;
mod reporter;
mod rescan;
mod runner;
mod scheduler;
mod stream;
mod supervisor;
pub mod worker;

pub use breaker::BreakerState;
pub use context::OperationContext;
pub(crate) use control::Control;
pub use elsewhere::Neighbours;
pub(crate) use elsewhere::{Carrying, carry};
pub(crate) use handler::ErasedHandler;
pub use handler::{Handler, HandlerError, InvalidInput};
pub use patch::{BreakerPatch, PolicyPatch, RatePatch, RetryPatch, WrongPatch};
pub use payload::PayloadReader;
pub use policy::{BreakerPolicy, Policy, Rate, Retry};
pub(crate) use policy_kind::PolicyKind;
pub(crate) use pools::{Offer, Pools, PoolsConfig, RunBy};
pub use queue_state::{BreakerView, QueueState, WaitingFor};
pub use stream::PayloadBroken;
pub(crate) use stream::Stream;
pub(crate) use worker::STREAMED_TO_WORKERS;
