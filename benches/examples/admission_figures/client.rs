//! Clients that mean it: handshakes, and one session that asks as fast as it is answered.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime,
    VarInt,
};
use rustls::RootCertStore;
use selvedge_protocol::frame::{
    ClientFrame, Command, Consistency, Hello, Payload, Query, ServerFrame,
};
use selvedge_protocol::{Target, codec, version};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

use crate::{Failed, end};

/// Requests in flight.
const DEPTH: u64 = 128;
/// Handshakes in flight, where what they cost is measured.
const AT_ONCE: usize = 16;
/// Those of a crowd, as many as a socket's buffer has room for.
const CROWDED: usize = 1_000;
/// As large as the node's own.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What a session asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sort {
    Command,
    Query,
}

impl Sort {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Command => "commands",
            Self::Query => "queries",
        }
    }
}

pub(crate) struct Client(Endpoint);

impl Client {
    /// Makes the certificate that nodes in this directory show.
    pub(crate) fn new(directory: &Path) -> Result<Self, Failed> {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(directory.join("certificate"), issued.cert.der())?;
        std::fs::write(directory.join("key"), issued.signing_key.serialize_der())?;
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone())?;
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
            socket()?,
            Arc::new(TokioRuntime),
        )?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        Ok(Self(endpoint))
    }

    /// Connections that say nothing, one after the other, some at a time.
    pub(crate) async fn handshakes(&self, address: SocketAddr, count: usize) -> Result<(), Failed> {
        let mut connections = stream::iter(0..count)
            .map(|_| async move {
                let connection = self.0.connect(address, "localhost")?.await?;
                connection.close(VarInt::from_u32(0), b"");
                Ok::<_, Failed>(())
            })
            .buffer_unordered(AT_ONCE);
        while let Some(done) = connections.next().await {
            done?;
        }
        Ok(())
    }

    /// So many sessions, as fast as they are let in.
    pub(crate) async fn sessions(
        &self,
        address: SocketAddr,
        count: usize,
    ) -> Result<Vec<Session>, Failed> {
        let sessions = stream::iter(0..count).map(|_| self.session(address));
        sessions.buffer_unordered(CROWDED).try_collect().await
    }

    pub(crate) async fn session(&self, address: SocketAddr) -> Result<Session, Failed> {
        let connection = self.0.connect(address, "localhost")?.await?;
        let (send, recv) = connection.open_bi().await?;
        let mut session = Session {
            _connection: connection,
            send,
            recv,
            buffer: BytesMut::new(),
            sent: 0,
            answered: 0,
        };
        session.write(&[ClientFrame::Hello(hello())]).await?;
        session.answers().await?;
        Ok(session)
    }
}

pub(crate) struct Session {
    _connection: Connection,
    send: SendStream,
    recv: RecvStream,
    buffer: BytesMut,
    sent: u64,
    answered: u64,
}

impl Session {
    /// Answers a second.
    pub(crate) async fn rate(&mut self, sort: Sort, seconds: u64) -> Result<u64, Failed> {
        let (end, before) = (end(seconds), self.answered);
        while Instant::now() < end {
            let more = self.sent + 1..=self.answered + DEPTH;
            let frames: Vec<_> = more
                .map(|number| request(sort, number, self.answered))
                .collect();
            self.sent += frames.len() as u64;
            self.write(&frames).await?;
            self.answered += self.answers().await?;
        }
        Ok((self.answered - before) / seconds)
    }

    async fn write(&mut self, frames: &[ClientFrame]) -> Result<(), Failed> {
        let mut bytes = Vec::new();
        for frame in frames {
            codec::encode(frame, &mut bytes)?;
        }
        Ok(self.send.write_chunk(Bytes::from(bytes)).await?)
    }

    /// Reads what has come, at least one frame: how many.
    async fn answers(&mut self) -> Result<u64, Failed> {
        let mut count = 0;
        while count == 0 {
            let chunk = self.recv.read_chunk(64 * 1024, true).await?;
            let chunk = chunk.ok_or("the node has ended the stream")?;
            self.buffer.extend_from_slice(&chunk.bytes);
            while let Some(frame) = codec::decode::<ServerFrame>(&mut self.buffer)? {
                if let ServerFrame::Goodbye(goodbye) = frame {
                    return Err(format!("{goodbye:?}").into());
                }
                count += 1;
            }
        }
        Ok(count)
    }
}

/// A socket that many connections share.
fn socket() -> Result<UdpSocket, Failed> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket.into())
}

fn hello() -> Hello {
    Hello {
        versions: version::SPOKEN.to_vec(),
        token: "figures".to_owned(),
        tenant: None,
        agent: "admission_figures".to_owned(),
        resume: None,
        ext: Vec::new(),
    }
}

fn request(sort: Sort, number: u64, acknowledged: u64) -> ClientFrame {
    let target = "counter/one".parse().map_or(Target::Actors, Target::Actor);
    match sort {
        Sort::Query => ClientFrame::Query(Query {
            number,
            target,
            name: "get".to_owned(),
            body: Bytes::from_static(b"null"),
            consistency: Consistency::Linearizable,
            deadline_ms: 0,
            ext: Vec::new(),
        }),
        Sort::Command => ClientFrame::Command(Command {
            number,
            id: None,
            acknowledged,
            target,
            name: "add".to_owned(),
            body: Bytes::from_static(b"{\"by\":1}"),
            payload: Payload::None,
            deadline_ms: 0,
            ext: Vec::new(),
        }),
    }
}
