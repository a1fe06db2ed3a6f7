//! placeholder
pub mod operation;
