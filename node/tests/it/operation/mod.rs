//! Operations end to end: host, embedded store in a temporary directory, pools, handlers.

#[path = "../../../../cluster/tests/it/peer/authority.rs"]
mod authority;
mod basics;
pub(crate) mod builtin;
mod cluster;
mod crash;
#[path = "../../../../cluster/tests/it/actor/faults.rs"]
mod faults;
#[path = "../../../../cluster/tests/it/actor/inner.rs"]
mod inner;
mod life;
mod lists;
mod payloads;
mod policies;
mod pressure;
mod retention;
mod schedules;
mod scheduling;
#[path = "../../../../cluster/tests/it/store/spread.rs"]
mod spread;
mod world;
