//! Tests of GraphQL: over HTTP, as streams of events and over WebSockets.

mod hostile;
mod http;
mod node;
mod schema;
mod socket;
mod stream;
