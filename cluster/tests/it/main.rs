//! Integration tests of the cluster crate, in one binary.

mod actor;
mod store;
