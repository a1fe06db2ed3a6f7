//! Whole nodes but for their sessions: hosts that follow their memberships, on one store, in real time.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

pub(crate) mod gate;
mod isolation;
mod linked;
mod members;
mod moves;
mod trouble;
mod work;
mod world;
