//! Measures the edge beside bare quinn of the same transport settings, in one run: queries pipelined on
//! one stream, a crowd of clients that connects at once, and the memory of an idle session.
//!
//! `cargo run --release -p selvedge-benches --example edge_figures`. The servers are processes of their own,
//! started by this one with an argument, so that what they use can be told apart.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::error::Error;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig,
    TokioRuntime, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::HostConfig;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration;
use selvedge_node::app::Place;
use selvedge_node::demo_app;
use selvedge_node::edge::{Edge, EdgeConfig, EdgeTls};
use selvedge_node::gateway::Gateway;
use selvedge_node::identity::{DevelopmentToken, ResumeKey, Secret};
use selvedge_node::session::{Inside, SessionConfig, Sessions, no_other_nodes};
use selvedge_protocol::frame::{ClientFrame, Consistency, Hello, Query, ServerFrame};
use selvedge_protocol::limits::SESSION_STREAMS_MAX;
use selvedge_protocol::{Target, codec, version};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

type Failed = Box<dyn Error + Send + Sync>;

/// Requests in flight.
const DEPTH: u64 = 128;
/// Long enough to be past start-up, short enough to repeat.
const SECONDS: u64 = 5;
/// Clients that connect at once.
const AT_ONCE: usize = 1_000;
/// Connections over which memory is averaged.
const IDLE_CONNECTIONS: usize = 2_000;
/// As large as the node's own.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => measure().await,
        [what, directory] if what == "bare" => serve_bare(Path::new(directory)).await,
        [what, directory] if what == "edge" => serve_edge(Path::new(directory)).await,
        _ => Err("no arguments are needed".into()),
    }
}

async fn measure() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(directory.path().join("certificate"), issued.cert.der())?;
    std::fs::write(
        directory.path().join("key"),
        issued.signing_key.serialize_der(),
    )?;
    let client = client(issued.cert.der().clone())?;

    let bare = Server::start("bare", directory.path())?;
    let edge = Server::start("edge", directory.path())?;
    for _ in 0..3 {
        let bare_rate = bare.query_rate(&client).await?;
        let edge_rate = edge.query_rate(&client).await?;
        println!(
            "queries, {DEPTH} in flight: bare quinn {bare_rate}, edge {edge_rate}, ratio {}%",
            edge_rate.per_second * 100 / bare_rate.per_second.max(1)
        );
    }
    let bare_bytes = bare.idle_bytes(&client).await?;
    let edge_bytes = edge.idle_bytes(&client).await?;
    println!(
        "idle: bare connection {bare_bytes} bytes, session {edge_bytes} bytes, above it {}",
        edge_bytes.saturating_sub(bare_bytes)
    );
    // Last, because the memory that it leaves behind would hide that of idle connections.
    for server in [&bare, &edge] {
        println!(
            "{AT_ONCE} clients at once, {}: all served within {} ms",
            server.what,
            server.connect_all(&client).await?.as_millis()
        );
    }
    Ok(())
}

/// A server in a process of its own.
struct Server {
    what: &'static str,
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(what: &'static str, directory: &Path) -> Result<Self, Failed> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(what)
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self {
            what,
            process,
            address: line.trim().parse()?,
        })
    }

    async fn connect(&self, client: &Endpoint) -> Result<Wire, Failed> {
        let connection = client.connect(self.address, "localhost")?.await?;
        let (send, recv) = connection.open_bi().await?;
        let mut wire = Wire {
            connection,
            send,
            recv,
            buffer: BytesMut::new(),
        };
        wire.write(&[ClientFrame::Hello(hello())]).await?;
        // The bare server sends the Hello back.
        if self.what == "edge" {
            wire.answers::<ServerFrame>().await?;
        } else {
            wire.answers::<ClientFrame>().await?;
        }
        Ok(wire)
    }

    async fn query_rate(&self, client: &Endpoint) -> Result<Rate, Failed> {
        let mut wire = self.connect(client).await?;
        let cpu_before = self.cpu_ms()?;
        let begun = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        while begun.elapsed() < Duration::from_secs(SECONDS) {
            let more: Vec<_> = (sent + 1..=answered + DEPTH).map(query).collect();
            sent += more.len() as u64;
            wire.write(&more).await?;
            answered += if self.what == "edge" {
                wire.answers::<ServerFrame>().await?
            } else {
                wire.answers::<ClientFrame>().await?
            };
        }
        wire.connection.close(VarInt::from_u32(0), b"");
        Ok(Rate {
            per_second: answered / SECONDS,
            server_ns: (self.cpu_ms()? - cpu_before) * 1_000_000 / answered.max(1),
        })
    }

    /// How long it takes until each of many clients has its Welcome.
    async fn connect_all(&self, client: &Endpoint) -> Result<Duration, Failed> {
        let begun = Instant::now();
        let clients = (0..AT_ONCE).map(|_| self.connect(client));
        let served = futures::future::try_join_all(clients).await?;
        let elapsed = begun.elapsed();
        for wire in served {
            wire.connection.close(VarInt::from_u32(0), b"");
        }
        Ok(elapsed)
    }

    async fn idle_bytes(&self, client: &Endpoint) -> Result<usize, Failed> {
        // The first ones fill what is shared by all.
        let mut wires = Vec::new();
        for _ in 0..IDLE_CONNECTIONS / 10 {
            wires.push(self.connect(client).await?);
        }
        let (first, before) = (wires.len(), self.resident_bytes()?);
        for _ in 0..IDLE_CONNECTIONS {
            wires.push(self.connect(client).await?);
        }
        let grown = self.settled_bytes().await?.saturating_sub(before);
        Ok(grown / (wires.len() - first))
    }

    /// What the server holds once it gives nothing back any more: the buffers of handshakes go when
    /// all is acknowledged.
    async fn settled_bytes(&self) -> Result<usize, Failed> {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut last = usize::MAX;
        loop {
            tick.tick().await;
            let now = self.resident_bytes()?;
            if now >= last {
                return Ok(now);
            }
            last = now;
        }
    }

    /// Processor time that the server has used.
    fn cpu_ms(&self) -> Result<u64, Failed> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // Fields 14 and 15 of proc(5), in ticks of 10 ms, counted after the name in parentheses.
        let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
        let ticks: Result<Vec<u64>, _> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect();
        Ok(ticks?.iter().sum::<u64>() * 10)
    }

    fn resident_bytes(&self) -> Result<usize, Failed> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kib: usize = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has no state to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How fast a server answers, and what it costs it.
struct Rate {
    per_second: u64,
    server_ns: u64,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/s with {} ns of processor each",
            self.per_second, self.server_ns
        )
    }
}

/// A client's end of a connection.
struct Wire {
    connection: Connection,
    send: SendStream,
    recv: RecvStream,
    buffer: BytesMut,
}

impl Wire {
    async fn write(&mut self, frames: &[ClientFrame]) -> Result<(), Failed> {
        let mut bytes = Vec::new();
        for frame in frames {
            codec::encode(frame, &mut bytes)?;
        }
        Ok(self.send.write_chunk(Bytes::from(bytes)).await?)
    }

    /// Reads what has come, at least one frame: how many.
    async fn answers<F: codec::Frame>(&mut self) -> Result<u64, Failed> {
        let mut count = 0;
        while count == 0 {
            let chunk = self.recv.read_chunk(64 * 1024, true).await?;
            self.buffer
                .extend_from_slice(&chunk.ok_or("the server has ended the stream")?.bytes);
            while codec::decode::<F>(&mut self.buffer)?.is_some() {
                count += 1;
            }
        }
        Ok(count)
    }
}

fn hello() -> Hello {
    Hello {
        versions: version::SPOKEN.to_vec(),
        token: "figures".to_owned(),
        tenant: None,
        agent: "edge_figures".to_owned(),
        resume: None,
        ext: Vec::new(),
    }
}

fn query(number: u64) -> ClientFrame {
    ClientFrame::Query(Query {
        number,
        target: "counter/one".parse().map_or(Target::Actors, Target::Actor),
        name: "get".to_owned(),
        body: Bytes::from_static(b"null"),
        consistency: Consistency::Linearizable,
        deadline_ms: 0,
        ext: Vec::new(),
    })
}

fn client(certificate: CertificateDer<'static>) -> Result<Endpoint, Failed> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut crypto = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    crypto.alpn_protocols = vec![version::ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(crypto)?;
    let mut endpoint = Endpoint::new(
        EndpointConfig::default(),
        None,
        shared_socket()?,
        Arc::new(TokioRuntime),
    )?;
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    Ok(endpoint)
}

/// A socket that many connections share. With the kernel's usual buffer the answers to the first packets
/// of a crowd, and to the last ones of clients that leave, overrun it: the figure would be that of QUIC's
/// patience with lost packets.
fn shared_socket() -> Result<UdpSocket, Failed> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket.into())
}

fn tls(directory: &Path) -> Result<EdgeTls, Failed> {
    Ok(EdgeTls {
        certificates: vec![CertificateDer::from(std::fs::read(
            directory.join("certificate"),
        )?)],
        key: PrivateKeyDer::try_from(std::fs::read(directory.join("key"))?)?,
        browsers: None,
    })
}

/// Every byte comes back. The transport settings are those of the edge.
async fn serve_bare(directory: &Path) -> Result<(), Failed> {
    let EdgeTls {
        certificates, key, ..
    } = tls(directory)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut crypto = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    crypto.alpn_protocols = vec![version::ALPN.to_vec()];
    crypto.send_tls13_tickets = 0;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(crypto)?));
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(SESSION_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(512 * 1024))
        .receive_window(VarInt::from_u32(1024 * 1024))
        .send_window(1024 * 1024)
        .initial_rtt(Duration::from_millis(100))
        .max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::new(
        EndpointConfig::default(),
        Some(config),
        shared_socket()?,
        Arc::new(TokioRuntime),
    )?;
    println!("{}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await.ok()?;
            let (mut send, mut recv) = connection.accept_bi().await.ok()?;
            while let Some(chunk) = recv.read_chunk(64 * 1024, true).await.ok()? {
                send.write_chunk(chunk.bytes).await.ok()?;
            }
            Some(())
        });
    }
    Ok(())
}

async fn serve_edge(directory: &Path) -> Result<(), Failed> {
    let store = Arc::new(Embedded::open(EmbeddedConfig::new(
        directory.join("store"),
    ))?);
    let clock = Clock::system();
    let meta = migration::prepare(&*store, &clock).await?;
    let place = Place {
        host: HostConfig {
            node: "figures".to_owned(),
            idle_ms: 60_000,
            slots: meta.slots,
        },
        index_shards: meta.index_shards,
        store,
        key: meta.session_key,
        clock: clock.clone(),
    };
    let application = demo_app::application()?.start(place).await?;
    let gateway = Gateway::new(&application);
    let inside = Inside {
        service: Arc::new(gateway),
        workers: None,
        authenticator: Arc::new(DevelopmentToken::new("figures", Secret::new("figures"))),
        resume_key: ResumeKey::new(&[0; 32]),
        clock,
        others: no_other_nodes(),
    };
    let sessions = Sessions::start(SessionConfig::new("figures"), inside).await?;
    let config = EdgeConfig::new((Ipv4Addr::LOCALHOST, 0).into());
    let edge = Edge::bind(config, tls(directory)?, sessions)?;
    println!("{}", edge.local_addr()?);
    Ok(edge.run(std::future::pending()).await?)
}
