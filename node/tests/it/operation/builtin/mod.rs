//! The handlers that come with Selvedge, on a real node.

mod http;
mod saga;
pub(crate) mod server;
