//! The suite over WebSocket, in both forms: chunks are put together as a client does.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use selvedge_protocol::frame::{Chunk, ClientFrame, Command, Request, ServerFrame};
use selvedge_protocol::limits::PAYLOAD_WINDOW_BYTES;

use super::Transport;
use crate::bridge::websocket::peer::{self, BINARY, JSON, Node, Peer};
use crate::edge::service::Stand;

pub(crate) struct Json(Connection);
pub(crate) struct Binary(Connection);

macro_rules! form {
    ($name:ident, $form:expr) => {
        impl Transport for $name {
            type Node = Node;

            async fn node() -> Node {
                Node::start().await
            }

            fn stand(node: &Node) -> Stand {
                node.stand.clone()
            }

            async fn drain(node: Node) {
                node.drain().await.unwrap().unwrap();
            }

            async fn connect(node: &Node) -> Self {
                Self(Connection::new(node.connect($form).await))
            }

            async fn send(&mut self, frames: Vec<ClientFrame>) {
                self.0.peer.send(&frames).await;
            }

            async fn upload(&mut self, command: Command, bytes: usize) {
                self.0.upload(command, bytes).await;
            }

            async fn next(&mut self) -> super::Heard {
                self.0.next().await
            }
        }
    };
}

form!(Json, JSON);
form!(Binary, BINARY);

struct Connection {
    peer: Peer,
    /// Bytes that follow a frame, as far as they have come.
    following: HashMap<Request, BytesMut>,
    /// Bytes of payloads that are still to be sent, and those that were.
    uploads: HashMap<u64, (usize, usize)>,
}

impl Connection {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            following: HashMap::new(),
            uploads: HashMap::new(),
        }
    }

    async fn upload(&mut self, command: Command, bytes: usize) {
        let number = command.number;
        self.peer.send(&[ClientFrame::Command(command)]).await;
        self.uploads.insert(number, (bytes, 0));
        self.go_on(number, 0).await;
    }

    /// Sends as many chunks as the window allows.
    async fn go_on(&mut self, number: u64, taken: usize) {
        let Some((rest, sent)) = self.uploads.get(&number).copied() else {
            return;
        };
        let (mut rest, mut sent) = (rest, sent);
        while sent < taken + PAYLOAD_WINDOW_BYTES {
            let bytes = rest.min(32_768).min(taken + PAYLOAD_WINDOW_BYTES - sent);
            rest -= bytes;
            sent += bytes;
            let chunk = Chunk {
                request: Request::Command(number),
                data: Bytes::from(vec![7; bytes]),
                last: rest == 0,
            };
            self.peer.send(&[ClientFrame::Chunk(chunk)]).await;
            if rest == 0 {
                self.uploads.remove(&number);
                return;
            }
        }
        self.uploads.insert(number, (rest, sent));
    }

    async fn next(&mut self) -> super::Heard {
        loop {
            match self.peer.next().await {
                peer::Heard::Frame(ServerFrame::Chunk(chunk)) => {
                    let following = self.following.entry(chunk.request).or_default();
                    following.extend_from_slice(&chunk.data);
                    if chunk.last {
                        let bytes = self.following.remove(&chunk.request).unwrap();
                        return super::Heard::Bytes(chunk.request, bytes.freeze());
                    }
                }
                peer::Heard::Frame(ServerFrame::Window(window)) => {
                    let Request::Command(number) = window.request else {
                        panic!("{window:?}");
                    };
                    let taken = usize::try_from(window.bytes).unwrap();
                    self.go_on(number, taken).await;
                }
                peer::Heard::Frame(ServerFrame::Reply(reply)) => {
                    if let Request::Command(number) = reply.request {
                        self.uploads.remove(&number);
                    }
                    return super::Heard::Frame(ServerFrame::Reply(reply));
                }
                peer::Heard::Frame(frame) => return super::Heard::Frame(frame),
                peer::Heard::Close(1000, _) => return super::Heard::Closed(0),
                peer::Heard::Close(code, _) => return super::Heard::Closed(u64::from(code) - 4000),
                peer::Heard::Ping(_) | peer::Heard::Pong(_) => {}
                peer::Heard::End => panic!("ended without a Close"),
            }
        }
    }
}
