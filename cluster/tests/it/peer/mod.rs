//! Connections between nodes: certificates, names, limits, and hostile bytes.

pub(crate) mod authority;
pub(crate) mod world;
