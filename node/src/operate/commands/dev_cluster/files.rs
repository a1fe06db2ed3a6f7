//! The files of a development cluster: a directory a node, with its configuration, its certificate among nodes
//! and its log. What clients need is the same for all nodes, in the directory of development files.

use std::fs::File;
use std::path::{Path, PathBuf};

use selvedge_cluster::membership::Role;

use crate::operate::certificates::{DevelopmentFiles, DevelopmentPeers, usable_dir, write_private};
use crate::operate::commands::dev_cluster::layout::{CONFIG_FILE, Layout, Place, STORAGE};
use crate::operate::config::{NodeConfig, StoreUrl};
use crate::operate::failure::CommandFailure;

/// The directory of a cluster, which this command alone uses.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    by: String,
    _lock: File,
}

/// The files of one node.
#[derive(Debug, Clone)]
pub(super) struct NodeDirectory {
    pub(super) name: String,
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
}

impl Directory {
    /// Makes the directory where it is missing.
    pub(super) fn open(config: &NodeConfig) -> Result<Self, CommandFailure> {
        let by = config.origin("data_dir");
        let given = &config.data_dir;
        usable_dir(&by, given)?;
        // The files name each other, and are to be of use from everywhere.
        let path = std::path::absolute(given).unwrap_or_else(|_| given.clone());
        let lock_path = path.join("cluster.lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| CommandFailure::file(&lock_path, &error))?;
        lock.try_lock().map_err(|_| {
            CommandFailure::failed(format!(
                "{by} {}: another `selvedge dev --nodes` runs on it; stop it, or give another \
                 directory",
                path.display()
            ))
        })?;
        Ok(Self {
            path,
            by,
            _lock: lock,
        })
    }

    /// Writes what the nodes of a layout need: the storage node's first, then those of the others in order.
    pub(super) fn write(
        &self,
        config: &NodeConfig,
        layout: &Layout,
        development: &DevelopmentFiles,
    ) -> Result<(NodeDirectory, Vec<NodeDirectory>), CommandFailure> {
        let peers = DevelopmentPeers::ensure(&self.by, &self.path)?;
        let mut storage = config.clone();
        STORAGE.clone_into(&mut storage.name);
        storage.roles = vec![Role::Storage];
        storage.peer = layout.storage;
        storage.tls.edge = None;
        storage.tls.browsers = None;
        storage.token_file = None;
        storage.privacy.key_file = None;
        let storage = self.write_node(storage, &peers)?;
        let nodes = layout.nodes.iter().map(|place| {
            let node = self.of_node(config, place, layout, development);
            self.write_node(node, &peers)
        });
        Ok((storage, nodes.collect::<Result<_, _>>()?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of what gave the directory, for errors.
    pub(super) fn by(&self) -> &str {
        &self.by
    }

    fn of_node(
        &self,
        config: &NodeConfig,
        place: &Place,
        layout: &Layout,
        development: &DevelopmentFiles,
    ) -> NodeConfig {
        let mut node = config.clone();
        node.name.clone_from(&place.name);
        node.store = StoreUrl::Node {
            name: Some(STORAGE.to_owned()),
            address: layout.storage.to_string(),
        };
        node.quic = place.quic;
        node.peer = place.peer;
        node.http = place.http;
        if node.tls.edge.is_none() {
            node.tls.edge = Some(development.tls.clone());
            let browsers = || development.browsers.clone();
            node.tls.browsers.get_or_insert_with(browsers);
        }
        node.token_file = Some(development.token.clone());
        let privacy = || development.privacy.clone();
        node.privacy.key_file.get_or_insert_with(privacy);
        node
    }

    /// Completes the configuration of a node and writes it.
    fn write_node(
        &self,
        mut config: NodeConfig,
        peers: &DevelopmentPeers,
    ) -> Result<NodeDirectory, CommandFailure> {
        let directory = self.path.join(&config.name);
        usable_dir(&self.by, &directory)?;
        let (certificate, key) = (directory.join("peer.pem"), directory.join("peer.key"));
        config.tls.peer = Some(peers.ensure_node(&config.name, &certificate, &key)?);
        config.data_dir.clone_from(&directory);
        config.ready_file = None;
        let text = toml::to_string(&config).map_err(|error| {
            let directory = directory.display();
            CommandFailure::usage(format!("{} {directory}: {error}", self.by))
        })?;
        let path = directory.join(CONFIG_FILE);
        write_private(&path, format!("{HEADING}{text}"))
            .map_err(|error| CommandFailure::file(&path, &error))?;
        Ok(NodeDirectory {
            name: config.name,
            config: path,
            log: directory.join("node.log"),
        })
    }
}

const HEADING: &str = "# Written by `selvedge dev --nodes`, at each of its starts.\n";
