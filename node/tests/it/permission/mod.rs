//! Who may do what, over every way into a node: one node with an edge and a bridge before the same actors, and clients
//! whose tokens say what they may.

mod expiry;
pub(crate) mod people;
mod resume;
mod sessions;
mod tenants;
mod users;
mod walk;

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_protocol::frame::{
    ClientFrame, Command, Consistency, EphemeralSend, Hello, Outcome, Payload, Ping, Query,
    ServerFrame, Since, Subscribe, Welcome,
};
use selvedge_protocol::{Failure, Target};
use serde_json::{Value, json};

use self::people::People;
use crate::bridge;
use crate::bridge::client::{Answer, Http};
use crate::bridge::websocket::peer::{self as websocket, JSON};
use crate::edge::peer::{self as edge, hello};
use crate::edge::service::Stand;

/// A node with all ways in.
struct Node {
    bridge: bridge::Node,
    edge: edge::Node,
}

impl Node {
    async fn start() -> Self {
        Self::at(Clock::system()).await
    }

    async fn at(clock: Clock) -> Self {
        let bridge = bridge::Node::at(clock, Arc::new(People), |_| {}).await;
        let sessions = bridge.sessions.clone();
        let edge = edge::Node::over(edge::config(), sessions, Stand::new());
        Self { bridge, edge }
    }

    async fn stop(self) {
        let running = self.edge.drain();
        self.bridge.stop().await;
        running.await.unwrap().unwrap();
    }

    fn http(&self, token: &str) -> Http {
        self.bridge.client(token)
    }

    /// What a GraphQL document is answered with.
    async fn graphql(&self, token: &str, document: &str) -> Value {
        let body = json!({ "query": document });
        self.http(token).post("/graphql", &body).await.json()
    }

    /// A session of its own over this transport.
    async fn session(&self, way: Way, token: &str) -> Peer {
        let mut peer = self.connect(way).await;
        peer.greet(token, None).await.unwrap();
        peer
    }

    /// A connection with nothing said.
    async fn connect(&self, way: Way) -> Peer {
        let connection = match way {
            Way::Quic => Connection::Quic(Box::new(self.edge.connect().await)),
            Way::WebSocket => {
                let headers = [("Sec-WebSocket-Protocol", JSON)];
                let peer = websocket::Peer::handshake(self.bridge.address, &headers).await;
                Connection::WebSocket(Box::new(peer))
            }
        };
        Peer {
            connection,
            last: 0,
        }
    }
}

/// What a session goes over.
#[derive(Debug, Clone, Copy)]
enum Way {
    Quic,
    WebSocket,
}

const WAYS: [Way; 2] = [Way::Quic, Way::WebSocket];

enum Connection {
    Quic(Box<edge::Peer>),
    WebSocket(Box<websocket::Peer>),
}

/// A client's end of a session.
struct Peer {
    connection: Connection,
    /// The number of its last request.
    last: u64,
}

/// Something to ask for in a session.
#[derive(Debug, Clone, Copy)]
enum Frame {
    Command(&'static str, &'static str, &'static str),
    Query(&'static str, &'static str, &'static str),
    Subscribe(&'static str),
}

impl Peer {
    async fn greet(&mut self, token: &str, resume: Option<Bytes>) -> Result<Welcome, Failure> {
        let hello = Hello {
            token: token.to_owned(),
            ..hello(resume)
        };
        self.send(ClientFrame::Hello(hello)).await;
        match self.next().await {
            ServerFrame::Welcome(welcome) => Ok(welcome),
            ServerFrame::Goodbye(goodbye) => Err(goodbye.failure.unwrap()),
            other => panic!("not the answer to a Hello: {other:?}"),
        }
    }

    async fn send(&mut self, frame: ClientFrame) {
        match &mut self.connection {
            Connection::Quic(peer) => peer.send(&[frame]).await,
            Connection::WebSocket(peer) => peer.send(&[frame]).await,
        }
    }

    async fn next(&mut self) -> ServerFrame {
        match &mut self.connection {
            Connection::Quic(peer) => peer.next().await.unwrap(),
            Connection::WebSocket(peer) => peer.frame().await,
        }
    }

    /// Asks, and waits for the answer.
    async fn ask(&mut self, frame: Frame) -> Result<(), Failure> {
        self.ask_for(frame).await.map(drop)
    }

    /// The same, with the body of the answer.
    async fn ask_for(&mut self, frame: Frame) -> Result<Bytes, Failure> {
        self.last += 1;
        let number = self.last;
        self.send(frame.numbered(number)).await;
        loop {
            match self.next().await {
                ServerFrame::Reply(reply) => match reply.outcome {
                    Outcome::Success(success) => return Ok(success.body),
                    Outcome::Failure(failure) => return Err(failure),
                },
                // Of what was subscribed to before.
                ServerFrame::Event(_) => {}
                other => panic!("not an answer to {frame:?}: {other:?}"),
            }
        }
    }

    /// Sends an ephemeral message to who watches the room, and waits until the node has seen to it.
    async fn tell(&mut self, name: &str) {
        self.send(ClientFrame::Ephemeral(EphemeralSend {
            target: target(ROOM),
            name: name.to_owned(),
            data: "{}".into(),
        }))
        .await;
        self.send(ClientFrame::Ping(Ping { nonce: 1 })).await;
        assert!(matches!(self.next().await, ServerFrame::Pong(_)));
    }
}

const ROOM: &str = "room/one";

impl Frame {
    fn numbered(self, number: u64) -> ClientFrame {
        match self {
            Self::Command(to, name, body) => ClientFrame::Command(Command {
                number,
                acknowledged: 0,
                id: None,
                target: target(to),
                name: name.to_owned(),
                deadline_ms: 0,
                body: body.into(),
                payload: Payload::None,
                ext: Vec::new(),
            }),
            Self::Query(to, name, body) => ClientFrame::Query(Query {
                number,
                target: target(to),
                name: name.to_owned(),
                deadline_ms: 0,
                body: body.into(),
                consistency: Consistency::Linearizable,
                ext: Vec::new(),
            }),
            Self::Subscribe(to) => ClientFrame::Subscribe(Subscribe {
                subscription: number,
                target: target(to),
                since: Since::Latest,
                ext: Vec::new(),
            }),
        }
    }
}

fn target(text: &str) -> Target {
    match text {
        "cluster" => Target::Cluster,
        "operations" => Target::Operations,
        "actors" => Target::Actors,
        text => match text.strip_prefix("operation ") {
            Some(id) => Target::Operation(id.parse().unwrap()),
            None => Target::Actor(text.parse().unwrap()),
        },
    }
}

/// The code of a failure, nothing where it is none.
fn code(outcome: &Result<(), Failure>) -> &'static str {
    match outcome {
        Ok(()) => "",
        Err(failure) => failure.code.name(),
    }
}

/// The code of a problem, nothing where it is none.
fn problem(answer: &Answer) -> String {
    match answer.status.is_success() {
        true => String::new(),
        false => answer.json()["code"].as_str().unwrap().to_owned(),
    }
}

/// The code of the first error of a GraphQL answer, nothing where there is none.
fn error(answer: &Value) -> String {
    let code = &answer["errors"][0]["extensions"]["code"];
    code.as_str().unwrap_or_default().to_owned()
}
