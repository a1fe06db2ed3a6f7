//! A small server of the session protocol that can be told to misbehave: the fault-injecting peer of
//! the client's tests. It keeps a counter per target, and the events that its commands caused.
//!
//! Its faults are rules on what it was asked, never on time, so that tests need not wait.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use selvedge_client::{
    Client, ClientBuilder, ErrorCode, Failure, SessionId, Since, Success, Target,
};
use selvedge_protocol::frame::{
    ClientFrame, Command, EphemeralEvent, Event, Goodbye, Hello, Outcome, Payload, Ping, Pong,
    Query, Reply, Request, ServerFrame, SessionLimits, StepReport, Subscribe, Welcome, WorkerReady,
};
use selvedge_protocol::limits::NAME_BYTES_MAX;
use selvedge_protocol::version;
use selvedge_protocol::{codec, servers, task_payload};
use tokio::sync::{mpsc, watch};

mod large;

use large::write_gap;

/// A close code that no table has: the connection just breaks.
const FAULT: quinn::VarInt = quinn::VarInt::from_u32(4_000);

/// The only token that is let in.
pub(crate) const TOKEN: &str = "open sesame";

/// What the server does wrong. Each fault happens as often as its number says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Faults {
    /// Commands that are carried out but not answered: the connection is dropped instead.
    pub(crate) drop_after_command: u32,
    /// Commands that the connection is dropped on before they are carried out.
    pub(crate) drop_before_command: u32,
    /// Queries that the connection is dropped on.
    pub(crate) drop_on_query: u32,
    /// Event streams whose connection is dropped after each so many events.
    pub(crate) drop_after_events: Option<u64>,
    /// Event streams that skip an event.
    pub(crate) skip_event: u32,
    /// Event streams that repeat each event.
    pub(crate) repeat_events: bool,
    /// Answers are given twice.
    pub(crate) repeat_answers: bool,
    /// Commands that are refused for the moment.
    pub(crate) refuse: u32,
    /// Payload streams that are broken after their first bytes.
    pub(crate) break_payload: u32,
    /// Events up to this are no longer stored.
    pub(crate) forgotten: u64,
    /// Another token is let in instead.
    pub(crate) renewed: Option<&'static str>,
    /// Forget sessions: answer resume tokens with `session_expired`.
    pub(crate) expire_sessions: bool,
    /// Close connections of a wrong token without a Goodbye: only the close code tells.
    pub(crate) lose_goodbyes: bool,
    /// Large answers whose stream ends in the middle.
    pub(crate) cut_answers: u32,
    /// Large answers whose connection breaks in the middle.
    pub(crate) drop_in_answer: u32,
    /// Large answers that are longer than they say.
    pub(crate) overlong_answers: u32,
    /// Snapshots are of so many bytes, not of a few.
    pub(crate) snapshot_bytes: usize,
    /// Queries that are never answered.
    pub(crate) silent_queries: bool,
    /// Other servers that the Welcome names, and each answer to a command does.
    pub(crate) elsewhere: Vec<String>,
    pub(crate) elsewhere_since: Vec<String>,
}

/// What the server has seen and stored.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) faults: Faults,
    pub(crate) connections: u32,
    /// Connections that have ended.
    pub(crate) ended: u32,
    pub(crate) sessions: u128,
    pub(crate) goodbyes: u32,
    /// How often each command was carried out, by what identifies it.
    pub(crate) effects: HashMap<String, u32>,
    outcomes: HashMap<String, Success>,
    pub(crate) streams: HashMap<String, Vec<Bytes>>,
    pub(crate) payloads: Vec<(Payload, usize)>,
    /// The port of each connection's server that said Welcome, and of each command with its number.
    pub(crate) welcomes: Vec<u16>,
    pub(crate) commands: Vec<(u16, u64)>,
    pub(crate) pings: u32,
    pub(crate) subscribes: Vec<Since>,
    pub(crate) unsubscribed: u32,
    pub(crate) acknowledged: u64,
    /// What workers have said, in order.
    pub(crate) readies: Vec<WorkerReady>,
    pub(crate) results: Vec<(u64, StepReport)>,
    /// Payloads of tasks by lease, and the positions that were read.
    pub(crate) task_payloads: HashMap<u64, Bytes>,
    pub(crate) pieces: Vec<u64>,
    /// What goes to the present connection, besides answers.
    pub(crate) push: Option<mpsc::Sender<ServerFrame>>,
}

#[derive(Clone)]
pub(crate) struct FakeServer {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) changed: watch::Sender<u64>,
    endpoint: Endpoint,
    key: Arc<CertifiedKey<KeyPair>>,
}

impl FakeServer {
    pub(crate) fn start(faults: Faults) -> Self {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let world = World {
            faults,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        Self::serving(world, watch::channel(0).0, Arc::new(key))
    }

    /// Another server of the same cluster: what one has stored and seen, all have.
    pub(crate) fn beside(&self) -> Self {
        let (world, changed) = (Arc::clone(&self.world), self.changed.clone());
        Self::serving(world, changed, Arc::clone(&self.key))
    }

    fn serving(
        world: Arc<Mutex<World>>,
        changed: watch::Sender<u64>,
        key: Arc<CertifiedKey<KeyPair>>,
    ) -> Self {
        let config = server_config(key.cert.der().clone(), key.signing_key.serialize_der());
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let server = Self {
            world,
            changed,
            endpoint: Endpoint::server(config, address).unwrap(),
            key,
        };
        tokio::spawn(server.clone().accept());
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.endpoint.local_addr().unwrap().port()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder()
            .server(self.address())
            .server_name("localhost")
            .ca_pem(self.key.cert.pem())
            .token(TOKEN)
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    /// Looks at the world, now.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        look(&mut self.world.lock().unwrap())
    }

    /// Waits until the world is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&World) -> bool) {
        let mut changed = self.changed.subscribe();
        while !wanted(&self.world.lock().unwrap()) {
            changed.changed().await.unwrap();
        }
    }

    /// Commits an event without any command.
    pub(crate) fn publish(&self, target: &Target, data: &str) {
        self.look(|world| {
            let events = world.streams.entry(target.to_string()).or_default();
            events.push(Bytes::from(data.to_owned()));
        });
        self.note();
    }

    /// Sends a frame that answers nothing.
    pub(crate) async fn push(&self, frame: ServerFrame) {
        let push = self.look(|world| world.push.clone());
        push.unwrap().send(frame).await.unwrap();
    }

    /// Breaks the present connection at the next command.
    pub(crate) fn drop_once(&self) {
        self.look(|world| world.faults.drop_before_command += 1);
    }

    fn note(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    async fn accept(self) {
        while let Some(incoming) = self.endpoint.accept().await {
            let server = self.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                server.look(|world| world.connections += 1);
                server.note();
                let served = server.serve(connection.clone()).await;
                if served.is_none() {
                    // Nothing more is said on a connection that a fault has broken.
                    connection.close(FAULT, b"fault");
                }
                server.look(|world| world.ended += 1);
                server.note();
            });
        }
    }

    /// `None` means: break the connection.
    async fn serve(&self, connection: Connection) -> Option<()> {
        let (mut send, mut receive) = connection.accept_bi().await.ok()?;
        let mut buffer = BytesMut::new();
        let ClientFrame::Hello(hello) = next_frame(&mut receive, &mut buffer).await? else {
            panic!("the first frame is not a hello");
        };
        let session = match self.hello(&hello) {
            Ok(welcome) => {
                let session = welcome.session;
                self.look(|world| world.welcomes.push(self.port()));
                self.note();
                write(&mut send, &ServerFrame::Welcome(welcome)).await?;
                session
            }
            Err(failure) if self.look(|world| world.faults.lose_goodbyes) => {
                let index = ErrorCode::ALL.iter().position(|code| *code == failure.code);
                let code = u32::try_from(index.unwrap() + 1).unwrap();
                connection.close(code.into(), failure.message.as_bytes());
                return None;
            }
            Err(failure) => {
                let goodbye = Goodbye {
                    failure: Some(failure),
                };
                write(&mut send, &ServerFrame::Goodbye(goodbye)).await?;
                let _ = send.finish();
                let _ = send.stopped().await;
                return None;
            }
        };
        let (replies, mut queue) = mpsc::channel::<ServerFrame>(64);
        self.look(|world| world.push = Some(replies.clone()));
        tokio::spawn(async move {
            while let Some(frame) = queue.recv().await {
                if write(&mut send, &frame).await.is_none() {
                    return;
                }
            }
        });
        let streams = tokio::spawn(self.clone().serve_payloads(connection.clone(), session));
        let datagrams = tokio::spawn(self.clone().serve_datagrams(connection.clone(), session));
        let result = self.serve_frames(&connection, session, &mut receive, &mut buffer, &replies);
        let result = result.await;
        streams.abort();
        datagrams.abort();
        result
    }

    fn hello(&self, hello: &Hello) -> Result<Welcome, Failure> {
        if hello.token != self.look(|world| world.faults.renewed.unwrap_or(TOKEN)) {
            return Err(Failure::new(ErrorCode::Unauthenticated, "no such token"));
        }
        self.look(|world| {
            if hello.resume.is_some() && std::mem::take(&mut world.faults.expire_sessions) {
                return Err(Failure::new(ErrorCode::SessionExpired, "too old"));
            }
            let session = match &hello.resume {
                Some(token) => u128::from_be_bytes(token[..].try_into().unwrap()),
                None => {
                    world.sessions += 1;
                    world.sessions
                }
            };
            let mut welcome = Welcome {
                version: version::CURRENT,
                session: SessionId::from_u128(session),
                resumed: hello.resume.is_some(),
                resume_token: Bytes::copy_from_slice(&session.to_be_bytes()),
                node: "fake".to_owned(),
                limits: SessionLimits {
                    window: 16,
                    queries: 16,
                    subscriptions: 8,
                    inline_bytes: 64 * 1024,
                    payload_bytes: 8 * 1024 * 1024,
                    idle_ms: 0,
                },
                ext: Vec::new(),
            };
            servers::announce(&mut welcome.ext, &world.faults.elsewhere);
            Ok(welcome)
        })
    }

    async fn serve_frames(
        &self,
        connection: &Connection,
        session: SessionId,
        receive: &mut RecvStream,
        buffer: &mut BytesMut,
        replies: &mpsc::Sender<ServerFrame>,
    ) -> Option<()> {
        let mut ended = HashSet::new();
        let (stop, _) = watch::channel(HashSet::new());
        loop {
            match next_frame(receive, buffer).await? {
                ClientFrame::Command(command) => {
                    let reply = self.command(session, command, None)?;
                    self.answer(replies, reply).await;
                }
                ClientFrame::Query(query) => {
                    if let Some(reply) = self.query(query)?
                        && let Some(reply) = self.large(connection, reply).await?
                    {
                        self.answer(replies, reply).await;
                    }
                }
                ClientFrame::Subscribe(subscribe) => {
                    let reply = success(Request::Subscription(subscribe.subscription), b"", 0);
                    self.answer(replies, reply).await;
                    let task = self
                        .clone()
                        .events(connection.clone(), subscribe, stop.subscribe());
                    tokio::spawn(task);
                }
                ClientFrame::Unsubscribe(unsubscribe) => {
                    ended.insert(unsubscribe.subscription);
                    stop.send_replace(ended.clone());
                    self.look(|world| world.unsubscribed += 1);
                }
                ClientFrame::Ack(ack) => {
                    self.look(|world| {
                        world.acknowledged = world.acknowledged.max(ack.acknowledged);
                    });
                }
                ClientFrame::WorkerReady(ready) => self.look(|world| world.readies.push(ready)),
                ClientFrame::StepResult(result) => {
                    self.look(|world| world.results.push((result.lease, result.report)));
                }
                ClientFrame::Goodbye(_) => {
                    self.look(|world| world.goodbyes += 1);
                    self.note();
                    let _ = receive.stop(0u32.into());
                    return Some(());
                }
                ClientFrame::Ping(Ping { nonce }) => {
                    self.look(|world| world.pings += 1);
                    let pong = ServerFrame::Pong(Pong { nonce });
                    let _ = replies.send(pong).await;
                }
                other => panic!("unexpected {other:?}"),
            }
            self.note();
        }
    }

    async fn answer(&self, replies: &mpsc::Sender<ServerFrame>, reply: ServerFrame) {
        if self.look(|world| world.faults.repeat_answers) {
            let _ = replies.send(reply.clone()).await;
        }
        let _ = replies.send(reply).await;
    }

    /// Carries a command out once, however often it comes.
    fn command(
        &self,
        session: SessionId,
        command: Command,
        payload: Option<usize>,
    ) -> Option<ServerFrame> {
        self.look(|world| {
            let request = Request::Command(command.number);
            world.commands.push((self.port(), command.number));
            if take(&mut world.faults.drop_before_command) {
                return None;
            }
            if take(&mut world.faults.refuse) {
                let failure = Failure::new(ErrorCode::Overloaded, "come again");
                return Some(reply(request, Outcome::Failure(failure)));
            }
            assert!(
                command.number > command.acknowledged,
                "{command:?} is acknowledged already"
            );
            assert!(
                command.number <= command.acknowledged + 16,
                "{command:?} is past the window"
            );
            world.acknowledged = world.acknowledged.max(command.acknowledged);
            let identity = match (&command.target, command.id) {
                (Target::Operation(_), _) => format!("{} {}", command.target, command.name),
                (_, Some(id)) => id.to_string(),
                (_, None) => format!("{session} {}", command.number),
            };
            if let Some(length) = payload {
                world.payloads.push((command.payload.clone(), length));
            }
            let done = world.outcomes.get(&identity).cloned();
            let done = done.unwrap_or_else(|| {
                *world.effects.entry(identity.clone()).or_default() += 1;
                let events = world.streams.entry(command.target.to_string()).or_default();
                events.push(command.body.clone());
                let seq = events.len() as u64;
                let body = match &command.target {
                    Target::Operation(id) => operation_json(id.as_str()),
                    _ => Bytes::from(seq.to_string()),
                };
                let done = Success {
                    body,
                    seq,
                    version: seq,
                };
                world.outcomes.insert(identity, done.clone());
                done
            });
            if take(&mut world.faults.drop_after_command) {
                return None;
            }
            let mut reply = reply(request, Outcome::Success(done));
            if let ServerFrame::Reply(reply) = &mut reply {
                servers::announce(&mut reply.ext, &world.faults.elsewhere_since);
            }
            Some(reply)
        })
    }

    fn query(&self, query: Query) -> Option<Option<ServerFrame>> {
        self.look(|world| {
            if take(&mut world.faults.drop_on_query) {
                return None;
            }
            if world.faults.silent_queries {
                return Some(None);
            }
            let request = Request::Query(query.number);
            let count = world
                .streams
                .get(&query.target.to_string())
                .map_or(0, Vec::len) as u64;
            let body = match &query.target {
                Target::Operation(_) if query.name == task_payload::QUERY => {
                    let piece: task_payload::Piece = serde_json::from_slice(&query.body).unwrap();
                    match world.piece(piece) {
                        Ok(body) => body,
                        Err(failure) => {
                            return Some(Some(reply(request, Outcome::Failure(failure))));
                        }
                    }
                }
                Target::Operation(id) => operation_json(id.as_str()),
                Target::Operations => Bytes::from_static(b"{\"items\":[],\"cursor\":null}"),
                _ if query.name == "zeros" => {
                    let count: usize = serde_json::from_slice(&query.body).unwrap();
                    Bytes::from(vec![b'0'; count])
                }
                _ => Bytes::from(count.to_string()),
            };
            let success = Success {
                body,
                seq: count,
                version: count,
            };
            Some(Some(reply(request, Outcome::Success(success))))
        })
    }

    async fn serve_payloads(self, connection: Connection, session: SessionId) {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            let server = self.clone();
            tokio::spawn(async move {
                let mut buffer = BytesMut::new();
                let Some(ClientFrame::Command(command)) =
                    next_frame(&mut receive, &mut buffer).await
                else {
                    return;
                };
                if server.look(|world| take(&mut world.faults.break_payload)) {
                    // The streams are dropped: reset and stopped.
                    return;
                }
                let mut length = buffer.len();
                while let Ok(Some(chunk)) = receive.read_chunk(usize::MAX, true).await {
                    length += chunk.bytes.len();
                }
                if let Some(reply) = server.command(session, command, Some(length)) {
                    write(&mut send, &reply).await;
                    let _ = send.finish();
                }
                server.note();
            });
        }
    }

    async fn serve_datagrams(self, connection: Connection, from: SessionId) {
        while let Ok(datagram) = connection.read_datagram().await {
            let frame = codec::decode_whole(BytesMut::from(&datagram[..])).unwrap();
            let ClientFrame::Ephemeral(sent) = frame else {
                panic!("unexpected {frame:?}")
            };
            let event = EphemeralEvent {
                subscription: 1,
                from,
                name: sent.name,
                data: sent.data,
            };
            let mut bytes = Vec::new();
            codec::encode(&ServerFrame::Ephemeral(event), &mut bytes).unwrap();
            connection.send_datagram(bytes.into()).unwrap();
        }
    }

    async fn events(
        self,
        connection: Connection,
        subscribe: Subscribe,
        mut stop: watch::Receiver<HashSet<u64>>,
    ) -> Option<()> {
        let name = subscribe.target.to_string();
        let number = subscribe.subscription;
        let mut changed = self.changed.subscribe();
        let mut seq = self.look(|world| {
            world.subscribes.push(subscribe.since);
            match subscribe.since {
                Since::After(seq) => seq,
                Since::Latest => world.streams.get(&name).map_or(0, Vec::len) as u64,
            }
        });
        self.note();
        let faults = self.look(|world| world.faults.clone());
        let mut send = connection.open_uni().await.ok()?;
        if seq < faults.forgotten {
            write_gap(&mut send, number, seq, &faults).await?;
            seq = faults.forgotten;
        }
        let mut sent = 0;
        loop {
            while let Some(data) = self.look(|world| {
                let index = usize::try_from(seq).unwrap();
                world.streams.get(&name)?.get(index).cloned()
            }) {
                seq += 1;
                if seq == 2 && self.look(|world| take(&mut world.faults.skip_event)) {
                    continue;
                }
                let kind = kind_of(&data);
                let event = Event {
                    subscription: number,
                    seq,
                    kind,
                    time_ms: 0,
                    data,
                };
                let event = ServerFrame::Event(event);
                write(&mut send, &event).await?;
                if faults.repeat_events {
                    write(&mut send, &event).await?;
                }
                sent += 1;
                if Some(sent) == faults.drop_after_events {
                    // What was written is delivered first, so that every round gets on.
                    let _ = send.finish();
                    let _ = send.stopped().await;
                    connection.close(FAULT, b"fault");
                    return None;
                }
            }
            tokio::select! {
                change = changed.changed() => change.ok()?,
                stopped = stop.wait_for(|ended| ended.contains(&number)) => {
                    stopped.ok()?;
                    return None;
                }
            }
        }
    }
}

/// An event that is a short JSON string is of the kind that it names.
fn kind_of(data: &[u8]) -> String {
    serde_json::from_slice::<String>(data)
        .ok()
        .filter(|kind| kind.len() <= NAME_BYTES_MAX)
        .unwrap_or_else(|| "added".to_owned())
}

fn operation_json(id: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"id":"{id}","type":"digest","status":"succeeded","tenant":"default","createdBy":"me",
        "createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","version":1,
        "result":{{"bytes":1}}}}"#
    ))
}

fn take(count: &mut u32) -> bool {
    let is_due = *count > 0;
    *count = count.saturating_sub(1);
    is_due
}

fn reply(request: Request, outcome: Outcome) -> ServerFrame {
    ServerFrame::Reply(Reply {
        request,
        outcome,
        ext: Vec::new(),
    })
}

fn success(request: Request, body: &'static [u8], seq: u64) -> ServerFrame {
    let body = Bytes::from_static(body);
    reply(
        request,
        Outcome::Success(Success {
            body,
            seq,
            version: seq,
        }),
    )
}

async fn next_frame(receive: &mut RecvStream, buffer: &mut BytesMut) -> Option<ClientFrame> {
    loop {
        if let Some(frame) = codec::decode(buffer).unwrap() {
            return Some(frame);
        }
        let chunk = receive.read_chunk(usize::MAX, true).await.ok()??;
        buffer.extend_from_slice(&chunk.bytes);
    }
}

async fn write(send: &mut SendStream, frame: &ServerFrame) -> Option<()> {
    let mut bytes = Vec::new();
    codec::encode(frame, &mut bytes).unwrap();
    send.write_all(&bytes).await.ok()
}

fn server_config(certificate: CertificateDer<'static>, key: Vec<u8>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key).into())
        .unwrap();
    tls.alpn_protocols = vec![version::ALPN.to_vec()];
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()))
}
