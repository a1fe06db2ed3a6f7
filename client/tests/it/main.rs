//! Integration tests of the client, against a peer that can misbehave.

mod calls;
mod fake_server;
mod operations;
mod reconnect;
mod subscriptions;
