//! Tests of the node as its users meet it, and of the repository itself.

#![allow(clippy::unwrap_used, reason = "a test in which this fails has failed")]

mod audit;
mod bridge;
mod edge;
mod identity;
mod limit;
mod operation;
mod permission;
mod process;
mod session_conformance;
mod tidy;
