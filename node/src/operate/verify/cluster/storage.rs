//! What the nodes of a cluster of our own share: a storage node, a FoundationDB of others, or one of our own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use selvedge_cluster::Clock;
use tokio::sync::Mutex;

use super::database::Database;
use super::files::{Files, STORAGE, stored_at};
use super::member::{Address, Member};
use super::servers::{Programs, Servers};
use crate::operate::failure::CommandFailure;
use crate::operate::verify::child::{Program, log};

/// What they are to share.
#[derive(Debug, Clone)]
pub(in crate::operate::verify) enum StorageConfig {
    /// A storage node.
    Node,
    /// The FoundationDB of this cluster file, which somebody else runs.
    Database(PathBuf),
    /// A FoundationDB of servers that are started with these.
    Servers(Programs),
}

/// What they share.
#[derive(Debug)]
pub(super) enum Storage {
    /// Nothing: the one node has a store of its own.
    Embedded,
    Node(Box<Mutex<Member>>),
    Database(Database),
    Servers {
        servers: Mutex<Servers>,
        database: Database,
    },
}

impl Storage {
    /// Makes what has to be there before anything is started. A storage node gets this address.
    pub(super) fn prepare(
        config: &StorageConfig,
        dir: &Path,
        seed: u64,
        files: &Files,
        address: Address,
    ) -> Result<Self, CommandFailure> {
        Ok(match config {
            StorageConfig::Node => {
                let program = Program {
                    name: STORAGE.to_owned(),
                    log: log(dir, STORAGE),
                    arguments: files.storage_arguments(address.address()),
                };
                let member = Member::new(STORAGE.to_owned(), program, vec![address]);
                Self::Node(Box::new(Mutex::new(member)))
            }
            StorageConfig::Database(file) => Self::Database(Database::prepare(file, dir, seed)?),
            StorageConfig::Servers(programs) => {
                let servers = Servers::prepare(programs.clone(), dir)?;
                Self::Servers {
                    database: Database::prepare(servers.cluster_file(), dir, seed)?,
                    servers: Mutex::new(servers),
                }
            }
        })
    }

    /// What a node is told of it that finds a storage node at this address.
    pub(super) fn arguments(&self, found: SocketAddr) -> Vec<OsString> {
        match self {
            Self::Embedded => Vec::new(),
            Self::Node(_) => stored_at(found),
            Self::Database(database) | Self::Servers { database, .. } => database.arguments(),
        }
    }

    /// Starts what is to be there before the nodes.
    pub(super) async fn start(&self, clock: &Clock) -> Result<(), CommandFailure> {
        match self {
            Self::Embedded | Self::Database(_) => Ok(()),
            Self::Node(member) => member.lock().await.start(clock).await.map(drop),
            Self::Servers { servers, .. } => servers.lock().await.create().await,
        }
    }

    /// Starts again what is down.
    pub(super) async fn heal(&self, clock: &Clock) -> Result<(), CommandFailure> {
        match self {
            Self::Embedded | Self::Database(_) => Ok(()),
            Self::Node(member) => member.lock().await.heal(clock).await,
            Self::Servers { servers, .. } => servers.lock().await.start_missing(clock).await,
        }
    }

    /// The end of a process that nobody has ended, if there is one.
    pub(super) fn ended(&self) -> Option<CommandFailure> {
        // To those that are locked something is being done.
        match self {
            Self::Embedded | Self::Database(_) => None,
            Self::Node(member) => member.try_lock().ok()?.ended(),
            Self::Servers { servers, .. } => servers.try_lock().ok()?.ended(),
        }
    }

    /// SIGKILL of what is ours, without waiting.
    pub(super) fn begin_kill(&mut self) {
        match self {
            Self::Embedded | Self::Database(_) => {}
            Self::Node(member) => member.get_mut().begin_kill(),
            Self::Servers { servers, .. } => servers.get_mut().begin_kill(),
        }
    }

    /// Leaves nothing behind that is ours, but for the directory; what is to be kept stays in a database of others.
    pub(super) async fn end(&mut self, is_kept: bool) -> Result<(), CommandFailure> {
        match self {
            Self::Embedded => Ok(()),
            Self::Node(member) => member.get_mut().kill().await,
            Self::Database(database) if !is_kept => database.erase().await.map_err(|failure| {
                let message = format!("keys of this run were left in it: {}", failure.message);
                CommandFailure::failed(message)
            }),
            Self::Database(_) => Ok(()),
            Self::Servers { servers, .. } => servers.get_mut().kill_all().await,
        }
    }
}
