//! What a client has said, said again by somebody who heard it on the way.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::frame::{ClientFrame, Request};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::peer::{Node, Peer, command, hello, success};

/// Stands between a client and a node, and keeps what the client sends.
async fn listen_in(node: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    back.connect(node).await.unwrap();
    let address = front.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    tokio::spawn(async move {
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        let mut client = None;
        loop {
            tokio::select! {
                received = front.recv_from(&mut up) => {
                    let (size, from) = received.unwrap();
                    client = Some(from);
                    keep.lock().push(up[..size].to_vec());
                    back.send(&up[..size]).await.unwrap();
                }
                received = back.recv(&mut down) => {
                    let size = received.unwrap();
                    if let Some(client) = client {
                        front.send_to(&down[..size], client).await.unwrap();
                    }
                }
            }
        }
    });
    (address, heard)
}

#[tokio::test]
async fn there_is_no_early_data() {
    let node = Node::start().await;
    let endpoint = node.endpoint();
    let mut peer = node.connect_on(endpoint.clone()).await;
    peer.send(&[ClientFrame::Hello(hello(None))]).await;
    peer.welcome().await;
    // A ticket would have come with the end of the handshake, and would say how much early data may be.
    let again = endpoint.connect(node.address, "localhost").unwrap();
    assert!(again.into_0rtt().is_err(), "the node gave a ticket");
}

#[tokio::test]
async fn all_that_a_client_sent_takes_no_effect_again() {
    let node = Node::start().await;
    let (address, heard) = listen_in(node.address).await;
    let endpoint = node.endpoint();
    let connection = endpoint
        .connect(address, "localhost")
        .unwrap()
        .await
        .unwrap();
    let (send, recv) = connection.open_bi().await.unwrap();
    let mut peer = Peer {
        endpoint,
        connection,
        send,
        reader: super::peer::Reader::new(recv),
    };
    // As early as may be: all in the first flight of its own.
    peer.send(&[
        ClientFrame::Hello(hello(None)),
        ClientFrame::Command(command(1, "add")),
    ])
    .await;
    peer.welcome().await;
    success(peer.reply().await, Request::Command(1));
    assert_eq!((node.stand.count(), node.sessions.len()), (1, 1));
    let packets = heard.lock().clone();
    // While its connection is there, and after it.
    for _ in 0..2 {
        let thief = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        for packet in &packets {
            thief.send_to(packet, node.address).await.unwrap();
        }
        let mut buffer = vec![0; 65_536];
        // The beginning of a handshake is answered; its keys are others, and so nothing else is understood.
        while timeout(Duration::from_millis(300), thief.recv(&mut buffer))
            .await
            .is_ok()
        {}
        assert_eq!((node.stand.count(), node.sessions.len()), (1, 1));
        peer.connection.close(0_u32.into(), b"");
        peer.endpoint.wait_idle().await;
    }
    let (mut other, _) = node.session().await;
    other.send(&[ClientFrame::Command(command(1, "add"))]).await;
    success(other.reply().await, Request::Command(1));
    assert_eq!(node.stand.count(), 2);
}
