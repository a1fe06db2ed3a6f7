//! The Selvedge node, as a library: an application registers its actor kinds and operations and runs.

pub mod app;
pub mod demo_app;
pub mod operation;
pub mod processing;

pub use app::Application;
