//! Operations end to end: host, embedded store in a temporary directory, pools, handlers.

mod basics;
mod crash;
mod lists;
mod payloads;
mod world;
