//! One connection to another node, whoever has dialled it: serves the streams that the other end opens on it, and
//! keeps it if both ends use it. The listener runs it, and ends it in order.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use selvedge_protocol::limits::PEER_HANDSHAKE_MS_MAX;
use selvedge_protocol::peer::{LINK, Service, close};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::agreement::Verdict;
use super::hold::{Parting, Turn, hold};
use super::identity::node_of;
use super::links::Links;
use super::listener::{Inbound, Stopping};
use super::pair::{Dialled, Pair};
use super::stream::PeerStream;

/// What is done with each stream.
pub(super) type Serve = Arc<dyn Fn(Inbound) -> BoxFuture<'static, ()> + Send + Sync>;

/// What all connections of a peer port share.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) serve: Serve,
    pub(super) stopping: Stopping,
    /// Of a node that also connects to others.
    pub(super) links: Option<Links>,
}

/// How a connection is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// By the other end alone, which has dialled it for itself.
    No,
    /// Both ends keep it.
    Yes,
    /// The other end stops: the connection ends here with its last stream.
    LetGo,
    /// This end stops, and the other one asks nothing more.
    Parted,
}

/// A connection and what became of it.
#[derive(Clone)]
struct Served {
    connection: Connection,
    port: Port,
    kept: Arc<watch::Sender<Kept>>,
}

impl Port {
    /// Serves a connection that another node has opened, to its end.
    pub(super) async fn accepted(self, connection: Connection) {
        let guest = self.links.as_ref().and_then(|links| {
            let node = node_of(&connection).filter(|node| node != links.own())?;
            Some(links.pair(&node))
        });
        let id = connection.stable_id();
        let displaced = guest.as_ref().map(|pair| pair.entered(id));
        self.serve(connection, None, displaced.unwrap_or_default())
            .await;
        if let Some(pair) = guest {
            pair.left(id);
        }
    }

    /// Serves a connection that this node has dialled, to its end.
    pub(super) async fn dialled(self, dialled: Dialled) {
        let Dialled {
            connection,
            stream,
            pair,
        } = dialled;
        self.serve(connection, Some((stream, pair)), Arc::default())
            .await;
    }

    async fn serve(
        self,
        connection: Connection,
        agreed: Option<(PeerStream, Arc<Pair>)>,
        displaced: Arc<Notify>,
    ) {
        let served = Served {
            connection,
            port: self,
            kept: Arc::new(watch::Sender::new(Kept::No)),
        };
        let mut streams = JoinSet::new();
        if let Some((stream, pair)) = agreed {
            served.kept.send_replace(Kept::Yes);
            streams.spawn(served.clone().keep(stream, Turn::Ours, pair));
        }
        let is_closed_here = served.streams(&mut streams, &displaced).await;
        let connection = served.connection.clone();
        drop(served);
        // Whoever is served still gets its answers; of a connection that is lost, nobody waits for any.
        match is_closed_here {
            true => {
                streams.join_all().await;
                connection.close(VarInt::from_u32(close::STOPPING), b"the node stops");
            }
            false => {
                drop(connection);
                streams.join_all().await;
            }
        }
    }
}

impl Served {
    /// Serves the streams of the other end until the connection ends, is let go, or is to be closed by this end,
    /// which it answers.
    async fn streams(&self, streams: &mut JoinSet<()>, displaced: &Notify) -> bool {
        let mut stopping = self.port.stopping.clone();
        let mut kept = self.kept.subscribe();
        let mut is_stopping = false;
        loop {
            let is_parted = *kept.borrow() == Kept::Parted;
            tokio::select! {
                biased;
                () = displaced.notified() => {
                    tracing::warn!("a node has opened more connections than it needs");
                    let code = VarInt::from_u32(close::BUSY);
                    self.connection.close(code, b"too many connections");
                    return false;
                }
                () = stopping.begun(), if !is_stopping => {
                    // Those which both keep are told, and go on.
                    if *self.kept.borrow() == Kept::No {
                        return true;
                    }
                    is_stopping = true;
                }
                Some(_ended) = streams.join_next() => {}
                Ok(()) = kept.changed() => {
                    if *kept.borrow_and_update() == Kept::LetGo {
                        return false;
                    }
                }
                opened = self.connection.accept_bi() => match opened {
                    Ok((send, receive)) => {
                        streams.spawn(self.clone().stream(send, receive));
                    }
                    Err(error) => {
                        let address = self.connection.remote_address();
                        tracing::debug!(%address, %error, "a node's connection has ended");
                        return false;
                    }
                },
                // The other end closes it once it has all answers, if it does not stop in this moment.
                () = tokio::time::sleep(PARTED_MAX), if is_parted && streams.is_empty() => {
                    return true;
                }
            }
        }
    }

    async fn stream(self, send: SendStream, receive: RecvStream) {
        let mut stream = PeerStream::new(send, receive);
        let said = tokio::time::timeout(PREFACE_MAX, stream.read_preface()).await;
        let Ok(Ok(preface)) = said else {
            return stream.reset(close::MALFORMED);
        };
        if preface == LINK {
            return self.asked(stream).await;
        }
        match Service::of(preface) {
            Ok(service) => {
                let Port {
                    serve, stopping, ..
                } = self.port;
                drop(self.connection);
                let inbound = Inbound {
                    service,
                    stream,
                    stopping,
                };
                serve(inbound).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a node asks for what is not served here");
                stream.reset(close::UNSERVED);
            }
        }
    }

    /// The other end asks whether both use this connection.
    async fn asked(self, mut stream: PeerStream) {
        if self.kept.send_replace(Kept::Yes) != Kept::No {
            tracing::warn!("a node asks twice about one connection");
            return stream.reset(close::MALFORMED);
        }
        let known = self.port.links.clone();
        let pair = match known.and_then(|links| Some((node_of(&self.connection)?, links))) {
            Some((node, links)) if node == links.own() => {
                tracing::warn!(node, "another node has the name of this one");
                let code = VarInt::from_u32(close::UNSERVED);
                return self.connection.close(code, b"the name is taken");
            }
            Some((node, links)) => links.pair(&node),
            // This node needs nobody, or does not know which of its nodes this is: the other end alone asks.
            None => Links::pair_of_nobody(),
        };
        match pair.asked(&self.connection) {
            Verdict::Refuse => {
                let code = VarInt::from_u32(close::CROSSED);
                self.connection.close(code, b"there is another one");
            }
            Verdict::Promise => {
                let is_taken = self.promise(&mut stream).await && pair.taken(&self.connection);
                if is_taken {
                    return self.keep(stream, Turn::Theirs, pair).await;
                }
                let code = VarInt::from_u32(close::DONE);
                self.connection.close(code, b"it is not wanted");
                pair.ended(&self.connection);
            }
        }
    }

    /// Promises that this connection may be used. Answers whether the other end takes it.
    async fn promise(&self, stream: &mut PeerStream) -> bool {
        let promising = async {
            stream.write_word().await?;
            stream.read_word().await
        };
        let answer = tokio::time::timeout(TAKEN_MAX, promising).await;
        matches!(answer, Ok(Ok(true)))
    }

    /// Keeps a connection that both ends use, for as long as it is of use.
    async fn keep(self, mut stream: PeerStream, turn: Turn, pair: Arc<Pair>) {
        if turn == Turn::Ours {
            // Tells that it is taken. That it is lost meanwhile is noticed below.
            let _ = stream.write_word().await;
        }
        let stopping = self.port.stopping.clone();
        let heard = || pair.heard();
        let parting = hold(&self.connection, &mut stream, turn, stopping, heard).await;
        let kept = match self.port.stopping.has_begun() {
            true => Kept::Parted,
            false => Kept::LetGo,
        };
        match parting {
            Parting::Stops => {}
            Parting::Silent => {
                let code = VarInt::from_u32(close::BUSY);
                self.connection.close(code, b"nothing is heard");
            }
            Parting::Lost => {
                let code = VarInt::from_u32(close::DONE);
                self.connection.close(code, b"it is not kept");
            }
        }
        pair.ended(&self.connection);
        if parting == Parting::Stops {
            self.kept.send_replace(kept);
        }
    }
}

/// The first bytes of a stream come with its first packet.
const PREFACE_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
/// How long the other end may take to take what it is promised. If it is gone, the connection ends before.
const TAKEN_MAX: Duration = Duration::from_millis(PEER_HANDSHAKE_MS_MAX);
/// How long the other end may take to hear the last answers.
const PARTED_MAX: Duration = Duration::from_secs(1);
