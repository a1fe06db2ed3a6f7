//! The whole thread: the native client, the edge, sessions, actors, operations and the embedded store.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::PrivateKeyDer;
use selvedge_client::{
    CallError, Client, EventItem, ListQuery, OperationId, OperationStatus, OperationType, Since,
    Submit, Target, actor,
};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::HostConfig;
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration;
use selvedge_node::app::{Place, Running};
use selvedge_node::demo_app;
use selvedge_node::edge::{Edge, EdgeConfig, EdgeTls, RunError};
use selvedge_node::gateway::Gateway;
use selvedge_node::identity::{DevelopmentToken, ResumeKey, Secret};
use selvedge_node::session::{Inside, SessionConfig, Sessions, no_other_nodes};
use selvedge_protocol::ErrorCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const TOKEN: &str = "the right token";

/// A certificate that outlives the node that shows it.
struct Certificate {
    issued: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Certificate {
    fn new() -> Self {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { issued }
    }

    fn tls(&self) -> EdgeTls {
        let key = self.issued.signing_key.serialize_der();
        EdgeTls {
            certificates: vec![self.issued.cert.der().clone()],
            key: PrivateKeyDer::try_from(key).unwrap(),
            browsers: None,
        }
    }

    async fn client(&self, address: SocketAddr) -> Client {
        let client = Client::builder()
            .server(address.to_string())
            .server_name("localhost")
            .ca_pem(self.issued.cert.pem())
            .token(TOKEN);
        client.connect().await.unwrap()
    }
}

struct Node {
    address: SocketAddr,
    store: Arc<Embedded>,
    application: Running,
    shutdown: oneshot::Sender<()>,
    edge: JoinHandle<Result<(), RunError>>,
}

impl Node {
    async fn start(directory: &Path, certificate: &Certificate, port: u16) -> Self {
        let store = Arc::new(Embedded::open(EmbeddedConfig::new(directory)).unwrap());
        let clock = Clock::system();
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
        let gateway = Gateway::new(&application);
        let inside = Inside {
            service: Arc::new(gateway),
            workers: None,
            authenticator: Arc::new(DevelopmentToken::new("tester", Secret::new(TOKEN))),
            resume_key: ResumeKey::new(&[7; 32]),
            clock,
            others: no_other_nodes(),
        };
        let sessions = SessionConfig::new("node-1");
        let sessions = Sessions::start(sessions, inside).await.unwrap();
        let config = EdgeConfig::new((Ipv4Addr::LOCALHOST, port).into());
        let edge = Edge::bind(config, certificate.tls(), sessions).unwrap();
        let address = edge.local_addr().unwrap();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let edge = tokio::spawn(edge.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            store,
            application,
            shutdown,
            edge,
        }
    }

    async fn stop(self) {
        let _ = self.shutdown.send(());
        self.edge.await.unwrap().unwrap();
        self.application.stop().await;
        self.store.close();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_are_commanded_queried_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let node = Node::start(directory.path(), &certificate, 0).await;
    let client = certificate.client(node.address).await;
    let session = client.session();
    for key in ["a", "b"] {
        let counter = actor(&format!("counter/{key}")).unwrap();
        let added = session.command(counter.clone(), "add", json!({ "by": 2 }));
        assert_eq!(added.send().await.unwrap().seq, 1);
        let count: Value = session.query(counter, "get", ()).json().await.unwrap();
        assert!(count.to_string().contains('2'), "{count}");
    }
    let list = json!({ "kind": "counter" });
    let page: Value = session
        .query(Target::Actors, "list", list)
        .json()
        .await
        .unwrap();
    assert_eq!(page, json!({ "keys": ["a", "b"] }));

    // What is internal or unknown is not there for clients.
    for hidden in ["operation/x", "nothing/x"] {
        let call = session.command(actor(hidden).unwrap(), "submit", json!({}));
        match call.send().await {
            Err(CallError::Failure(failure)) => assert_eq!(failure.code, ErrorCode::UnknownKind),
            other => panic!("{hidden}: {other:?}"),
        }
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_run_to_their_result() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let node = Node::start(directory.path(), &certificate, 0).await;
    let client = certificate.client(node.address).await;
    let session = client.session();
    // Inline, attached, and streamed.
    for bytes in [
        0,
        1_000,
        64 * 1024,
        1 << 20,
        8 << 20,
        (8 << 20) + 1,
        20 << 20,
    ] {
        let id = OperationId::new(format!("digest-{bytes}")).unwrap();
        let submit = Submit::new(OperationType::new("digest").unwrap())
            .id(id.clone())
            .payload(Bytes::from(vec![7; bytes]));
        session.submit(submit).await.unwrap();
        let done = tokio::time::timeout(Duration::from_secs(60), session.wait(&id));
        let done = done.await.unwrap().unwrap();
        assert_eq!(done.status, OperationStatus::Succeeded, "{bytes}: {done:?}");
        let result: Value = done.result_as().unwrap();
        assert_eq!(result["bytes"], bytes);
    }
    let page = session.list(&ListQuery::default()).await.unwrap();
    assert_eq!(page.items.len(), 7);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_outlives_restarts_of_its_node() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new();
    let mut node = Node::start(directory.path(), &certificate, 0).await;
    let client = certificate.client(node.address).await;
    let session = client.session();
    let room = actor("room/one").unwrap();
    let mut events = session
        .subscribe(room.clone(), Since::After(0))
        .await
        .unwrap();
    let mut seq = 0;
    for round in 0..3 {
        for _ in 0..10 {
            let said = session.command(room.clone(), "say", json!({ "text": round.to_string() }));
            said.send().await.unwrap();
            seq += 1;
            match events.next().await {
                Some(Ok(EventItem::Event { seq: heard, .. })) => assert_eq!(heard, seq),
                other => panic!("not the event {seq}: {other:?}"),
            }
        }
        let address = node.address;
        node.stop().await;
        // The socket goes with the last task that holds it, a moment later.
        while UdpSocket::bind(address).is_err() {
            tokio::task::yield_now().await;
        }
        let port = address.port();
        node = Node::start(directory.path(), &certificate, port).await;
    }
    client.close().await;
    node.stop().await;
}
