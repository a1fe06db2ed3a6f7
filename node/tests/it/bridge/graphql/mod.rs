//! Tests of GraphQL: over HTTP, as streams of events and over WebSockets; and its page.

mod hostile;
mod http;
mod node;
mod page;
mod schema;
mod socket;
mod stream;
