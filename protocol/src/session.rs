//! The session machine of both ends: what may be sent when, what is answered, what is sent again.
//!
//! Neither half does I/O or reads a clock; drivers feed them frames and carry out what they return.

pub mod client;
pub mod server;
