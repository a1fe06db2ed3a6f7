//! Integration tests of the cluster crate, in one binary.

#![allow(clippy::unwrap_used, reason = "a test in which this fails has failed")]

mod actor;
mod store;
