//! Tests of the edge over real sockets on loopback: a raw peer on one side, a stand-in for the inside
//! on the other, so that both can do what no client and no actor of ours would.

mod admission;
mod command;
mod drain;
mod flood;
mod hello;
mod inside;
mod large;
mod load;
mod loss;
mod payload;
pub(crate) mod peer;
mod replay;
mod resume;
pub(crate) mod service;
mod slow;
mod subscription;
pub(crate) mod webtransport;
mod worker;
mod wrong;
