//! The integration tests of the node, one binary.

mod edge;
mod operation;
