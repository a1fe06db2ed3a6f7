//! A node with nothing but an edge, and a raw peer that speaks frames, or anything else, to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selvedge_cluster::Clock;
use selvedge_node::edge::{BrowserTls, Edge, EdgeConfig, EdgeTls};
use selvedge_node::gateway::Service;
use selvedge_node::identity::{
    Authenticator, DevelopmentToken, Principal, ResumeKey, Role, Secret,
};
use selvedge_node::processing::worker::Workers;
use selvedge_node::session::{
    Addresses, Inside, OtherNodes, SessionConfig, Sessions, no_other_nodes,
};
use selvedge_protocol::frame::{
    ClientFrame, Command, Consistency, Hello, Outcome, Payload, Query, Reply, Request, ServerFrame,
    Since, Subscribe, Success, Welcome,
};
use selvedge_protocol::{ErrorCode, Failure, Target, Tenant, codec, version};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::service::Stand;

/// That of `tester`, who may do everything.
pub(crate) const TOKEN: &str = "the right token";
/// Another one of `tester`, with which it reads.
pub(crate) const VIEWER_TOKEN: &str = "a token to read";

/// A node's edge, serving.
pub(crate) struct Node {
    pub(crate) stand: Stand,
    pub(crate) sessions: Sessions,
    pub(crate) address: SocketAddr,
    certificate: CertificateDer<'static>,
    /// The one that browsers see.
    pub(super) browser_certificate: CertificateDer<'static>,
    /// What the edge says of that one.
    pub(super) browser_sha256: Option<[u8; 32]>,
    /// The same, PEM.
    pub(crate) authority: String,
    shutdown: oneshot::Sender<()>,
    pub(crate) running: JoinHandle<Result<(), selvedge_node::edge::RunError>>,
}

struct Tester;

#[async_trait]
impl Authenticator for Tester {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        if token == VIEWER_TOKEN {
            let tenant = tenant.unwrap_or_else(Tenant::default_tenant);
            return Ok(Principal::new("tester", tenant, [Role::VIEWER]));
        }
        let all = DevelopmentToken::new("tester", Secret::new(TOKEN));
        all.authenticate(token, tenant).await
    }
}

/// An inside that lets in whoever has one of the tokens, in any tenant.
pub(crate) fn inside(service: Arc<dyn Service>, workers: Option<Workers>) -> Inside {
    Inside {
        service,
        workers,
        authenticator: Arc::new(Tester),
        resume_key: ResumeKey::new(&[7; 32]),
        clock: Clock::system(),
        others: no_other_nodes(),
    }
}

/// The bounds of most tests.
pub(crate) fn config() -> EdgeConfig {
    EdgeConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(config(), SessionConfig::new("test")).await
    }

    pub(crate) async fn with(edge: EdgeConfig, session: SessionConfig) -> Self {
        let stand = Stand::new();
        let inside = inside(Arc::new(stand.clone()), None);
        Self::around(edge, session, inside, stand).await
    }

    /// One that knows of others, before the same stand-in as they.
    pub(crate) async fn among(others: Addresses, stand: Stand) -> Self {
        let quic = OtherNodes {
            quic: others,
            ..no_other_nodes()
        };
        Self::among_those(quic, stand).await
    }

    /// The same, whichever way they are reached.
    pub(crate) async fn among_those(others: OtherNodes, stand: Stand) -> Self {
        let mut inside = inside(Arc::new(stand.clone()), None);
        inside.others = others;
        Self::around(config(), SessionConfig::new("test"), inside, stand).await
    }

    /// One with something else inside; the stand-in is idle then.
    pub(crate) async fn around(
        edge: EdgeConfig,
        session: SessionConfig,
        inside: Inside,
        stand: Stand,
    ) -> Self {
        let sessions = Sessions::start(session, inside).await.unwrap();
        Self::over(edge, sessions, stand)
    }

    /// One for sessions that there are.
    pub(crate) fn over(edge: EdgeConfig, sessions: Sessions, stand: Stand) -> Self {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = issued.cert.der().clone();
        let browsers = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let browser_certificate = browsers.cert.der().clone();
        let tls = EdgeTls {
            certificates: vec![certificate.clone()],
            key: PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap(),
            browsers: Some(BrowserTls {
                certificates: vec![browser_certificate.clone()],
                key: PrivateKeyDer::try_from(browsers.signing_key.serialize_der()).unwrap(),
            }),
        };
        let edge = Edge::bind(edge, tls, sessions.clone()).unwrap();
        let address = edge.local_addr().unwrap();
        let browser_sha256 = edge.browser_certificate();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(edge.run(async move {
            let _ = stopped.await;
        }));
        Self {
            stand,
            sessions,
            address,
            certificate,
            browser_certificate,
            browser_sha256,
            authority: issued.cert.pem(),
            shutdown,
            running,
        }
    }

    /// Begins to drain.
    pub(crate) fn drain(self) -> JoinHandle<Result<(), selvedge_node::edge::RunError>> {
        let _ = self.shutdown.send(());
        self.running
    }

    /// A UDP socket that connects to this node.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint_speaking(version::ALPN)
    }

    /// The same, for another protocol above QUIC.
    pub(super) fn endpoint_speaking(&self, alpn: &[u8]) -> Endpoint {
        let mut roots = RootCertStore::empty();
        let is_native = alpn == version::ALPN;
        roots
            .add(match is_native {
                true => self.certificate.clone(),
                false => self.browser_certificate.clone(),
            })
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut crypto = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        crypto.alpn_protocols = vec![alpn.to_vec()];
        let crypto = QuicClientConfig::try_from(crypto).unwrap();
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        endpoint
    }

    /// A connection with an open control stream and nothing said.
    pub(crate) async fn connect(&self) -> Peer {
        self.connect_on(self.endpoint()).await
    }

    pub(crate) async fn connect_on(&self, endpoint: Endpoint) -> Peer {
        let connecting = endpoint.connect(self.address, "localhost").unwrap();
        let connection = connecting.await.unwrap();
        let (send, recv) = connection.open_bi().await.unwrap();
        Peer {
            endpoint,
            connection,
            send,
            reader: Reader::new(recv),
        }
    }

    /// A connection with a session of its own.
    pub(crate) async fn session(&self) -> (Peer, Welcome) {
        let mut peer = self.connect().await;
        peer.send(&[ClientFrame::Hello(hello(None))]).await;
        let welcome = peer.welcome().await;
        (peer, welcome)
    }

    /// Another connection for a session.
    pub(crate) async fn resume(&self, welcome: &Welcome) -> (Peer, Welcome) {
        let mut peer = self.connect().await;
        let hello = hello(Some(welcome.resume_token.clone()));
        peer.send(&[ClientFrame::Hello(hello)]).await;
        let welcome = peer.welcome().await;
        (peer, welcome)
    }
}

/// The raw end of a connection.
pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) reader: Reader,
}

/// Reads frames off a stream.
pub(crate) struct Reader {
    pub(crate) recv: RecvStream,
    buffer: BytesMut,
}

impl Reader {
    pub(crate) fn new(recv: RecvStream) -> Self {
        Self {
            recv,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame, `None` at the end of the stream, however it came.
    pub(crate) async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = codec::decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            let chunk = self.recv.read_chunk(usize::MAX, true).await.ok()??;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }

    /// So many bytes that are no frame; fewer where the stream ends.
    pub(crate) async fn bytes(&mut self, count: usize) -> BytesMut {
        while self.buffer.len() < count {
            match self.recv.read_chunk(usize::MAX, true).await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => break,
            }
        }
        self.buffer.split_to(count.min(self.buffer.len()))
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        match self.next().await {
            Some(ServerFrame::Reply(reply)) => reply,
            other => panic!("not a reply: {other:?}"),
        }
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, frames: &[ClientFrame]) {
        self.send_bytes(&encode(frames)).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Option<ServerFrame> {
        self.reader.next().await
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        self.reader.reply().await
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        match self.next().await {
            Some(ServerFrame::Welcome(welcome)) => welcome,
            other => panic!(
                "not a Welcome: {other:?}, {:?}",
                self.connection.close_reason()
            ),
        }
    }

    /// Reads on until the node ends the connection: the Goodbye's failure, and that the close code agrees.
    pub(crate) async fn expelled(&mut self) -> Failure {
        let mut failure = None;
        while let Some(frame) = self.next().await {
            if let ServerFrame::Goodbye(goodbye) = frame {
                failure = goodbye.failure;
            }
        }
        let failure = failure.expect("a Goodbye with its failure");
        assert_eq!(closed(&self.connection).await, close_code(failure.code));
        failure
    }
}

/// The code that the node closes the connection with.
pub(crate) async fn closed(connection: &Connection) -> u64 {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("not closed by the node: {other:?}"),
    }
}

pub(crate) fn close_code(code: ErrorCode) -> u64 {
    ErrorCode::ALL
        .iter()
        .position(|each| *each == code)
        .unwrap() as u64
        + 1
}

pub(crate) fn encode(frames: &[ClientFrame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        codec::encode(frame, &mut bytes).unwrap();
    }
    bytes
}

pub(crate) fn hello(resume: Option<Bytes>) -> Hello {
    Hello {
        versions: version::SPOKEN.to_vec(),
        token: TOKEN.to_owned(),
        tenant: None,
        agent: "test".to_owned(),
        resume,
        ext: Vec::new(),
    }
}

pub(crate) fn target() -> Target {
    Target::Actor("counter/one".parse().unwrap())
}

pub(crate) fn command(number: u64, name: &str) -> Command {
    Command {
        number,
        id: None,
        acknowledged: 0,
        target: target(),
        name: name.to_owned(),
        body: Bytes::from_static(b"{}"),
        payload: Payload::None,
        deadline_ms: 0,
        ext: Vec::new(),
    }
}

pub(crate) fn query(number: u64, name: &str, body: impl Into<Bytes>) -> ClientFrame {
    ClientFrame::Query(Query {
        number,
        target: target(),
        name: name.to_owned(),
        body: body.into(),
        consistency: Consistency::Linearizable,
        deadline_ms: 0,
        ext: Vec::new(),
    })
}

pub(crate) fn subscribe(subscription: u64, since: Since) -> ClientFrame {
    ClientFrame::Subscribe(Subscribe {
        subscription,
        target: target(),
        since,
        ext: Vec::new(),
    })
}

/// The success of the reply, which must be to this request.
pub(crate) fn success(reply: Reply, request: Request) -> Success {
    assert_eq!(reply.request, request);
    match reply.outcome {
        Outcome::Success(success) => success,
        Outcome::Failure(failure) => panic!("{request:?} failed: {failure}"),
    }
}

/// The failure of the reply, which must be to this request.
pub(crate) fn failure(reply: Reply, request: Request) -> Failure {
    assert_eq!(reply.request, request);
    match reply.outcome {
        Outcome::Success(success) => panic!("{request:?} succeeded: {success:?}"),
        Outcome::Failure(failure) => failure,
    }
}

/// Longer than anything here takes, shorter than anybody waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
