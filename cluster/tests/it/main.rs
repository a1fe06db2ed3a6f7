//! Integration tests of the cluster crate, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test stops at the first error; clippy knows tests by their attribute only"
)]
mod actor;
mod admin;
mod backup;
mod forward;
mod membership;
mod ownership;
mod peer;
mod privacy;
mod simulation;
mod store;
