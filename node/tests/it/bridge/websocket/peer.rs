//! A node with nothing but a bridge, and a raw peer that speaks WebSocket to it, in either form.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use metrics_exporter_prometheus::PrometheusBuilder;
use selvedge_cluster::Clock;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration::SessionKey;
use selvedge_node::bridge::{
    About, Bridge, BridgeConfig, Health, Inside, Origins, RunError, WebSocketConfig,
};
use selvedge_node::gateway::Service;
use selvedge_node::identity::{DevelopmentToken, Directory, Logins, Secret};
use selvedge_node::session::{SessionConfig, Sessions};
use selvedge_protocol::frame::{ClientFrame, Reply, ServerFrame, Welcome};
use selvedge_protocol::{Failure, codec, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::edge::peer::{PATIENCE, TOKEN, hello, inside};
use crate::edge::service::Stand;

/// The forms of the protocol.
pub(crate) const FORMS: [&str; 2] = [JSON, BINARY];
pub(crate) const JSON: &str = "selvedge.v1.json";
pub(crate) const BINARY: &str = "selvedge.v1.bin";

/// Another bridge of the cluster that a node knows of.
pub(crate) const OTHER_BRIDGE: &str = "node-2.example:7480";

/// The opcodes of RFC 6455.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BIN: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A node's bridge, serving.
pub(crate) struct Node {
    pub(crate) stand: Stand,
    pub(crate) sessions: Sessions,
    pub(crate) address: SocketAddr,
    _files: tempfile::TempDir,
    shutdown: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

/// Nobody logs in at such a node, but a bridge has somebody to ask.
fn logins(files: &Path) -> Logins {
    let store = Arc::new(Embedded::open(EmbeddedConfig::new(files)).unwrap());
    let directory = Directory::new(store, Clock::system(), &SessionKey::new([7; 32]));
    Logins::new(directory, &[7; 32], "selvedge:test".to_owned())
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(WebSocketConfig::default(), SessionConfig::new("test")).await
    }

    pub(crate) async fn with(websocket: WebSocketConfig, session: SessionConfig) -> Self {
        let stand = Stand::new();
        let service: Arc<dyn Service> = Arc::new(stand.clone());
        let sessions = Sessions::start(session, inside(Arc::clone(&service), None));
        let sessions = sessions.await.unwrap();
        let mut config = BridgeConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        config.threads = 1;
        config.drain = Duration::from_secs(5);
        config.websocket = websocket;
        config.origins = Origins::new(vec!["https://app.example".to_owned()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let inside = Inside {
            logins: logins(files.path()),
            runtime: tokio::runtime::Handle::current(),
            sessions: sessions.clone(),
            service,
            authenticator: Arc::new(DevelopmentToken::new("tester", Secret::new(TOKEN))),
            clock: Clock::system(),
            health: Health::new(Vec::new),
            about: Arc::new(About {
                node: "test".to_owned(),
                version: "0".to_owned(),
                protocol: vec![1],
                schema: 1,
                api: vec!["v1"],
                web_transport: None,
            }),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            bridges: watch::channel(Arc::from([OTHER_BRIDGE.to_owned()])).1,
            config: Arc::default(),
        };
        let bridge = Bridge::bind(config, inside).unwrap();
        let address = bridge.local_addr();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(bridge.run(async move {
            let _ = stopped.await;
        }));
        Self {
            _files: files,
            stand,
            sessions,
            address,
            shutdown,
            running,
        }
    }

    /// Begins to drain.
    pub(crate) fn drain(self) -> JoinHandle<Result<(), RunError>> {
        let _ = self.shutdown.send(());
        self.running
    }

    /// What the node answers to a handshake with these headers beside the usual ones.
    pub(crate) async fn handshake(&self, more: &[(&str, &str)]) -> Peer {
        Peer::handshake(self.address, more).await
    }

    /// The whole answer to a plain request.
    pub(crate) async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A connection in this form, with nothing said.
    pub(crate) async fn connect(&self, form: &str) -> Peer {
        let peer = self.handshake(&[("Sec-WebSocket-Protocol", form)]).await;
        assert!(peer.head.starts_with("HTTP/1.1 101 "), "{}", peer.head);
        assert_eq!(peer.form, form);
        peer
    }

    /// The same with compression.
    pub(crate) async fn connect_deflating(&self, form: &str) -> Peer {
        let headers = [
            ("Sec-WebSocket-Protocol", form),
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits",
            ),
        ];
        let peer = self.handshake(&headers).await;
        assert!(
            peer.head.to_lowercase().contains("permessage-deflate"),
            "{}",
            peer.head
        );
        peer
    }

    /// A connection with a session of its own.
    pub(crate) async fn session(&self, form: &str) -> (Peer, Welcome) {
        let mut peer = self.connect(form).await;
        let welcome = peer.greet(None).await;
        (peer, welcome)
    }

    /// Another connection for a session.
    pub(crate) async fn resume(&self, form: &str, welcome: &Welcome) -> (Peer, Welcome) {
        let mut peer = self.connect(form).await;
        let welcome = peer.greet(Some(welcome.resume_token.clone())).await;
        (peer, welcome)
    }
}

/// The raw end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    buffer: BytesMut,
    /// What the handshake was answered with.
    pub(crate) head: String,
    pub(crate) form: &'static str,
    inbox: VecDeque<Heard>,
    /// Messages that came compressed.
    pub(crate) deflated: usize,
}

/// What a peer hears.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Frame(ServerFrame),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The connection has ended.
    End,
}

impl Peer {
    /// What the node at an address answers to a handshake with these headers beside the usual ones.
    pub(crate) async fn handshake(address: SocketAddr, more: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        );
        for (name, value) in more {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut peer = Self {
            stream,
            buffer: BytesMut::new(),
            head: String::new(),
            form: JSON,
            inbox: VecDeque::new(),
            deflated: 0,
        };
        while !peer.buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            assert!(peer.fill().await, "the head of an answer");
        }
        let end = peer
            .buffer
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        let head = peer.buffer.split_to(end.unwrap() + 4);
        peer.head = String::from_utf8(head.to_vec()).unwrap();
        if peer.head.contains(BINARY) {
            peer.form = BINARY;
        }
        peer
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
        matches!(read.await.expect("something in time"), Ok(count) if count > 0)
    }

    pub(crate) async fn greet(&mut self, resume: Option<Bytes>) -> Welcome {
        self.send(&[ClientFrame::Hello(hello(resume))]).await;
        self.welcome().await
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        match self.frame().await {
            ServerFrame::Welcome(welcome) => welcome,
            other => panic!("not a Welcome: {other:?}"),
        }
    }

    /// Sends frames, each a message in JSON, all in one where the form is binary.
    pub(crate) async fn send(&mut self, frames: &[ClientFrame]) {
        if self.form == BINARY {
            return self.send_raw(&message(BIN, &bytes(frames))).await;
        }
        for frame in frames {
            self.send_raw(&message(TEXT, &text(frame))).await;
        }
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The body of a short answer.
    pub(crate) async fn rest(&mut self) -> String {
        while self.buffer.is_empty() {
            assert!(self.fill().await, "a body");
        }
        String::from_utf8(self.buffer.to_vec()).unwrap()
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.inbox.pop_front() {
                return heard;
            }
            match self.take_frame() {
                Some((first, data)) => self.take_in(first, &data),
                None if self.fill().await => {}
                None => return Heard::End,
            }
        }
    }

    /// The next frame of the protocol.
    pub(crate) async fn frame(&mut self) -> ServerFrame {
        loop {
            match self.next().await {
                Heard::Frame(frame) => return frame,
                Heard::Ping(data) => self.send_raw(&message(PONG, &data)).await,
                other => panic!("not a frame: {other:?}"),
            }
        }
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        match self.frame().await {
            ServerFrame::Reply(reply) => reply,
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// Reads on until the node closes: the Goodbye's failure if there was one, the code and its reason.
    pub(crate) async fn closed(&mut self) -> (Option<Failure>, u16, String) {
        let mut failure = None;
        loop {
            match self.next().await {
                Heard::Frame(ServerFrame::Goodbye(goodbye)) => failure = goodbye.failure,
                Heard::Close(code, reason) => return (failure, code, reason),
                Heard::End => panic!("ended without a Close"),
                Heard::Frame(_) | Heard::Ping(_) | Heard::Pong(_) => {}
            }
        }
    }

    /// One frame of RFC 6455 off the front: its first byte and its data.
    fn take_frame(&mut self) -> Option<(u8, BytesMut)> {
        let (first, second) = (*self.buffer.first()?, *self.buffer.get(1)?);
        assert_eq!(second & 0x80, 0, "frames of a server are not masked");
        let (length, header) = match second {
            126 => (
                usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?)),
                4,
            ),
            127 => {
                let length = u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?);
                (usize::try_from(length).unwrap(), 10)
            }
            short => (usize::from(short), 2),
        };
        self.buffer.get(..header + length)?;
        self.buffer.advance(header);
        Some((first, self.buffer.split_to(length)))
    }

    fn take_in(&mut self, first: u8, data: &[u8]) {
        assert_eq!(first & 0x80, 0x80, "a server does not fragment");
        let inflated;
        let data = if first & 0x40 == 0 {
            data
        } else {
            self.deflated += 1;
            inflated = inflate(data);
            &inflated
        };
        match first & 0x0f {
            TEXT => {
                assert_eq!(self.form, JSON);
                let frame = json::decode(std::str::from_utf8(data).unwrap()).unwrap();
                self.inbox.push_back(Heard::Frame(frame));
            }
            BIN => {
                assert_eq!(self.form, BINARY);
                let mut data = BytesMut::from(data);
                while let Some(frame) = codec::decode(&mut data).unwrap() {
                    self.inbox.push_back(Heard::Frame(frame));
                }
                assert!(data.is_empty(), "messages hold whole frames");
            }
            PING => self.inbox.push_back(Heard::Ping(data.to_vec())),
            PONG => self.inbox.push_back(Heard::Pong(data.to_vec())),
            CLOSE => {
                let code = u16::from_be_bytes([data[0], data[1]]);
                let reason = String::from_utf8(data[2..].to_vec()).unwrap();
                self.inbox.push_back(Heard::Close(code, reason));
            }
            other => panic!("opcode {other}"),
        }
    }
}

/// A whole masked message.
pub(crate) fn message(opcode: u8, data: &[u8]) -> Vec<u8> {
    raw(0x80 | opcode, data)
}

/// A masked frame with this first byte.
pub(crate) fn raw(first: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match data.len() {
        length @ 0..126 => out.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    out.extend(mask);
    out.extend(data.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

/// A frame in the form of the peer, as a message's data.
pub(crate) fn text(frame: &ClientFrame) -> Vec<u8> {
    let mut out = Vec::new();
    json::encode(frame, &mut out).unwrap();
    out
}

pub(crate) fn bytes(frames: &[ClientFrame]) -> Vec<u8> {
    crate::edge::peer::encode(frames)
}

/// A message's data, compressed.
pub(crate) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 1024);
    let mut deflater = Compress::new(Compression::best(), false);
    deflater
        .compress_vec(data, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

fn inflate(data: &[u8]) -> Vec<u8> {
    let whole = [data, &[0, 0, 0xff, 0xff]].concat();
    let mut out = Vec::with_capacity(1 << 20);
    let mut inflater = Decompress::new(false);
    inflater
        .decompress_vec(&whole, &mut out, FlushDecompress::Sync)
        .unwrap();
    out
}

/// The subprotocol that holds a token.
pub(crate) fn token(token: &str) -> String {
    format!("selvedge.token.{}", URL_SAFE_NO_PAD.encode(token))
}
