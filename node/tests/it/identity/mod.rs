//! Who acts: as other systems say it, and as the cluster knows it.

mod jwt;
mod revocation;
