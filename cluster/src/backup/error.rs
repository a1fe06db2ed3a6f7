//! Why there is no copy, or nothing was restored.

use std::io;

use crate::store;

/// Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("the store has failed")]
    Store(#[source] store::Error),
    #[error("the backup cannot be read or written")]
    File(#[source] io::Error),
    #[error("this is no backup: it does not begin like one")]
    Foreign,
    #[error("the backup has format {found}, this binary reads up to {known}; use a newer selvedge")]
    Newer { found: u8, known: u8 },
    #[error("the backup is damaged or cut short after {keys} keys: {reason}; use another one")]
    Damaged { keys: u64, reason: String },
    #[error("the nodes {} are running; stop all nodes of the cluster first", .nodes.join(", "))]
    Alive { nodes: Vec<String> },
    #[error(
        "somebody wrote to the store meanwhile; stop all nodes of the cluster, then make the backup anew"
    )]
    Written,
    #[error("there is no cluster in this store")]
    Nothing,
    #[error(
        "this has more than keys of subjects; give a file that `selvedge backup keys` has made"
    )]
    NoKeys,
    #[error(
        "the store is not empty; restore into a new directory, or under a new name in the database"
    )]
    Occupied,
    #[error("{family} has {found} in the store and {expected} in the backup; restore it anew")]
    Different {
        family: &'static str,
        found: String,
        expected: String,
    },
}

impl From<store::Error> for BackupError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
