//! `selvedge dev --nodes N`: a small cluster on this machine. A storage node and N nodes are child processes of
//! this command, on one development authority; those that end by themselves are started again.
//!
//! The nodes are ordinary ones of `selvedge start`, each with a configuration in its directory. This
//! process serves nothing and holds nothing that they need: killed with -9 it takes them along.

mod child;
mod files;
mod keeper;
mod layout;
mod restart;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use futures::future::try_join_all;
use selvedge_cluster::Clock;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Duration;

use crate::operate::certificates::DevelopmentFiles;
use crate::operate::commands::serve::{Ready, leave_ready_file, read_token, wait_for_stop};
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::Profile;
use child::{Process, Startable};
use files::{Directory, NodeDirectory};
use keeper::{Happened, Keeper, News, Outside, Storage};
use layout::{Layout, STORAGE};

/// What `--ready-file` gets: that of `dev` for the first node, and all processes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterReady {
    #[serde(flatten)]
    first: Ready,
    nodes: Vec<NodeReady>,
    storage: StorageReady,
}

/// Addresses are `null` where nothing is served.
#[derive(Debug, Serialize)]
struct NodeReady {
    node: String,
    quic: Option<String>,
    peer: Option<String>,
    http: Option<String>,
    pid: u32,
}

#[derive(Debug, Serialize)]
struct StorageReady {
    node: String,
    peer: Option<String>,
    pid: u32,
}

/// Runs the cluster until it is told to stop, then drains it.
pub(crate) async fn run(
    printer: Printer,
    config: &NodeConfig,
    nodes: u8,
) -> Result<(), CommandFailure> {
    layout::check(config, nodes)?;
    // From here on, so that a start can be interrupted in order.
    let mut stop = std::pin::pin!(stop());
    let clock = Clock::system();
    let directory = Directory::open(config)?;
    let development = DevelopmentFiles::ensure(directory.by(), directory.path())?;
    let token = read_token("development token", &development.token)?;
    let layout = Layout::find(config, nodes, &clock)?;
    let (storage, nodes) = directory.write(config, &layout, &development)?;
    let starting = start_all(storage, nodes);
    let started = tokio::select! {
        started = starting => started?,
        () = &mut stop => {
            return Err(CommandFailure::failed("interrupted before the cluster was ready"));
        }
    };

    let mut ready = ready(&started, token, &development);
    let profile = Profile {
        server: servers(&ready.nodes),
        ca_file: development.ca.clone(),
        token: ready.first.token.clone().unwrap_or_default(),
        url: ready
            .first
            .console
            .as_ref()
            .map(|console| console.trim_end_matches('/').to_owned()),
    };
    profile.save(directory.path())?;
    leave_ready_file(config, &ready)?;
    printer.result(&ready, |ready| describe(ready, config));
    if directory.path().join("store").exists() {
        printer.note(&format!(
            "note: what `selvedge dev` without --nodes has stored in {} is another store",
            config.data_dir.display()
        ));
    }

    let mut kept = Kept::start(started, &clock);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(news) = kept.news.recv() => {
                note(&mut ready, &news);
                if let Err(failure) = leave_ready_file(config, &ready) {
                    printer.warn(&format!("warning: {}", failure.message));
                }
                printer.warn(&told(&news));
            }
        }
    }
    printer.warn("draining");
    kept.stop(
        printer,
        Duration::from_secs(config.drain_seconds.into()) + DRAIN_GRACE,
    )
    .await
}

/// Completes when told to stop, or when the terminal is closed, from this call on. As with [`wait_for_stop`], what
/// comes then ends the process at once.
fn stop() -> impl Future<Output = ()> {
    let stop = wait_for_stop();
    let hangup = signal(SignalKind::hangup());
    async move {
        let Ok(mut hangup) = hangup else {
            return stop.await;
        };
        let mut stop = Box::pin(stop);
        tokio::select! {
            () = &mut stop => {}
            _ = hangup.recv() => {
                tokio::spawn(async move {
                    stop.await;
                    std::process::exit(130);
                });
            }
        }
    }
}

/// All processes, each ready.
struct Started {
    storage: (Startable, Process),
    nodes: Vec<(Startable, Process)>,
}

/// The storage node first, then the others side by side.
async fn start_all(
    storage: NodeDirectory,
    nodes: Vec<NodeDirectory>,
) -> Result<Started, CommandFailure> {
    let program = std::env::current_exe()
        .map_err(|error| CommandFailure::failed(format!("this program is not found: {error}")))?;
    let start = async |directory: NodeDirectory| {
        let startable = Startable {
            program: program.clone(),
            directory,
        };
        match startable.start().await {
            Ok(process) => Ok((startable, process)),
            Err(error) => Err(CommandFailure::failed(format!(
                "{} {error} (its log: {})",
                startable.name(),
                startable.directory.log.display()
            ))),
        }
    };
    Ok(Started {
        storage: start(storage).await?,
        nodes: try_join_all(nodes.into_iter().map(start)).await?,
    })
}

fn ready(started: &Started, token: String, development: &DevelopmentFiles) -> ClusterReady {
    let nodes = started.nodes.iter().map(|(startable, process)| NodeReady {
        node: startable.name().to_owned(),
        quic: process.ready.quic.clone(),
        peer: process.ready.peer.clone(),
        http: process.ready.http.clone(),
        pid: process.id,
    });
    let nodes: Vec<_> = nodes.collect();
    let first = nodes.first();
    let console = started.nodes.first();
    let (_, storage) = &started.storage;
    ClusterReady {
        first: Ready {
            node: first.map(|it| it.node.clone()).unwrap_or_default(),
            quic: first.and_then(|it| it.quic.clone()),
            peer: first.and_then(|it| it.peer.clone()),
            http: first.and_then(|it| it.http.clone()),
            console: console.and_then(|(_, process)| process.ready.console.clone()),
            token: Some(token),
            ca_file: Some(development.ca.display().to_string()),
        },
        storage: StorageReady {
            node: STORAGE.to_owned(),
            peer: storage.ready.peer.clone(),
            pid: storage.id,
        },
        nodes,
    }
}

/// Where a client of the cluster goes: to any node, so that one that is gone is no matter.
fn servers(nodes: &[NodeReady]) -> String {
    let addresses = nodes.iter().filter_map(|node| node.quic.as_deref());
    addresses.map(reachable).collect::<Vec<_>>().join(",")
}

/// The address by which this machine reaches what listens there: a node that listens everywhere is also here.
fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())).to_string()
        }
        Ok(SocketAddr::V6(v6)) if v6.ip().is_unspecified() => {
            SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port())).to_string()
        }
        Ok(_) | Err(_) => address.to_owned(),
    }
}

fn describe(ready: &ClusterReady, config: &NodeConfig) -> String {
    let mut rows = vec![
        ["NODE", "CLIENTS (QUIC)", "PROCESS"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for node in &ready.nodes {
        let quic = node.quic.clone().unwrap_or_default();
        rows.push(vec![node.node.clone(), quic, node.pid.to_string()]);
    }
    let storage = &ready.storage;
    rows.push(vec![
        storage.node.clone(),
        "-".to_owned(),
        storage.pid.to_string(),
    ]);
    let victim = ready.nodes.last();
    let (victim, victim_pid) = victim.map_or(("", 0), |it| (it.node.as_str(), it.pid));
    format!(
        "{table}\n\ntoken: {token}\nlogs: {dir}/NODE/node.log\n\
         try, in other terminals:\n  selvedge actor watch room/42 --data-dir {dir}\n  \
         selvedge actor send room/42 say '{{\"text\":\"hello\"}}' --data-dir {dir}\n  \
         selvedge cluster status --data-dir {dir}\n  \
         kill -9 {victim_pid}   # {victim} is gone for some seconds, the others go on",
        table = table(&rows),
        token = ready.first.token.as_deref().unwrap_or_default(),
        dir = config.data_dir.display(),
    )
}

/// Keeps what is ready true.
fn note(ready: &mut ClusterReady, news: &News) {
    let Happened::Back { id, ready: now } = &news.what else {
        return;
    };
    if news.name == STORAGE {
        ready.storage.pid = *id;
        ready.storage.peer.clone_from(&now.peer);
    }
    for node in ready.nodes.iter_mut().filter(|it| it.node == news.name) {
        node.pid = *id;
        node.quic.clone_from(&now.quic);
        node.peer.clone_from(&now.peer);
        node.http.clone_from(&now.http);
    }
}

fn told(news: &News) -> String {
    let name = &news.name;
    let others = match name == STORAGE {
        true => "the nodes wait for it",
        false => "the others go on",
    };
    match &news.what {
        Happened::Ended { how, next } => format!(
            "{name} {how}; {others}; it is started again in {} s",
            next.as_secs()
        ),
        Happened::Back { id, .. } => format!("{name} is back (process {id})"),
    }
}

/// The processes as they are kept.
struct Kept {
    storage: Keeper,
    nodes: Vec<Keeper>,
    news: mpsc::Receiver<News>,
}

impl Kept {
    fn start(started: Started, clock: &Clock) -> Self {
        let (told, news) = mpsc::channel(NEWS_MAX);
        let (serves, served) = watch::channel(true);
        let outside = |storage| Outside {
            news: told.clone(),
            storage,
            clock: clock.clone(),
        };
        let (startable, process) = started.storage;
        let storage = Keeper::start(startable, process, outside(Storage::Is(serves)));
        let nodes = started.nodes.into_iter().map(|(startable, process)| {
            let storage = Storage::Needs(served.clone());
            Keeper::start(startable, process, outside(storage))
        });
        Self {
            storage,
            nodes: nodes.collect(),
            news,
        }
    }

    /// Drains one node after the other, and then the store that they need for it.
    async fn stop(self, printer: Printer, patience: Duration) -> Result<(), CommandFailure> {
        drop(self.news);
        let mut failures = Vec::new();
        for keeper in self.nodes.into_iter().chain([self.storage]) {
            if let Err(failure) = keeper.stop(patience).await {
                printer.warn(&failure);
                failures.push(failure);
            }
        }
        match failures.first() {
            None => Ok(()),
            Some(first) => Err(CommandFailure::failed(format!(
                "not all nodes ended in order: {first}"
            ))),
        }
    }
}

/// News that wait to be told: more than all nodes have at once.
const NEWS_MAX: usize = 32;
/// What a node takes beside its drain: closing the store, and what its process takes to end.
const DRAIN_GRACE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_every_interface_is_reached_here() {
        for (address, expected) in [
            ("0.0.0.0:7400", "127.0.0.1:7400"),
            ("[::]:7400", "[::1]:7400"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(reachable(address), expected);
        }
    }
}
