//! What is taken away is gone on every node: three of them on one store, each with sessions, and keys that are revoked,
//! roles that change, sessions that are closed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use selvedge_cluster::Clock;
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_node::identity::{Action, Permission, Resource};
use selvedge_node::identity::{
    Authenticator, ClientName, DevelopmentToken, Directory, Grant, KeyMaker, Login, Logins, NewKey,
    NewUser, Password, Principal, ResumeKey, Role, RoleWrite, Rotation, Scope, Secret, Tokens,
    Username, authorize,
};
use selvedge_node::notice::{Following, Notices};
use selvedge_node::session::{
    End, Inside, LinkReceiver, NodeRoom, Outgoing, SessionConfig, SessionHandle, Sessions, link,
    no_other_nodes,
};
use selvedge_protocol::frame::{ClientFrame, Hello, ServerFrame};
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::edge::peer::hello;
use crate::edge::service::Stand;

/// What is in force within it, as DESIGN says.
const SOON: Duration = Duration::from_secs(1);

/// A node without ports: who comes in over a port comes by here.
struct Node {
    directory: Directory,
    logins: Logins,
    authenticator: Arc<dyn Authenticator>,
    sessions: Sessions,
    following: Following,
}

struct Cluster {
    nodes: Vec<Node>,
    clock: Clock,
    _files: tempfile::TempDir,
}

/// A client's end of a session.
struct Session {
    _handle: SessionHandle,
    receiver: LinkReceiver,
    resume: Bytes,
}

impl Node {
    async fn start(name: &str, store: Arc<dyn Store>, clock: &Clock) -> Self {
        let directory =
            Directory::new(Arc::clone(&store), clock.clone(), &SessionKey::new([7; 32]));
        let notices = Notices::begin(store, clock.clone()).await.unwrap();
        let standings = directory.standings().clone();
        let following = notices.tell(move |heard| standings.heard(heard)).follow();
        let own = DevelopmentToken::new("admin", Secret::new("the operator's"));
        let logins = Logins::new(directory.clone(), &[7; 32], "selvedge:test".to_owned());
        let tokens = Tokens::issued_here(own, Vec::new(), &logins, clock.clone());
        let authenticator: Arc<dyn Authenticator> = Arc::new(tokens);
        let inside = Inside {
            service: Arc::new(Stand::new()),
            workers: None,
            authenticator: Arc::clone(&authenticator),
            resume_key: ResumeKey::new(&[7; 32]),
            clock: clock.clone(),
            others: no_other_nodes(),
        };
        let sessions = Sessions::start(SessionConfig::new(name), inside).await;
        Self {
            directory,
            logins,
            authenticator,
            sessions: sessions.unwrap(),
            following,
        }
    }

    async fn open(&self, token: &str, resume: Option<Bytes>) -> Result<Session, Failure> {
        let (sender, receiver) = link(NodeRoom::new(0).connection());
        let hello = Hello {
            token: token.to_owned(),
            ..hello(resume)
        };
        let handle = self
            .sessions
            .open(ClientFrame::Hello(hello), sender)
            .await?;
        let first = receiver.next().await;
        let Some(Outgoing::Frame(ServerFrame::Welcome(welcome))) = first.items.into_iter().next()
        else {
            panic!("no Welcome");
        };
        Ok(Session {
            _handle: handle,
            receiver,
            resume: welcome.resume_token,
        })
    }
}

impl Session {
    /// Waits for the end of the connection.
    async fn ended(&self) -> Failure {
        loop {
            match self.receiver.next().await.end {
                Some(End::Failed(failure)) => return failure,
                Some(other) => panic!("{other:?}"),
                None => {}
            }
        }
    }
}

impl Cluster {
    async fn three() -> Self {
        let files = tempfile::tempdir().unwrap();
        let store = Embedded::open(EmbeddedConfig::new(files.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock = Clock::system();
        let mut nodes = Vec::new();
        for name in ["node-1", "node-2", "node-3"] {
            nodes.push(Node::start(name, Arc::clone(&store), &clock).await);
        }
        Self {
            nodes,
            clock,
            _files: files,
        }
    }

    /// A new key: its id and its text.
    async fn key(&self, roles: &[&str]) -> (String, String) {
        let by = &admin();
        let request = &self.clock.random().to_be_bytes();
        let new = NewKey {
            name: "a key".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            expires_ms: None,
        };
        let maker = KeyMaker { by, request };
        let made = self.nodes[0].directory.make_api_key(maker, new).await;
        let made = made.unwrap();
        (made.key.id, made.text.reveal().to_owned())
    }

    async fn role(&self, name: &str, rules: &[&str]) {
        let write = RoleWrite {
            name: name.to_owned(),
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            if_version: None,
        };
        let directory = &self.nodes[1].directory;
        directory.set_role(&admin(), write).await.unwrap();
    }

    /// Adds a user who may see everything.
    async fn user(&self, name: &str) {
        let directory = &self.nodes[0].directory;
        let kept = directory.keep(password(), &[name]).await.unwrap();
        let new = NewUser {
            username: Username::new(name).unwrap(),
            email: None,
            roles: vec!["viewer".to_owned()],
            password: Some(kept),
        };
        directory.create_user(&admin(), new).await.unwrap();
    }

    /// Logs a user in at a node.
    async fn log_in(&self, at: usize, name: &str) -> Grant {
        let login = Login {
            tenant: Tenant::default_tenant(),
            username: name.to_owned(),
            password: password(),
            client: client(),
            address: IpAddr::from([192, 0, 2, 1]),
        };
        self.nodes[at].logins.log_in(login).await.unwrap()
    }

    /// Two sessions on each node.
    async fn sessions(&self, token: &str) -> Vec<Session> {
        let mut sessions = Vec::new();
        for node in self.nodes.iter().chain(&self.nodes) {
            sessions.push(node.open(token, None).await.unwrap());
        }
        sessions
    }

    async fn come(&self, token: &str) -> Vec<Result<Principal, Failure>> {
        let each = self.nodes.iter();
        join_all(each.map(|node| node.authenticator.authenticate(token, None))).await
    }
}

fn admin() -> Principal {
    Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN])
}

fn password() -> Password {
    Password::new("vier Pferde kauen Heu".to_owned()).unwrap()
}

fn client() -> ClientName {
    ClientName::new("cli").unwrap()
}

async fn all_ended(sessions: &[Session]) -> Vec<Failure> {
    join_all(sessions.iter().map(Session::ended)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_nobody_s_within_a_second_on_any_node() {
    let cluster = Cluster::three().await;
    let (_, other) = cluster.key(&["viewer"]).await;
    let bystanders = cluster.sessions(&other).await;
    // The best of three: a machine that does something else may be late, a node that is not told always is.
    let mut times = Vec::new();
    for round in 0..3 {
        let (id, key) = cluster.key(&["viewer"]).await;
        let sessions = cluster.sessions(&key).await;
        let began = cluster.clock.monotonic();
        let directory = &cluster.nodes[round].directory;
        let revoked = directory
            .revoke_api_key(&admin(), Scope::Any, &id, None)
            .await;
        revoked.unwrap();
        let failures = all_ended(&sessions).await;
        times.push(began.elapsed());
        for failure in failures {
            assert_eq!(
                failure.code,
                ErrorCode::Unavailable,
                "so that it comes again"
            );
        }
        // Neither the key nor what remembers the session opens anything, on any node.
        for (node, session) in cluster.nodes.iter().zip(&sessions) {
            for resume in [None, Some(session.resume.clone())] {
                let refused = node.open(&key, resume).await.err().unwrap();
                assert_eq!(refused.code, ErrorCode::Unauthenticated);
            }
        }
        for refused in cluster.come(&key).await {
            assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthenticated);
        }
    }
    assert!(times.iter().min().unwrap() < &SOON, "{times:?}");
    for node in &cluster.nodes {
        let listed = node.sessions.list(
            selvedge_node::session::SessionFilter {
                tenant: None,
                principal: None,
            },
            None,
            100,
        );
        let connected = listed.iter().filter(|it| it.transport.is_some());
        assert_eq!(connected.count(), 2, "the bystander's");
    }
    drop(bystanders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_that_is_revoked_is_nobody_s_within_a_second_and_its_login_goes_on() {
    let cluster = Cluster::three().await;
    cluster.user("ann").await;
    let mut times = Vec::new();
    for round in 0..3 {
        let grant = cluster.log_in(round, "ann").await;
        let token = grant.access.reveal();
        let node = &cluster.nodes[(round + 1) % 3];
        let refreshed = node.logins.refresh(grant.refresh.reveal(), &client()).await;
        let other = refreshed.unwrap();
        let sessions = cluster.sessions(token).await;
        let others = cluster.sessions(other.access.reveal()).await;
        let began = cluster.clock.monotonic();
        node.logins.revoke(token).await.unwrap();
        let failures = all_ended(&sessions).await;
        times.push(began.elapsed());
        assert!(failures.iter().all(|it| it.code == ErrorCode::Unavailable));
        for refused in cluster.come(token).await {
            assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthenticated);
        }
        for known in cluster.come(other.access.reveal()).await {
            assert!(known.is_ok());
        }
        drop(others);
    }
    assert!(times.iter().min().unwrap() < &SOON, "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_s_token_ends_with_the_key_on_every_node() {
    let cluster = Cluster::three().await;
    let (id, key) = cluster.key(&["viewer"]).await;
    let granted = cluster.nodes[0].logins.grant_to_key(&id, &key).await;
    let granted = granted.unwrap();
    let token = granted.access.reveal();
    for principal in cluster.come(token).await {
        assert_eq!(&*principal.unwrap().name, format!("key:{id}"));
    }
    let sessions = cluster.sessions(token).await;
    let began = cluster.clock.monotonic();
    let directory = &cluster.nodes[1].directory;
    let revoked = directory
        .revoke_api_key(&admin(), Scope::Any, &id, None)
        .await;
    revoked.unwrap();
    all_ended(&sessions).await;
    let took = began.elapsed();
    assert!(took < 10 * SOON, "{took:?}");
    for refused in cluster.come(token).await {
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthenticated);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_key_that_others_know_signs_nothing_any_more_on_any_node() {
    let cluster = Cluster::three().await;
    cluster.user("ann").await;
    let grant = cluster.log_in(0, "ann").await;
    let token = grant.access.reveal();
    let sessions = cluster.sessions(token).await;
    // One that is made ahead changes nothing yet.
    let logins = &cluster.nodes[1].logins;
    let ahead = logins.rotate_keys(&admin(), Rotation::Ahead).await.unwrap();
    let again = logins.rotate_keys(&admin(), Rotation::Ahead).await.unwrap();
    assert_eq!((&ahead.id, ahead.removed.len()), (&again.id, 0));
    let published = logins.published_keys().await.unwrap();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    assert!(cluster.come(token).await.iter().all(Result::is_ok));

    let began = cluster.clock.monotonic();
    let now = logins.rotate_keys(&admin(), Rotation::Now).await.unwrap();
    assert_eq!(now.removed.len(), 2);
    all_ended(&sessions).await;
    let took = began.elapsed();
    assert!(took < 10 * SOON, "{took:?}");
    for refused in cluster.come(token).await {
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unauthenticated);
    }
    let published = logins.published_keys().await.unwrap();
    assert_eq!(published["keys"][0]["kid"], now.id);
    assert_eq!(published["keys"].as_array().unwrap().len(), 1);
    // Whoever has logged in goes on, at each node at once, with what the new one has signed.
    for node in &cluster.nodes {
        let refreshed = node.logins.refresh(grant.refresh.reveal(), &client()).await;
        let next = refreshed.unwrap();
        for known in cluster.come(next.access.reveal()).await {
            assert!(known.is_ok(), "{known:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_changes_is_in_force_for_sessions_that_go_on() {
    let cluster = Cluster::three().await;
    cluster.role("teller", &["actor:tell"]).await;
    let (_, key) = cluster.key(&["teller"]).await;
    let sessions = cluster.sessions(&key).await;
    let began = cluster.clock.monotonic();
    cluster.role("teller", &["actor:read"]).await;
    for failure in all_ended(&sessions).await {
        assert_eq!(failure.code, ErrorCode::Unavailable);
    }
    let took = began.elapsed();
    assert!(took < 10 * SOON, "{took:?}");
    // The sessions go on, as what they are now.
    for (node, session) in cluster.nodes.iter().zip(&sessions) {
        let again = node.open(&key, Some(session.resume.clone())).await;
        assert!(again.is_ok());
    }
    for principal in cluster.come(&key).await {
        let principal = principal.unwrap();
        assert!(authorize(&principal, Permission::new(Resource::Actor, Action::Tell)).is_err());
        assert!(authorize(&principal, Permission::new(Resource::Actor, Action::Read)).is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_of_a_principal_are_closed_at_once() {
    let cluster = Cluster::three().await;
    let (id, key) = cluster.key(&["viewer"]).await;
    let sessions = cluster.sessions(&key).await;
    let operators = cluster.sessions("the operator's").await;
    let directory = &cluster.nodes[2].directory;
    directory
        .close_sessions(&admin(), &format!("key:{id}"))
        .await
        .unwrap();
    for failure in all_ended(&sessions).await {
        assert_eq!(
            failure.code,
            ErrorCode::PermissionDenied,
            "final for a client"
        );
        assert!(failure.message.contains("closed"), "{failure}");
    }
    // Its credential is as good as it was.
    for principal in cluster.come(&key).await {
        assert!(principal.is_ok());
    }
    // In another tenant the name is somebody else's.
    let acme = Principal::new("admin", Tenant::new("acme").unwrap(), [Role::ADMIN]);
    directory.close_sessions(&acme, "admin").await.unwrap();
    directory.close_sessions(&admin(), "admin").await.unwrap();
    for failure in all_ended(&operators).await {
        assert_eq!(failure.code, ErrorCode::PermissionDenied);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nothing_is_the_one_that_does_not_know() {
    let mut cluster = Cluster::three().await;
    let (id, key) = cluster.key(&["viewer"]).await;
    let deaf = cluster.nodes.remove(2);
    drop(deaf.following);
    assert!(deaf.authenticator.authenticate(&key, None).await.is_ok());
    let directory = &cluster.nodes[0].directory;
    directory
        .revoke_api_key(&admin(), Scope::Any, &id, None)
        .await
        .unwrap();
    // What it has verified it believes for a minute; this is what the notices are for.
    assert!(deaf.authenticator.authenticate(&key, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_for_its_tenant_alone() {
    let cluster = Cluster::three().await;
    let (_, key) = cluster.key(&["admin"]).await;
    let authenticator = &cluster.nodes[0].authenticator;
    let acme = Tenant::new("acme").unwrap();
    // At first, and from memory.
    for _ in 0..2 {
        let refused = authenticator.authenticate(&key, Some(acme.clone())).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, ErrorCode::PermissionDenied);
        assert_eq!(refused.field.as_deref(), Some("tenant"));
        let principal = authenticator.authenticate(&key, None).await.unwrap();
        assert_eq!(principal.tenant, Tenant::default_tenant());
        let read = Permission::new(Resource::Config, Action::Read);
        assert!(authorize(&principal, read).is_err(), "not of the cluster");
    }
}
