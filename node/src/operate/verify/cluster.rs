//! Nodes of our own, in processes of their own: one alone with its store, or several on a storage node or a
//! FoundationDB, with a network in between that can be broken.

mod database;
mod files;
mod member;
mod servers;
mod storage;

use std::path::PathBuf;

use selvedge_client::ClientBuilder;
use selvedge_cluster::Clock;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use self::files::{Files, node_name};
use self::member::{Address, Member};
use self::servers::Servers;
pub(super) use self::servers::{Programs, SERVERS};
use self::storage::Storage;
pub(super) use self::storage::StorageConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::profile::Profile;
use crate::operate::verify::child::{Program, log};
use crate::operate::verify::network::{Addresses, Network, Place};
use crate::operate::verify::relay::{RelayConfig, Rule};

/// What to start.
#[derive(Debug, Clone)]
pub(super) struct ClusterConfig {
    /// From the beginning.
    pub(super) nodes: usize,
    /// One more that is not started yet.
    pub(super) has_spare: bool,
    /// What the network does all the time.
    pub(super) usual: Rule,
    pub(super) seed: u64,
    pub(super) storage: StorageConfig,
}

/// The processes. They end with this value.
#[derive(Debug)]
pub(super) struct Cluster {
    dir: TempDir,
    storage: Storage,
    /// The spare node is the last.
    members: Vec<Mutex<Member>>,
    nodes: usize,
    network: Option<Network>,
    /// Of each node that clients know.
    profiles: Vec<Profile>,
}

impl Cluster {
    /// Starts a node with a store of its own.
    pub(super) async fn alone() -> Result<Self, CommandFailure> {
        let dir = new_dir()?;
        let clock = Clock::system();
        let address = Address::free(&clock)?;
        let mut arguments = files::arguments(&["dev", "--output", "json"]);
        arguments.extend(files::arguments(&["--http", "127.0.0.1:0"]));
        arguments.extend(files::arguments(&["--peer", "127.0.0.1:0", "--quic"]));
        arguments.push(address.to_string().into());
        arguments.push("--data-dir".into());
        arguments.push(dir.path().join("data").into());
        let program = Program {
            name: "the node".to_owned(),
            log: log(dir.path(), "node"),
            arguments,
        };
        let mut member = Member::new("node-1".to_owned(), program, vec![address]);
        let ready = match member.start(&clock).await {
            Ok(ready) => ready,
            Err(failure) => return Err(kept(dir, failure)),
        };
        let (Some(server), Some(token), Some(ca_file)) = (ready.quic, ready.token, ready.ca_file)
        else {
            let message = "the node does not say how it is reached";
            return Err(kept(dir, CommandFailure::failed(message)));
        };
        let profile = Profile {
            server,
            ca_file,
            token,
            url: None,
        };
        Ok(Self {
            dir,
            storage: Storage::Embedded,
            members: vec![Mutex::new(member)],
            nodes: 1,
            network: None,
            profiles: vec![profile],
        })
    }

    /// Starts nodes, each behind relays, and before them what they share.
    pub(super) async fn start(config: ClusterConfig) -> Result<Self, CommandFailure> {
        let dir = new_dir()?;
        match Self::prepare(&dir, &config) {
            Ok(parts) => {
                let cluster = parts.into_cluster(dir, config.nodes);
                match cluster.start_all().await {
                    Ok(()) => Ok(cluster),
                    Err(failure) => Err(kept(cluster.dir, failure)),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Makes everything that has to be there before the first process.
    fn prepare(dir: &TempDir, config: &ClusterConfig) -> Result<Parts, CommandFailure> {
        let clock = Clock::system();
        let count = config.nodes + usize::from(config.has_spare);
        let files = Files::make(dir.path(), count)?;
        let store = Address::free(&clock)?;
        let mut held = Vec::with_capacity(count);
        for _ in 0..count {
            held.push([Address::free(&clock)?, Address::free(&clock)?]);
        }
        let places = held.iter().map(|[quic, peer]| Place {
            quic: quic.address(),
            peer: peer.address(),
        });
        let relay = RelayConfig {
            server: store.address(),
            seed: config.seed,
            clock,
        };
        let network = Network::open(places.collect(), &relay, config.usual)
            .map_err(|error| CommandFailure::failed(format!("a relay has no port: {error}")))?;
        let storage = Storage::prepare(&config.storage, dir.path(), config.seed, &files, store)?;
        let found: Vec<Addresses> = network.addresses().collect();
        let members = held.into_iter().zip(&found).enumerate();
        let members = members.map(|(number, ([quic, peer], found))| {
            let place = Place {
                quic: quic.address(),
                peer: peer.address(),
            };
            let mut arguments = files.node_arguments(number, place);
            arguments.extend(storage.arguments(found.store));
            arguments.extend(files::advertised(found));
            let name = node_name(number);
            let program = Program {
                log: log(dir.path(), &name),
                name: name.clone(),
                arguments,
            };
            Member::new(name, program, vec![quic, peer])
        });
        Ok(Parts {
            members: members.collect(),
            storage,
            profiles: files.profiles(&found[..config.nodes]),
            network,
        })
    }

    async fn start_all(&self) -> Result<(), CommandFailure> {
        let clock = Clock::system();
        self.storage.start(&clock).await?;
        let members = self.members[..self.nodes].iter().map(async |member| {
            let mut member = member.lock().await;
            member.start(&clock).await.map(drop)
        });
        futures::future::try_join_all(members).await.map(drop)
    }

    /// A client that knows all nodes, and goes to another one first for each number.
    pub(super) fn builders(&self) -> Vec<ClientBuilder> {
        let count = self.profiles.len();
        let rotated = (0..count).map(|first| {
            let servers = (0..count).map(|index| &*self.profiles[(first + index) % count].server);
            let servers: Vec<_> = servers.collect();
            let profile = &self.profiles[first];
            profile.builder().server(servers.join(","))
        });
        rotated.collect()
    }

    /// Nodes from the beginning.
    pub(super) const fn nodes(&self) -> usize {
        self.nodes
    }

    /// A node, for as long as something is done to it.
    pub(super) async fn member(&self, node: usize) -> MutexGuard<'_, Member> {
        self.members[node].lock().await
    }

    /// The node that comes and goes.
    pub(super) async fn spare(&self) -> MutexGuard<'_, Member> {
        self.member(self.members.len() - 1).await
    }

    /// The storage node, where there is one.
    pub(super) async fn storage(&self) -> Option<MutexGuard<'_, Member>> {
        match &self.storage {
            Storage::Node(storage) => Some(storage.lock().await),
            Storage::Embedded | Storage::Database(_) | Storage::Servers { .. } => None,
        }
    }

    /// The servers of a FoundationDB of its own, where there are any.
    pub(super) async fn servers(&self) -> Option<MutexGuard<'_, Servers>> {
        match &self.storage {
            Storage::Servers { servers, .. } => Some(servers.lock().await),
            Storage::Embedded | Storage::Node(_) | Storage::Database(_) => None,
        }
    }

    /// The network, where there is one.
    pub(super) const fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    pub(super) fn name(&self, node: usize) -> String {
        node_name(node)
    }

    /// The end of a process that nobody has ended, if there is one.
    pub(super) fn ended(&self) -> Option<CommandFailure> {
        // To those that are locked something is being done.
        let all = self.members.iter();
        let mut all = all.filter_map(|member| member.try_lock().ok());
        let ended = all.find_map(|mut member| member.ended());
        ended.or_else(|| self.storage.ended())
    }

    /// Undoes every fault: what is stopped goes on, what is down is started, all links are whole.
    pub(super) async fn heal(&self) -> Result<(), CommandFailure> {
        if let Some(network) = &self.network {
            network.heal_all();
        }
        let (members, spare) = self.members.split_at(self.nodes);
        for member in spare {
            member.lock().await.kill().await?;
        }
        let clock = Clock::system();
        self.storage.heal(&clock).await?;
        for member in members {
            member.lock().await.heal(&clock).await?;
        }
        Ok(())
    }

    /// Ends all processes. Returns where their data and logs are, if they are to be kept.
    pub(super) async fn stop(mut self, is_kept: bool) -> Option<PathBuf> {
        // All at once and without waiting, for whoever is impatient may end us meanwhile.
        let mut all: Vec<_> = self.members.iter_mut().map(Mutex::get_mut).collect();
        all.iter_mut().for_each(|member| member.begin_kill());
        self.storage.begin_kill();
        for member in all {
            // Nothing is left running, and nothing writes to the directory any more.
            let _ = member.kill().await;
        }
        if let Err(failure) = self.storage.end(is_kept).await {
            tracing::warn!(error = %failure.message, "something was left of the store");
        }
        is_kept.then(|| self.dir.keep())
    }
}

/// What a cluster is made of, before anything runs.
struct Parts {
    storage: Storage,
    members: Vec<Member>,
    profiles: Vec<Profile>,
    network: Network,
}

impl Parts {
    fn into_cluster(self, dir: TempDir, nodes: usize) -> Cluster {
        Cluster {
            dir,
            storage: self.storage,
            members: self.members.into_iter().map(Mutex::new).collect(),
            nodes,
            network: Some(self.network),
            profiles: self.profiles,
        }
    }
}

fn new_dir() -> Result<TempDir, CommandFailure> {
    tempfile::Builder::new()
        .prefix("selvedge-verify-")
        .tempdir()
        .map_err(|error| CommandFailure::file(&std::env::temp_dir(), &error))
}

/// Keeps a directory whose nodes did not start, and says so.
fn kept(dir: TempDir, mut failure: CommandFailure) -> CommandFailure {
    let place = dir.keep();
    failure.message.push_str("\nlogs are kept in ");
    failure.message.push_str(&place.display().to_string());
    failure
}
