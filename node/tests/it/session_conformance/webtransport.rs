//! The suite over WebTransport: streams and datagrams begin with the number of their session, which also says how it ends.

use bytes::BytesMut;
use quinn::{Connection, RecvStream, SendStream};
use selvedge_protocol::codec;
use selvedge_protocol::frame::{ClientFrame, Command};
use tokio::sync::mpsc;

use super::quic::{forward, send_payload, stream_of_frames};
use super::{Heard, Transport};
use crate::edge::peer::{Node, Reader, encode};
use crate::edge::service::Stand;
use crate::edge::webtransport::browser::{self, Browser};

pub(crate) struct WebTransport {
    connection: Connection,
    session: u64,
    send: SendStream,
    heard: mpsc::Receiver<Heard>,
    sender: mpsc::Sender<Heard>,
    /// Dropped, these end the session: the socket, the stream that asked for it, and HTTP/3's own.
    _kept: (quinn::Endpoint, SendStream, SendStream),
}

impl Transport for WebTransport {
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
        let Browser {
            peer,
            session,
            request,
            said,
            control,
        } = node.browser().await;
        let (sender, heard) = mpsc::channel(16);
        let connection = peer.connection;
        tokio::spawn(said_on_control(
            peer.reader,
            connection.clone(),
            said,
            sender.clone(),
        ));
        tokio::spawn(streams(connection.clone(), session, sender.clone()));
        tokio::spawn(datagrams(connection.clone(), session, sender.clone()));
        Self {
            connection,
            session,
            send: peer.send,
            heard,
            sender,
            _kept: (peer.endpoint, request, control),
        }
    }

    async fn send(&mut self, frames: Vec<ClientFrame>) {
        for frame in frames {
            let bytes = encode(std::slice::from_ref(&frame));
            match frame {
                ClientFrame::Ephemeral(_) => {
                    browser::send_datagram(&self.connection, self.session, &bytes);
                }
                _ => self.send.write_all(&bytes).await.unwrap(),
            }
        }
    }

    async fn upload(&mut self, command: Command, bytes: usize) {
        let (send, recv) = browser::open_bi(&self.connection, self.session).await;
        tokio::spawn(send_payload(send, command, bytes));
        tokio::spawn(forward(Reader::new(recv), self.sender.clone()));
    }

    async fn next(&mut self) -> Heard {
        self.heard.recv().await.unwrap()
    }
}

async fn said_on_control(
    reader: Reader,
    connection: Connection,
    mut said: RecvStream,
    sender: mpsc::Sender<Heard>,
) {
    forward(reader, sender.clone()).await;
    let (code, _) = browser::closed(&connection, &mut said).await;
    let _ = sender.send(Heard::Closed(code.into())).await;
}

async fn streams(connection: Connection, session: u64, sender: mpsc::Sender<Heard>) {
    while let Ok(mut stream) = connection.accept_uni().await {
        browser::head(&mut stream, session).await;
        tokio::spawn(stream_of_frames(Reader::new(stream), sender.clone()));
    }
}

async fn datagrams(connection: Connection, session: u64, sender: mpsc::Sender<Heard>) {
    while let Ok(mut datagram) = connection.read_datagram().await {
        browser::of_session(&mut datagram, session);
        let frame = codec::decode_whole(BytesMut::from(datagram)).unwrap();
        let _ = sender.send(Heard::Frame(frame)).await;
    }
}
