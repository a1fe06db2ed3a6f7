//! The Selvedge node, as a library: an application registers its actor kinds and operations, and calls
//! [`main`].
//!
//! `edge` moves bytes between clients and `session`s, `gateway` is the one way from sessions inside,
//! `operation` and `processing` are long work, `operate` is the command line. The library never starts
//! anything by itself.

pub mod app;
pub mod bridge;
pub mod demo_app;
pub mod edge;
pub mod gateway;
pub mod identity;
pub mod metrics;
pub mod notice;
mod operate;
pub mod operation;
pub mod processing;
pub mod session;

pub use app::Application;
pub use operate::main;
