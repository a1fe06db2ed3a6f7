//! A node: what it starts, in which order, and how it stops.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, HostConfig};
use selvedge_cluster::membership::{Leave, Role};
use selvedge_cluster::peer::{Listener, PeerFiles};
use selvedge_cluster::privacy::ScopedSubject;
use selvedge_cluster::store::Store;
use selvedge_cluster::store::migration::{ClusterMeta, prepare};
use selvedge_protocol::error::chain;
use selvedge_protocol::limits;
use tokio::time::timeout;

use crate::app::{Application, Place, Running};
use crate::audit::{Keeper, KeeperConfig, Refusals};
use crate::edge::{BindError, BrowserTls, EdgeTls};
use crate::identity::Secret;
use crate::notice::{Following, Heard, Notice, Notices};
use crate::operate::bridge::{Started, metrics};
use crate::operate::certificates::usable_dir;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::membership::{Membership, MembershipParts, Own};
use crate::operate::others::nobody_yet;
use crate::operate::ports::{ClientAddresses, Doors, Ports, Serving};
use crate::operate::privacy::{unsealed, wrapper};
use crate::operate::store::OpenStore;
use crate::operate::tls_files::TlsFiles;

/// A node that serves.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    peer: Option<SocketAddr>,
    clients: ClientAddresses,
    /// Whether HTTP is HTTPS.
    is_https: bool,
    ports: Serving,
    /// `None`: it is alone on its store.
    membership: Option<Membership>,
    keeper: Keeper,
    application: Running,
    store: OpenStore,
    drain: Duration,
    /// Dropped with the node, it ends.
    _following: Following,
}

/// What a node is known by: to clients, and where it has anything to do with them, to other nodes.
#[derive(Debug)]
pub(crate) struct NodeFiles {
    /// `None`: it serves no clients.
    pub(crate) tls: Option<TlsFiles>,
    /// What browsers see in its place.
    pub(crate) browsers: Option<TlsFiles>,
    pub(crate) peer: Option<PeerFiles>,
    /// The key of a development node under which those of subjects are wrapped, where no other is given.
    pub(crate) development_key: Option<PathBuf>,
}

impl Node {
    /// Starts every part, the store first and the edge last: when this returns, clients are served, as far as
    /// the node is [ready](Self::ready).
    pub(crate) async fn start(
        config: &NodeConfig,
        files: &NodeFiles,
        token: Secret,
        application: Application,
    ) -> Result<Self, CommandFailure> {
        let tls = files
            .tls
            .as_ref()
            .map(|tls| check(config, tls, files.browsers.as_ref()))
            .transpose()?;
        let wrapper = wrapper(config, &application, files.development_key.as_deref())?;
        usable_dir(&config.origin("data_dir"), &config.data_dir)?;
        if config.has(Role::Bridge) {
            // First of all: what is counted before there is somebody who counts is counted by nobody for good.
            metrics()?;
        }
        let clock = Clock::system();
        let store = OpenStore::open(config, files.peer.as_ref(), clock.clone()).await?;
        let listener = store.listen(config)?;
        let meta = prepare(&*store.shared(), &clock)
            .await
            .map_err(|error| CommandFailure::failed(chain(&error)))?;
        let operations: Vec<String> = application.operations().map(ToString::to_string).collect();
        let unsealed = unsealed(store.shared(), wrapper);
        let place = place(config, &meta, unsealed, clock.clone());
        let application = run(application, config, place, listener.is_none()).await?;
        let following = follow(&application, store.shared(), clock.clone()).await?;
        let (tellers, others) = nobody_yet();
        let started = Started::new(store.shared());
        let doors = Doors::open(config, &meta, token, &application, &clock, others).await?;
        let sessions = doors.sessions.clone();
        let refusals = doors.refusals.clone();
        let ports = Ports::bind(config, &meta, tls, doors, &started)?;
        let clients = ports.addresses();
        let peer = listener.as_ref().map(Listener::local_addr);
        let own = Own {
            config,
            meta: &meta,
            peer,
            clients,
            operations: &operations,
        };
        let parts = MembershipParts {
            own,
            listener,
            host: application.host.clone(),
            processing: application.processing(),
            store: store.shared(),
            clock: clock.clone(),
            others: tellers,
            sessions,
        };
        let membership = Membership::start(parts).await?;
        started.as_member(membership.as_ref().map(Membership::readiness));
        let keeper = keep(config, &application, refusals, clock);
        let ClientAddresses { quic, http } = clients;
        tracing::info!(node = %config.name, ?quic, ?peer, ?http, cluster = %meta.cluster, schema = meta.schema, "node serves");
        Ok(Self {
            name: config.name.clone(),
            peer,
            clients,
            is_https: config.bridge.is_https(config.http),
            ports: ports.serve(),
            membership,
            keeper,
            application,
            store,
            drain: Duration::from_secs(config.drain_seconds.into()),
            _following: following,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where clients connect, with the real port, if they do.
    pub(crate) const fn quic_address(&self) -> Option<SocketAddr> {
        self.clients.quic
    }

    /// Where other nodes connect, with the real port, if there are any.
    pub(crate) const fn peer_address(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Where it serves HTTP, with the real port, if it does.
    pub(crate) const fn http_address(&self) -> Option<SocketAddr> {
        self.clients.http
    }

    /// Where people open its console, if it has one.
    pub(crate) fn console(&self) -> Option<String> {
        let scheme = if self.is_https { "https" } else { "http" };
        self.clients
            .http
            .map(|address| format!("{scheme}://{address}/"))
    }

    /// Completes when the node serves what it is there for. One that is alone does from its start on.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + use<> {
        let ready = self.membership.as_ref().map(Membership::ready);
        async move {
            if let Some(ready) = ready {
                ready.await;
            }
        }
    }

    /// Completes when a part has ended by itself: a defect, or the node is not wanted any more.
    pub(crate) async fn failed(&mut self) -> CommandFailure {
        let Self {
            ports, membership, ..
        } = self;
        let membership = async {
            match membership {
                None => std::future::pending().await,
                Some(membership) => membership.failed().await,
            }
        };
        tokio::select! {
            failure = ports.failed() => failure,
            failure = membership => failure,
        }
    }

    /// Lets what was accepted be answered and hands over what the node owns, within the deadline of the
    /// configuration, then stops every part in the reverse order of its start.
    pub(crate) async fn drain(self) {
        let ports = pin!(self.ports.drain());
        let membership = self.membership;
        let (leave, ports) = {
            let leaving = pin!(async {
                match &membership {
                    Some(membership) => membership.leave(self.drain).await,
                    None => Leave::Emptied,
                }
            });
            match select(ports, leaving).await {
                Either::Left(((), leaving)) => (leaving.await, None),
                Either::Right((leave, ports)) => (leave, Some(ports)),
            }
        };
        let rest = async {
            if let Some(ports) = ports {
                ports.await;
            }
            // Nobody is refused anything any more.
            self.keeper.stop().await;
            self.application.stop().await;
            if let Some(membership) = membership {
                membership.stop().await;
            }
            self.store.close().await;
        };
        match leave {
            Leave::Emptied | Leave::Late => rest.await,
            Leave::CutOff => {
                // What waits for the store waits in vain; nothing of it was acknowledged.
                if timeout(CUT_OFF_REST_MAX, rest).await.is_err() {
                    tracing::warn!("requests and operations were left that wait for the store");
                }
            }
        }
    }
}

/// Starts an application whose node is alone on its store, or one of several.
async fn run(
    application: Application,
    config: &NodeConfig,
    place: Place,
    is_alone: bool,
) -> Result<Running, CommandFailure> {
    let lease = Duration::from_millis(config.worker_lease_ms.into());
    let application = application
        .worker_lease(lease)
        .local_limits(config.local_limits);
    let running = match is_alone {
        true => application.start(place).await,
        false => application.start_idle(place).await,
    };
    running.map_err(|error| CommandFailure::failed(chain(&error)))
}

/// Tells whoever keeps copies of what is changed anywhere in the cluster, from before they read anything.
async fn follow(
    application: &Running,
    store: Arc<dyn Store>,
    clock: Clock,
) -> Result<Following, CommandFailure> {
    let notices = Notices::begin(store, clock).await;
    let notices = notices.map_err(|error| CommandFailure::failed(chain(&error)))?;
    let standings = application.directory.standings().clone();
    let host = application.host.clone();
    let notices = notices.tell(move |heard| standings.heard(heard));
    Ok(notices
        .tell(move |heard| subject_heard(&host, heard))
        .follow())
}

/// Ends what is in memory of subjects that were erased.
fn subject_heard(host: &Host, heard: Heard<'_>) {
    match heard {
        Heard::Notice(Notice::Subject { tenant, subject }) => host.subject_erased(&ScopedSubject {
            tenant: tenant.clone(),
            subject: subject.clone(),
        }),
        Heard::Notice(
            Notice::User { .. }
            | Notice::Role { .. }
            | Notice::ApiKey { .. }
            | Notice::TokenFamily { .. }
            | Notice::Token { .. }
            | Notice::SigningKey { .. }
            | Notice::Limit { .. }
            | Notice::Closed { .. },
        ) => {}
        Heard::Lost => host.subjects_lost(),
    }
}

/// Starts who writes refusals into the audit trail and lets go of old records.
fn keep(config: &NodeConfig, application: &Running, refusals: Refusals, clock: Clock) -> Keeper {
    Keeper::start(KeeperConfig {
        node: config.name.clone(),
        trail: application.host.trail(),
        admin: application.host.admin().clone(),
        refusals,
        clock,
        retention_days: config.audit.retention_days,
    })
}

fn place(config: &NodeConfig, meta: &ClusterMeta, store: Arc<dyn Store>, clock: Clock) -> Place {
    let host = HostConfig {
        node: config.name.clone(),
        idle_ms: limits::ACTOR_IDLE_MS,
        slots: meta.slots,
    };
    Place {
        host,
        index_shards: meta.index_shards,
        store,
        key: meta.session_key.clone(),
        clock,
    }
}

/// All that can be found wrong before anything is opened.
pub(crate) fn check(
    config: &NodeConfig,
    tls: &TlsFiles,
    browsers: Option<&TlsFiles>,
) -> Result<EdgeTls, CommandFailure> {
    let unfit = |key: &str, files: &TlsFiles, error: &BindError| {
        CommandFailure::usage(format!(
            "{} {} and key {}: {}",
            config.origin(key),
            files.certificate.display(),
            files.key.display(),
            chain(error)
        ))
    };
    let (certificates, key) = read_tls(config, ["tls.certificate", "tls.key"], tls)?;
    let mut read = EdgeTls {
        certificates,
        key,
        browsers: None,
    };
    read.check()
        .map_err(|error| unfit("tls.certificate", tls, &error))?;
    if let Some(files) = browsers {
        let keys = ["tls.browser_certificate", "tls.browser_key"];
        let (certificates, key) = read_tls(config, keys, files)?;
        let browsers = BrowserTls { certificates, key };
        browsers
            .check()
            .map_err(|error| unfit(keys[0], files, &error))?;
        read.browsers = Some(browsers);
    }
    Ok(read)
}

/// Reads what two keys of the configuration name.
fn read_tls(
    config: &NodeConfig,
    keys: [&str; 2],
    files: &TlsFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CommandFailure> {
    let unusable = |key: &str, path: &Path, error: pem::Error| {
        let (by, path) = (config.origin(key), path.display());
        CommandFailure::usage(format!("{by} {path}: {error}; give a PEM file"))
    };
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(keys[0], &files.certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable(keys[1], &files.key, error))?;
    Ok((certificates, key))
}

/// For last words to clients, and for what ends by itself.
const CUT_OFF_REST_MAX: Duration = Duration::from_secs(2);
