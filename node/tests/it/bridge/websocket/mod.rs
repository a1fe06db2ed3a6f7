//! Tests of the session protocol over WebSocket: a raw peer that can send whatever no browser would.

mod deflate;
mod drain;
mod events;
mod handshake;
mod large;
mod payload;
pub(crate) mod peer;
mod requests;
mod slow;
mod wrong;
