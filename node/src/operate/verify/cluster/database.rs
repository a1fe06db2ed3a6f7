//! The FoundationDB that the nodes of a cluster of our own share: under a name that no other cluster has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::operate::failure::CommandFailure;
use crate::operate::store::database;

/// The keys of one cluster in a database.
#[derive(Debug)]
pub(super) struct Database {
    file: PathBuf,
    name: String,
    /// What nodes are told of it.
    config: PathBuf,
}

impl Database {
    /// Writes the file that tells nodes the name.
    pub(super) fn prepare(file: &Path, dir: &Path, seed: u64) -> Result<Self, CommandFailure> {
        let name = format!("verify-{seed:x}-{}", std::process::id());
        let config = dir.join("node.toml");
        std::fs::write(&config, format!("[fdb]\nname = \"{name}\"\n"))
            .map_err(|error| CommandFailure::file(&config, &error))?;
        Ok(Self {
            file: file.to_owned(),
            name,
            config,
        })
    }

    pub(super) fn arguments(&self) -> Vec<OsString> {
        let store = format!("fdb:{}", self.file.display());
        vec![
            "--store".into(),
            store.into(),
            "--config".into(),
            self.config.clone().into(),
        ]
    }

    /// Clears what the nodes have left.
    pub(super) async fn erase(&self) -> Result<(), CommandFailure> {
        database::erase(&self.file, &self.name).await
    }
}
