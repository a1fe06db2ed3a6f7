//! A node as a member of its cluster: the peer port, its membership, and the ownership of its host. Started
//! where the store is one that nodes share; a node on a store of its own is alone and has none of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_cluster::actor::Host;
use selvedge_cluster::forward::{Doubt, Forward, ForwardConfig};
use selvedge_cluster::membership::{
    Joining, Leave, Member, MemberConfig, Role, Standing, Timing, Versions,
};
use selvedge_cluster::ownership::{Ownership, OwnershipConfig};
use selvedge_cluster::peer::{Inbound, Listener};
use selvedge_cluster::store::migration::ClusterMeta;
use selvedge_cluster::store::{self, Store};
use selvedge_protocol::error::chain;
use selvedge_protocol::peer::Service;
use selvedge_protocol::version;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{MissedTickBehavior, timeout};

use crate::app::Processing;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::others::Tellers;
use crate::operate::ports::ClientAddresses;
use crate::operate::readiness::Readiness;
use crate::processing::Neighbours;
use crate::session::Sessions;

/// A member that runs.
#[derive(Debug)]
pub(crate) struct Membership {
    member: Member,
    ownership: Ownership,
    shutdown: Option<oneshot::Sender<()>>,
    listener: JoinHandle<()>,
    followers: [AbortHandle; 2],
    readiness: Readiness,
}

/// What a membership is made of.
pub(crate) struct MembershipParts<'a> {
    pub(crate) own: Own<'a>,
    /// `None`: the node has the store to itself.
    pub(crate) listener: Option<Listener>,
    pub(crate) host: Host,
    pub(crate) processing: Processing,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// Told of the other nodes that serve clients.
    pub(crate) others: Tellers,
    /// They go to others when this node is not to serve them, or cannot.
    pub(crate) sessions: Sessions,
}

impl Membership {
    /// Joins the cluster and begins to own what its plan says. When this returns, the node is
    /// [ready](Self::ready), or better serves without what it waits for. `None`: it is alone.
    pub(crate) async fn start(parts: MembershipParts<'_>) -> Result<Option<Self>, CommandFailure> {
        let failed = |error: &dyn std::error::Error| CommandFailure::failed(chain(error));
        let MembershipParts {
            own,
            listener,
            host,
            processing,
            store,
            clock,
            others,
            sessions,
        } = parts;
        let Some(listener) = listener else {
            host.admin().is_alone(own.joining());
            return Ok(None);
        };
        let config = MemberConfig {
            joining: own.joining(),
            slots: own.meta.slots,
            timing: Timing::default(),
        };
        let member = Member::start(config, store, clock.clone())
            .await
            .map_err(|error: store::Error| failed(&error))?;
        let links = listener.links(clock.clone());
        let looked_at = links.clone();
        member.reports(Box::new(move |now, doubted| {
            looked_at.unreachable(now, doubted)
        }));
        let doubting = member.clone();
        let forward = host.forward(ForwardConfig {
            views: member.view(),
            links: links.clone(),
            doubt: Box::new(move |doubt| match doubt {
                Doubt::Plan => doubting.poke(),
                Doubt::Node(name) => doubting.suspect(&name),
            }),
        });
        let views = member.view();
        processing.join(Neighbours { views, links }, &forward);
        let (shutdown, stopped) = oneshot::channel::<()>();
        let stopped = async {
            // An error is the end of the node: the same to the port.
            let _ = stopped.await;
        };
        let listener = tokio::spawn(listener.run(stopped, move |inbound| {
            Box::pin(serve(forward.clone(), processing.clone(), inbound))
        }));
        let ownership = Ownership::start(
            OwnershipConfig::default(),
            host.clone(),
            member.clone(),
            clock,
        );
        let readiness = Readiness::of(host, member.clone());
        let followers = [
            tokio::spawn(others.tell(member.view())).abort_handle(),
            tokio::spawn(move_sessions(member.clone(), sessions)).abort_handle(),
        ];
        let membership = Self {
            member,
            ownership,
            shutdown: Some(shutdown),
            listener,
            followers,
            readiness,
        };
        membership.settle().await;
        Ok(Some(membership))
    }

    /// How to see whether it is ready.
    pub(crate) fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Completes when the node serves what it is there for: it is a member, and has what the plan gives it.
    /// Meanwhile the log says what it waits for.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + use<> {
        let readiness = self.readiness();
        async move { readiness.ready().await }
    }

    /// Waits until the node is ready, or for as long as it better does not serve without what it waits for.
    async fn settle(&self) {
        let settled = timeout(SETTLE_MAX, self.readiness.ready()).await;
        if settled.is_err()
            && let Some(unready) = self.readiness.unready()
        {
            tracing::warn!("the node serves as far as it can, and is not ready: {unready}");
        }
    }

    /// Completes if the node cannot be a member any more.
    pub(crate) async fn failed(&self) -> CommandFailure {
        CommandFailure::failed(chain(&self.member.failed().await))
    }

    /// Hands over all that the node owns, within a time.
    pub(crate) async fn leave(&self, limit: Duration) -> Leave {
        let leave = self.member.leave(self.ownership.emptied(), limit).await;
        match leave {
            Leave::Emptied => tracing::info!("left the cluster"),
            Leave::Late => tracing::warn!("left the cluster with slots that nobody took in time"),
            Leave::CutOff => tracing::warn!(
                "the store cannot be reached, so nothing can be handed over: this node ends without it, and others \
                 take its slots when they find it dead"
            ),
        }
        leave
    }

    /// Closes the peer port.
    pub(crate) async fn stop(mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        if let Err(error) = (&mut self.listener).await {
            tracing::error!(%error, "the peer port did not end in order");
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.listener.abort();
        for follower in &self.followers {
            follower.abort();
        }
    }
}

/// What a node tells of itself.
pub(crate) struct Own<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) meta: &'a ClusterMeta,
    /// Where other nodes connect; `None`: there are none.
    pub(crate) peer: Option<SocketAddr>,
    /// Where clients connect.
    pub(crate) clients: ClientAddresses,
    /// The types that it has handlers for.
    pub(crate) operations: &'a [String],
}

impl Own<'_> {
    pub(crate) fn joining(&self) -> Joining {
        let config = self.config;
        let address = |told: &Option<String>, bound: Option<SocketAddr>| {
            let bound = bound?.to_string();
            Some(told.clone().unwrap_or(bound))
        };
        Joining {
            name: config.name.clone(),
            weight: match config.has(Role::Core) {
                true => config.weight,
                false => 0,
            },
            roles: config.roles.clone(),
            peer: address(&config.advertise_peer, self.peer).unwrap_or_default(),
            quic: address(&config.advertise_quic, self.clients.quic),
            http: address(&config.advertise_http, self.clients.http),
            operations: match config.has(Role::Processing) {
                true => self.operations.to_vec(),
                false => Vec::new(),
            },
            versions: Versions {
                binary: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: version::CURRENT,
                schema: self.meta.schema,
            },
        }
    }
}

async fn serve(forward: Forward, processing: Processing, inbound: Inbound) {
    match inbound.service {
        Service::Actors => forward.serve(inbound).await,
        Service::Processing => processing.serve(inbound).await,
        Service::Store => inbound.unserved(),
    }
}

/// Sends sessions away for as long as an operator drains the node or the others cannot reach it, and once when it is
/// cut off from the store: then it may be the store that is away, for all nodes, and sessions would only go round.
async fn move_sessions(member: Member, sessions: Sessions) {
    let (mut views, mut standings) = (member.view(), member.standing());
    // Those that come back because they find nobody else are told again.
    let mut again = tokio::time::interval(REDIRECT_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_member = true;
    loop {
        let is_away = {
            let view = views.borrow_and_update();
            view.own()
                .is_some_and(|own| own.is_drained || own.is_isolated)
        };
        let is_member = *standings.borrow_and_update() == Standing::Member;
        if is_away || (was_member && !is_member) {
            sessions.redirect_all();
        }
        was_member = is_member;
        tokio::select! {
            _ = again.tick(), if is_away => {}
            Ok(()) = views.changed() => {}
            Ok(()) = standings.changed() => {}
            else => return,
        }
    }
}

/// As often as a client that finds nobody else may come back.
const REDIRECT_AGAIN: Duration = Duration::from_secs(1);
/// Longer than a handover by force takes.
const SETTLE_MAX: Duration = Duration::from_secs(8);
