//! The store of a storage node: a server that serves any store to other nodes, and a client that is a store.
//!
//! ```text
//! RemoteTransaction ─ writes ─► a buffer ─ with the next read or the commit, in one flush ─┐
//!      one stream each ◄─────────────── answers to reads and to the commit ◄───────────────┤
//!                                                        StoreServer ─► a transaction of its store
//! ```
//!
//! An actor's commit (its version, its writes and the commit itself) is one flush and one answer: one round
//! trip. Whatever is lost on the way before the commit was handed over was not done and says so
//! ([`Error::Unavailable`](super::Error::Unavailable)); after that nobody knows
//! ([`Error::CommitUnknown`](super::Error::CommitUnknown)).

mod client;
mod exchange;
mod failure;
mod server;
mod transaction;
mod watch;

pub use client::{OpenError, Remote, RemoteConfig};
pub use server::StoreServer;
