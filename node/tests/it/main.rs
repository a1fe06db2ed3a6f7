//! The integration tests of the node, one binary.

mod operation;
