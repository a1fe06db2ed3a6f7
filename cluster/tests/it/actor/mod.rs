//! The hosting of actors over the embedded store: what it promises, and attempts to break it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod audit;
mod basics;
mod chores;
mod crash;
mod crowd;
mod end;
pub(crate) mod faults;
mod fence;
pub(crate) mod inner;
pub(crate) mod kinds;
mod quiet;
mod remote;
mod rest;
mod slots;
mod stored;
mod subscribers;
pub(crate) mod world;
