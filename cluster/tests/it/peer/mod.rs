//! Connections between nodes: certificates, names, limits, and hostile bytes.

pub(crate) mod authority;
mod flood;
mod hostile;
mod late;
mod pair;
mod partition;
mod trust;
pub(crate) mod world;
