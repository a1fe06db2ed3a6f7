//! Tests of the bridge over real sockets on loopback, with a stand-in for the inside.

pub(crate) mod websocket;
