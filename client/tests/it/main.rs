//! Integration tests of the client, against a peer that can misbehave.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod credential;
mod fake_server;
mod large;
mod operations;
mod reconnect;
mod relay;
mod servers;
mod subscriptions;
mod worker;
