//! Operations end to end: host, embedded store in a temporary directory, pools, handlers.

mod basics;
mod builtin;
mod crash;
#[path = "../../../../cluster/tests/it/actor/faults.rs"]
mod faults;
mod lists;
mod payloads;
mod pressure;
mod world;
