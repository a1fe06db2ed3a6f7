//! Handlers that come with Selvedge, for applications to register: outgoing calls and sagas.
//!
//! They use what every handler has, and nothing else of the node.

pub mod http;
pub mod saga;
