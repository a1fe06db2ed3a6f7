//! The commands and flags of `selvedge backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::NodeFlags;

#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Copy a store into a file. The nodes of its cluster have to be stopped.
    ///
    /// The file holds all that the store does, secrets included: keep it like the store. The keys of subjects are left
    /// out, so that what is stored about people is cipher text in it: `selvedge backup keys` copies those.
    Create(OfStore),
    /// Copy the keys of subjects into a file of their own, in place of the one before.
    ///
    /// Do not keep older copies: a subject that is erased is so in backups of its data as well, once no copy of its key
    /// is left. The keys are wrapped: the file is of use only with the wrapping keys of the nodes, which are kept
    /// elsewhere.
    Keys(OfStore),
    /// Put keys of subjects back into a restored store, before nodes start on it. What is there is never changed: who
    /// was erased stays so.
    RestoreKeys(OfStore),
    /// Write a backup into an empty store, and compare what is there then.
    Restore(OfStore),
    /// Read a backup to its end, and show what it has.
    Verify {
        /// The backup.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OfStore {
    /// The backup.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreFlags,
}

/// Where a store is. Precedence: flag, `SELVEDGE_…` variable, configuration file, default.
#[derive(Debug, Args)]
pub(crate) struct StoreFlags {
    /// The configuration of a node that has the store.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    config: Option<PathBuf>,
    /// Where the embedded store lives [default: ./selvedge-data].
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The store: `embedded`, `node:HOST:PORT` or `fdb:CLUSTER_FILE` [default: embedded].
    #[arg(long, value_name = "URL", env = "SELVEDGE_STORE")]
    store: Option<String>,
    /// The cluster's certificate authority, for the store of a storage node, PEM.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PEER_CA")]
    peer_ca: Option<PathBuf>,
    /// The certificate of a node of the cluster.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PEER_CERTIFICATE")]
    peer_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_PEER_KEY")]
    peer_key: Option<PathBuf>,
}

impl From<StoreFlags> for NodeFlags {
    fn from(flags: StoreFlags) -> Self {
        Self {
            config: flags.config,
            data_dir: flags.data_dir,
            store: flags.store,
            peer_ca: flags.peer_ca,
            peer_certificate: flags.peer_certificate,
            peer_key: flags.peer_key,
            ..Self::default()
        }
    }
}
