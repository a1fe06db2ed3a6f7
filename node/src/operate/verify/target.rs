//! Where a run goes: to a node that is running, or to processes of its own. Says which flags go together.

use std::path::PathBuf;
use std::time::Duration;

use selvedge_client::ClientBuilder;

use crate::operate::cli::Verify;
use crate::operate::config::StoreUrl;
use crate::operate::failure::CommandFailure;
use crate::operate::origin::flag_or_variable;
use crate::operate::profile;
use crate::operate::verify::cluster::{Cluster, ClusterConfig, Programs, SERVERS, StorageConfig};
use crate::operate::verify::relay::Rule;
use crate::operate::verify::run::Choices;
use crate::operate::verify::schedule::{Planned, Stage, Store, Wanted, kills, plan};

/// Where a run goes.
#[derive(Debug)]
pub(super) enum Target {
    Live(Box<ClientBuilder>),
    Own(Box<Cluster>),
}

impl Target {
    pub(super) async fn open(
        flags: &Verify,
        seed: u64,
        storage: StorageConfig,
    ) -> Result<Self, CommandFailure> {
        let cluster = match (flags.nodes, flags.kill) {
            (None, None) => return Ok(Self::Live(Box::new(profile::builder(&flags.client)?))),
            (None, Some(_)) => Cluster::alone().await?,
            (Some(nodes), _) => {
                let config = ClusterConfig {
                    nodes: nodes.into(),
                    has_spare: flags.join.is_some(),
                    usual: usual(flags),
                    seed,
                    storage,
                };
                Cluster::start(config).await?
            }
        };
        Ok(Self::Own(Box::new(cluster)))
    }

    /// Clients, each of which goes somewhere else first.
    pub(super) fn builders(&self, flags: &Verify) -> Vec<ClientBuilder> {
        let builders = match self {
            Self::Live(builder) => return vec![builder.as_ref().clone()],
            Self::Own(cluster) => cluster.builders().into_iter(),
        };
        match &flags.client.tenant {
            None => builders.collect(),
            Some(tenant) => builders.map(|it| it.tenant(tenant)).collect(),
        }
    }

    /// Its processes, where they are its own.
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::Live(_) => None,
            Self::Own(cluster) => Some(cluster),
        }
    }

    /// Ends what is its own. Returns where its data and logs are, if they are to be kept.
    pub(super) async fn close(self, is_kept: bool) -> Option<PathBuf> {
        match self {
            Self::Live(_) => None,
            Self::Own(cluster) => cluster.stop(is_kept).await,
        }
    }
}

/// The faults of a run.
pub(super) fn planned(flags: &Verify, seed: u64) -> Vec<Planned> {
    let choices = Choices::new(seed, FAULTS);
    let run = Duration::from_secs(flags.seconds.into());
    match flags.nodes {
        Some(nodes) => {
            let stage = Stage {
                nodes: nodes.into(),
                store: match (&flags.store, &flags.fdb_bin) {
                    (None, None) => Store::Node,
                    (_, Some(_)) => Store::FoundationDb { servers: SERVERS },
                    // Somebody else's.
                    (Some(_), None) => Store::FoundationDb { servers: 0 },
                },
            };
            plan(&wanted(flags), stage, run, &choices)
        }
        None => kills(flags.kill.unwrap_or(0), run, &choices),
    }
}

/// What the network of the cluster does all the time.
pub(super) fn usual(flags: &Verify) -> Rule {
    let delay = Duration::from_millis(flags.delay.unwrap_or(0));
    Rule {
        is_blocked: false,
        loss_percent: flags.loss.unwrap_or(0),
        duplicate_percent: flags.duplicate.unwrap_or(0),
        reorder_percent: flags.reorder.unwrap_or(0),
        delay,
        jitter: delay / 2,
    }
}

fn wanted(flags: &Verify) -> Wanted {
    Wanted {
        kill: flags.kill.unwrap_or(0),
        stop: flags.stop.unwrap_or(0),
        partition: flags.partition.unwrap_or(0),
        storage_kill: flags.storage_kill.unwrap_or(0),
        drain: flags.drain.unwrap_or(0),
        join: flags.join.unwrap_or(0),
    }
}

/// What the nodes are to share. Other flags have been checked.
pub(super) fn storage(flags: &Verify) -> Result<StorageConfig, CommandFailure> {
    let usage = |message: &str| Err(CommandFailure::usage(message));
    match (&flags.store, &flags.fdb_bin) {
        (None, None) => Ok(StorageConfig::Node),
        (Some(_), Some(_)) => usage(
            "--fdb-bin starts a FoundationDB of its own, --store names one that somebody else runs: give one of them",
        ),
        (None, Some(_)) if cfg!(not(feature = "fdb-client")) => usage(
            "--fdb-bin: this build has no FoundationDB: build it with --features fdb (libfdb_c must be installed), or \
             leave it out for a storage node of its own",
        ),
        (None, Some(dir)) => Programs::of(dir).map(StorageConfig::Servers),
        (Some(text), None) => match StoreUrl::parse("--store", text)? {
            StoreUrl::FoundationDb(_) if flags.storage_kill.is_some() => usage(
                "--storage-kill is done to what is its own, and the FoundationDB of --store is not; give \
                 --fdb-bin DIR instead of it, or leave --storage-kill out",
            ),
            StoreUrl::FoundationDb(path) => Ok(StorageConfig::Database(path)),
            StoreUrl::Embedded | StoreUrl::Node { .. } => usage(
                "--store: give fdb:CLUSTER_FILE, or leave it out for a storage node of its own",
            ),
        },
    }
}

/// Refuses flags that do not go together, and says what to do.
pub(super) fn check_flags(flags: &Verify) -> Result<(), CommandFailure> {
    let usage = |message: String| Err(CommandFailure::usage(message));
    let of_cluster = [
        ("--store", flags.store.is_some()),
        ("--fdb-bin", flags.fdb_bin.is_some()),
        ("--stop", flags.stop.is_some()),
        ("--partition", flags.partition.is_some()),
        ("--storage-kill", flags.storage_kill.is_some()),
        ("--drain", flags.drain.is_some()),
        ("--join", flags.join.is_some()),
        ("--loss", flags.loss.is_some()),
        ("--delay", flags.delay.is_some()),
        ("--reorder", flags.reorder.is_some()),
        ("--duplicate", flags.duplicate.is_some()),
    ];
    let given = of_cluster.iter().find(|(_, is_given)| *is_given);
    if let (Some((flag, _)), None) = (given, flags.nodes) {
        return usage(format!(
            "{flag} is done to a cluster of its own: add --nodes 3"
        ));
    }
    let by = match (flags.nodes, flags.kill) {
        (None, None) => return Ok(()),
        (Some(_), _) => "--nodes",
        (None, Some(_)) => "--kill",
    };
    if let Some(server) = &flags.client.server
        && flag_or_variable("server", server).starts_with("--")
    {
        return usage(format!(
            "{by} starts nodes of its own, and touches no other: leave --server out"
        ));
    }
    let (seconds, faults) = (flags.seconds, wanted(flags).total());
    let each = seconds_per_fault(flags);
    match flags.nodes {
        None if faults > seconds => usage(format!(
            "--kill {faults}: at most one in each of the {seconds} seconds of --seconds"
        )),
        Some(_) if faults.saturating_mul(each) > seconds => usage(format!(
            "{faults} faults in {seconds} seconds: each takes {each} s, recovery included; give --seconds {} or ask \
             for fewer",
            faults.saturating_mul(each)
        )),
        None | Some(_) => Ok(()),
    }
}

/// Less leaves no time between two of them.
fn seconds_per_fault(flags: &Verify) -> u32 {
    match (&flags.fdb_bin, flags.storage_kill) {
        // FoundationDB recovers twice, without a server and with it, and takes a second or some for each.
        (Some(_), Some(_)) => 4,
        (None, _) | (Some(_), None) => 2,
    }
}

/// Keeps the decisions about faults apart from those of who takes part.
const FAULTS: u64 = 1 << 40;
