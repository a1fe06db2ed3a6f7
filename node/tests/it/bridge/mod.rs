//! The bridge over real sockets: a whole node in this process, and a client that speaks plain HTTP.

mod actors;
pub(crate) mod client;
mod cluster;
mod flood;
mod graphql;
mod health;
mod negotiation;
mod oauth;
mod openapi;
mod operations;
mod sessions;
mod slow;
mod sse;
mod tls;
pub(crate) mod websocket;
mod wrong;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, HostConfig};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration;
use selvedge_node::app::{Place, Running};
use selvedge_node::audit::{Keeper, KeeperConfig, Refusals};
use selvedge_node::bridge::{About, Bridge, BridgeConfig, Health, Inside, Origins, Part, RunError};
use selvedge_node::demo_app;
use selvedge_node::gateway::Gateway;
use selvedge_node::identity::{
    Authenticator, DevelopmentToken, IssueConfig, Logins, Principal, ResumeKey, Role, Secret,
    Tokens,
};
use selvedge_node::notice::{Following, Notices};
use selvedge_node::session::{self, SessionConfig, Sessions, no_other_nodes};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::client::Http;
use crate::permission::people::of_the_tenant;

/// Waiting longer than this is a failure of the test, not a measurement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An origin whose pages may use the node.
pub(crate) const ORIGIN: &str = "https://app.example";

/// The largest body that a test's node takes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) sessions: Sessions,
    /// What the store says of itself, to who asks how the node is.
    pub(crate) trouble: Arc<Mutex<Option<String>>>,
    pub(crate) store: Arc<Embedded>,
    clock: Clock,
    refusals: Refusals,
    _following: Following,
    _directory: tempfile::TempDir,
    application: Running,
    shutdown: oneshot::Sender<()>,
    bridge: JoinHandle<Result<(), RunError>>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(Arc::new(People), |_| {}).await
    }

    /// One that knows somebody else, or is configured otherwise.
    pub(crate) async fn with(
        authenticator: Arc<dyn Authenticator>,
        configure: impl FnOnce(&mut BridgeConfig),
    ) -> Self {
        Self::at(Clock::system(), authenticator, configure).await
    }

    /// The same at another time.
    pub(crate) async fn at(
        clock: Clock,
        authenticator: Arc<dyn Authenticator>,
        configure: impl FnOnce(&mut BridgeConfig),
    ) -> Self {
        Self::knowing(clock, Known::These(authenticator), configure).await
    }

    /// One that knows its administrator and whom its cluster has let in, as it is configured.
    pub(crate) async fn of_users(
        clock: Clock,
        config: IssueConfig,
        configure: impl FnOnce(&mut BridgeConfig),
    ) -> Self {
        Self::knowing(clock, Known::OfCluster(config), configure).await
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a node from its parts, one after the other"
    )]
    async fn knowing(
        clock: Clock,
        known: Known,
        configure: impl FnOnce(&mut BridgeConfig),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(EmbeddedConfig::new(directory.path())).unwrap());
        let meta = migration::prepare(&*store, &clock).await.unwrap();
        let place = Place {
            host: HostConfig {
                node: "node-1".to_owned(),
                idle_ms: 60_000,
                slots: meta.slots,
            },
            index_shards: meta.index_shards,
            store: Arc::clone(&store) as Arc<dyn Store>,
            key: meta.session_key,
            clock: clock.clone(),
        };
        let application = demo_app::application().unwrap();
        let application = application.start(place).await.unwrap();
        let refusals = Refusals::new(clock.clone());
        let (logins, authenticator) = known.parts(&application, &clock);
        let notices = Notices::begin(Arc::clone(&store) as Arc<dyn Store>, clock.clone()).await;
        let standings = application.directory.standings().clone();
        let notices = notices.unwrap().tell(move |heard| standings.heard(heard));
        let gateway = Gateway::new(&application).noting(refusals.clone());
        let service = Arc::new(gateway.issuing(logins.clone()));
        let sessions = session::Inside {
            service: service.clone(),
            workers: Some(application.workers()),
            authenticator: Arc::clone(&authenticator),
            resume_key: ResumeKey::new(&[7; 32]),
            clock: clock.clone(),
            others: no_other_nodes(),
        };
        let sessions = Sessions::start(SessionConfig::new("node-1"), sessions).await;
        let sessions = sessions.unwrap();
        let trouble: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&trouble);
        let look = move || {
            vec![Part {
                name: "store",
                reasons: told.lock().clone().into_iter().collect(),
            }]
        };
        let inside = Inside {
            runtime: Handle::current(),
            sessions: sessions.clone(),
            service,
            authenticator,
            logins,
            clock: clock.clone(),
            health: Health::new(look),
            about: Arc::new(about()),
            metrics: metrics(),
            bridges: no_other_nodes().http,
            config: Arc::new(serde_json::json!({ "name": "node-1" })),
        };
        let mut config = BridgeConfig {
            threads: 2,
            body_bytes_max: BODY_BYTES_MAX,
            origins: Origins::new(vec![ORIGIN.to_owned()]).unwrap(),
            drain: Duration::from_secs(5),
            ..BridgeConfig::new((Ipv4Addr::LOCALHOST, 0).into())
        };
        configure(&mut config);
        let bridge = Bridge::bind(config, inside).unwrap();
        let address = bridge.local_addr();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let bridge = tokio::spawn(bridge.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            sessions,
            trouble,
            store,
            clock,
            refusals,
            _following: notices.follow(),
            _directory: directory,
            application,
            shutdown,
            bridge,
        }
    }

    /// What keeps the audit trail of the node, from now on.
    pub(crate) fn keeper(&self, retention_days: u32) -> Keeper {
        let host = &self.application.host;
        Keeper::start(KeeperConfig {
            node: "node-1".to_owned(),
            trail: host.trail(),
            admin: host.admin().clone(),
            refusals: self.refusals.clone(),
            clock: self.clock.clone(),
            retention_days,
        })
    }

    /// The hosting of its actors.
    pub(crate) fn host(&self) -> &Host {
        &self.application.host
    }

    /// A client that is the administrator.
    pub(crate) fn admin(&self) -> Http {
        self.client("admin-token")
    }

    /// A client that is somebody of the tenant `default`.
    pub(crate) fn ann(&self) -> Http {
        self.client("ann-token")
    }

    pub(crate) fn client(&self, token: &str) -> Http {
        Http::new(self.address).header("authorization", &format!("Bearer {token}"))
    }

    /// A client without credentials.
    pub(crate) fn nobody(&self) -> Http {
        Http::new(self.address)
    }

    pub(crate) async fn stop(self) {
        let _ = self.shutdown.send(());
        let ended = tokio::time::timeout(PATIENCE, self.bridge).await;
        ended.unwrap().unwrap().unwrap();
        self.application.stop().await;
        self.store.close();
    }
}

fn about() -> About {
    About {
        node: "node-1".to_owned(),
        version: "0.1.0".to_owned(),
        protocol: vec![1],
        schema: 1,
        api: vec!["v1"],
        web_transport: None,
    }
}

/// Whom a node knows.
enum Known {
    These(Arc<dyn Authenticator>),
    OfCluster(IssueConfig),
}

impl Known {
    fn parts(self, application: &Running, clock: &Clock) -> (Logins, Arc<dyn Authenticator>) {
        let directory = application.directory.clone();
        match self {
            Self::These(authenticator) => {
                let logins = Logins::new(directory, &[7; 32], "selvedge:test".to_owned());
                (logins, authenticator)
            }
            Self::OfCluster(config) => {
                let logins = Logins::configured(directory, &[7; 32], config);
                let own = DevelopmentToken::new("admin", Secret::new("admin-token"));
                let tokens = Tokens::issued_here(own, Vec::new(), &logins, clock.clone());
                (logins, Arc::new(tokens))
            }
        }
    }
}

/// `admin` administers the cluster and every tenant; `ann` has all of the tenants `default` and `acme`.
struct People;

#[async_trait]
impl Authenticator for People {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        let name = match token {
            "admin-token" => "admin",
            "ann-token" => "ann",
            _ => {
                let message = "the token is not valid here";
                return Err(Failure::new(ErrorCode::Unauthenticated, message));
            }
        };
        let tenant = tenant.unwrap_or_else(Tenant::default_tenant);
        if name == "ann" && !["default", "acme"].contains(&tenant.as_str()) {
            let message = format!("ann may not act in {tenant}");
            return Err(Failure::new(ErrorCode::PermissionDenied, message));
        }
        Ok(match name {
            "admin" => Principal::new(name, tenant, [Role::ADMIN]).administering_the_cluster(),
            _ => Principal::new(name, tenant, [of_the_tenant()]),
        })
    }
}

/// What this process has counted.
pub(crate) fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let handle = PrometheusBuilder::new().install_recorder().unwrap();
        selvedge_cluster::metrics::describe();
        selvedge_node::metrics::describe();
        handle
    };
    HANDLE.get_or_init(install).clone()
}
