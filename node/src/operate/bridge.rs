//! The bridge of a node: what its configuration says, and what it may do with the node.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use selvedge_cluster::store::migration::ClusterMeta;
use selvedge_cluster::store::{self, Store};
use selvedge_protocol::error::chain;
use selvedge_protocol::version;
use tokio::time::MissedTickBehavior;

use crate::bridge::{
    About, BindError, Bridge, BridgeConfig, Health, Inside, Introspection, Origins, Part,
    WebTransport,
};
use crate::edge::EdgeTls;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::readiness::Readiness;

/// What a bridge says of its node before the node is started as a whole.
#[derive(Debug)]
pub(super) struct Started {
    readiness: Arc<OnceLock<Option<Readiness>>>,
    store: Arc<dyn Store>,
}

impl Started {
    /// For a node on this store.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            readiness: Arc::default(),
            store,
        }
    }

    /// The node is started; `None`: it is alone, and serves from now on.
    pub(super) fn as_member(&self, readiness: Option<Readiness>) {
        // Said once.
        let _ = self.readiness.set(readiness);
    }

    /// Whether the node serves what it is there for, as orchestrators ask it.
    pub(super) fn health(&self, node: &str) -> Health {
        let started = Arc::clone(&self.readiness);
        let store = Arc::clone(&self.store);
        let node = node.to_owned();
        Health::new(move || {
            let member = match started.get() {
                None => vec!["the node is starting; ask again in a moment".to_owned()],
                Some(None) => Vec::new(),
                Some(Some(readiness)) => {
                    let unready = readiness.unready();
                    let said = |it| format!("{it}; `selvedge cluster why {node}` says more");
                    unready.map(said).into_iter().collect()
                }
            };
            let stored = store.health().err().map(|error| reason(&error));
            vec![
                Part {
                    name: "node",
                    reasons: member,
                },
                Part {
                    name: "store",
                    reasons: stored.into_iter().collect(),
                },
            ]
        })
    }
}

/// Why nothing can be stored, and what helps.
fn reason(error: &store::Error) -> String {
    match error {
        store::Error::Unavailable(_) => {
            format!("{error}; see that it runs and that this node reaches it")
        }
        store::Error::Stopped(_) => format!("{error}; start this node again"),
        store::Error::Conflict | store::Error::TooOld | store::Error::CommitUnknown => {
            format!("{error}; ask again in a moment")
        }
        // These say themselves what helps.
        store::Error::Full { .. }
        | store::Error::Locked { .. }
        | store::Error::Corrupt { .. }
        | store::Error::Unreadable { .. }
        | store::Error::NewerSchema { .. }
        | store::Error::Unfinished => error.to_string(),
        store::Error::TooLarge { .. } | store::Error::Record { .. } => {
            format!("{error}; the node's log says more")
        }
    }
}

/// What runs here, and where browsers reach the edge, if there is one.
pub(super) fn about(
    config: &NodeConfig,
    meta: &ClusterMeta,
    web_transport: Option<WebTransport>,
) -> About {
    About {
        web_transport,
        node: config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: version::SPOKEN.to_vec(),
        schema: meta.schema,
        api: vec!["v1"],
    }
}

/// Binds the HTTP port. `tls` is what the node shows to its clients.
pub(super) fn bind_bridge(
    config: &NodeConfig,
    tls: Option<EdgeTls>,
    inside: Inside,
) -> Result<Bridge, CommandFailure> {
    let table = &config.bridge;
    let mut bridge = BridgeConfig {
        // Checked with the configuration.
        origins: Origins::new(table.origins.clone()).unwrap_or_default(),
        public_url: table.public_url.clone(),
        drain: Duration::from_secs(config.drain_seconds.into()),
        ..BridgeConfig::new(config.http)
    };
    if table.is_https(config.http) {
        bridge.tls = Some(tls.ok_or_else(|| {
            CommandFailure::usage(format!(
                "{}: HTTPS needs [tls] with its certificate and key; with tls = false in [bridge] it is plain HTTP, \
                 for a proxy in front that encrypts",
                config.origin("http")
            ))
        })?);
    }
    if let Some(threads) = table.threads {
        bridge.threads = usize::try_from(threads).unwrap_or(usize::MAX);
    }
    if let Some(connections) = table.connections_max {
        bridge.connections.connections_max = usize::try_from(connections).unwrap_or(usize::MAX);
    }
    let limits = &mut bridge.connections;
    for (rate, given) in [
        (&mut limits.address, table.address),
        (&mut limits.network, table.network),
        (&mut limits.loopback, table.loopback),
    ] {
        *rate = given.unwrap_or(*rate);
    }
    match table.graphql_introspection {
        None => {}
        Some(true) => bridge.graphql_introspection = Introspection::On,
        Some(false) => bridge.graphql_introspection = Introspection::Off,
    }
    Bridge::bind(bridge, inside).map_err(|error| unbound(config, &error))
}

/// A port that is in use is free another time; an address of another machine never is.
fn unbound(config: &NodeConfig, error: &BindError) -> CommandFailure {
    match error {
        BindError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
            let (by, said) = (config.origin("http"), chain(error));
            CommandFailure::usage(format!("{by}: {said}; use an address of this machine"))
        }
        BindError::Bind { .. } | BindError::Certificate(_) => CommandFailure::failed(chain(error)),
    }
}

/// What the process has counted, for `/metrics`. Counting begins with the first call; needs a tokio runtime then.
pub(super) fn metrics() -> Result<PrometheusHandle, CommandFailure> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| CommandFailure::failed(chain(&error)))?;
    selvedge_cluster::metrics::describe();
    crate::metrics::describe();
    let kept = handle.clone();
    tokio::spawn(async move {
        // Histograms gather what was recorded until somebody sums it up.
        let mut ticks = tokio::time::interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            kept.run_upkeep();
        }
    });
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// From a tenth of a millisecond, below which no commit is, to ten seconds, past which callers have given up.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// At 100,000 values a second half a million of eight bytes wait, at most.
const UPKEEP: Duration = Duration::from_secs(5);
