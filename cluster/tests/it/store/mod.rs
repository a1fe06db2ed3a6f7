//! The store: one conformance suite over every backend, what only the embedded one has, and one in
//! memory for simulations. On FoundationDB it runs where there is one.

mod administration;
mod conformance;
pub(crate) mod database;
mod embedded;
pub(crate) mod memory;
pub(crate) mod spread;

/// A directory in memory where there is one: many of these tests open stores by the hundred, and what
/// they show does not depend on a disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
