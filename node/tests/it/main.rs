//! Tests of the node as its users meet it, and of the repository itself.

mod edge;
mod process;
mod tidy;
