//! The suite over raw QUIC: tasks read the streams and the datagrams of a connection into one queue.

use bytes::{Bytes, BytesMut};
use selvedge_protocol::frame::{ClientFrame, Command, Request, ServerFrame};
use selvedge_protocol::{attachment, codec};
use tokio::sync::mpsc;

use super::{Heard, Transport};
use crate::edge::peer::{Node, Peer, Reader, closed, encode};
use crate::edge::service::Stand;

pub(crate) struct Quic {
    connection: quinn::Connection,
    send: quinn::SendStream,
    heard: mpsc::Receiver<Heard>,
    sender: mpsc::Sender<Heard>,
    _endpoint: quinn::Endpoint,
}

impl Transport for Quic {
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
        let Peer {
            endpoint,
            connection,
            send,
            reader,
        } = node.connect().await;
        let (sender, heard) = mpsc::channel(16);
        tokio::spawn(control(reader, connection.clone(), sender.clone()));
        tokio::spawn(streams(connection.clone(), sender.clone()));
        tokio::spawn(datagrams(connection.clone(), sender.clone()));
        Self {
            connection,
            send,
            heard,
            sender,
            _endpoint: endpoint,
        }
    }

    async fn send(&mut self, frames: Vec<ClientFrame>) {
        for frame in frames {
            let bytes = encode(std::slice::from_ref(&frame));
            match frame {
                ClientFrame::Ephemeral(_) => self.connection.send_datagram(bytes.into()).unwrap(),
                _ => self.send.write_all(&bytes).await.unwrap(),
            }
        }
    }

    async fn upload(&mut self, command: Command, bytes: usize) {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        tokio::spawn(send_payload(send, command, bytes));
        tokio::spawn(forward(Reader::new(recv), self.sender.clone()));
    }

    async fn next(&mut self) -> Heard {
        self.heard.recv().await.unwrap()
    }
}

/// Sends a command and the bytes that follow it, on a stream of their own.
pub(super) async fn send_payload(mut send: quinn::SendStream, command: Command, bytes: usize) {
    let head = encode(&[ClientFrame::Command(command)]);
    send.write_all(&head).await.unwrap();
    // The node may have had enough before their end.
    if send.write_all(&vec![7; bytes]).await.is_ok() {
        let _ = send.finish();
    }
}

/// Hands over the frames of a stream until it ends.
pub(super) async fn forward(mut reader: Reader, sender: mpsc::Sender<Heard>) {
    while let Some(frame) = reader.next().await {
        let _ = sender.send(Heard::Frame(frame)).await;
    }
}

async fn control(reader: Reader, connection: quinn::Connection, sender: mpsc::Sender<Heard>) {
    forward(reader, sender.clone()).await;
    let code = closed(&connection).await;
    let _ = sender.send(Heard::Closed(code)).await;
}

async fn streams(connection: quinn::Connection, sender: mpsc::Sender<Heard>) {
    while let Ok(stream) = connection.accept_uni().await {
        tokio::spawn(stream_of_frames(Reader::new(stream), sender.clone()));
    }
}

/// Hands over the frames of a stream, and what follows them.
pub(super) async fn stream_of_frames(mut reader: Reader, sender: mpsc::Sender<Heard>) {
    while let Some(frame) = reader.next().await {
        let follows = match &frame {
            ServerFrame::Reply(reply) => {
                let length = attachment::length(reply).unwrap().unwrap();
                Some((reply.request, length))
            }
            ServerFrame::LargeGap(gap) => Some((
                Request::Subscription(gap.subscription),
                usize::try_from(gap.length).unwrap(),
            )),
            _ => None,
        };
        let _ = sender.send(Heard::Frame(frame)).await;
        if let Some((request, length)) = follows {
            let bytes = Bytes::from(reader.bytes(length).await);
            assert_eq!(bytes.len(), length);
            let _ = sender.send(Heard::Bytes(request, bytes)).await;
        }
    }
}

async fn datagrams(connection: quinn::Connection, sender: mpsc::Sender<Heard>) {
    while let Ok(datagram) = connection.read_datagram().await {
        let frame = codec::decode_whole(BytesMut::from(datagram)).unwrap();
        let _ = sender.send(Heard::Frame(frame)).await;
    }
}
