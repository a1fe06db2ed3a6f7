//! The Selvedge node: edge, sessions, operations, processing and the command line.

pub mod edge;
pub mod gateway;
pub mod identity;
pub mod session;
