//! The Selvedge node, as a library: an application registers its actor kinds and operations and runs.

pub mod app;
pub mod demo_app;
pub mod edge;
pub mod gateway;
pub mod identity;
pub mod operation;
pub mod processing;
pub mod session;

pub use app::Application;
