//! Clients behind a link that loses packets. Time is simulated: the whole retransmission schedule of
//! QUIC passes at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use selvedge_protocol::frame::ClientFrame;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::peer::{Node, hello};

/// A link on which nothing comes from the node until a time after the client's first packet, as when
/// the answers to many clients overrun the one socket buffer that they share. Gives where to connect.
async fn deaf_link(node: SocketAddr, deaf: Duration) -> SocketAddr {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = near.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
        let mut client = None;
        let mut hears_at = None;
        loop {
            tokio::select! {
                packet = near.recv_from(&mut there) => {
                    let (length, from) = packet.unwrap();
                    client = Some(from);
                    hears_at.get_or_insert_with(|| Instant::now() + deaf);
                    far.send_to(&there[..length], node).await.unwrap();
                }
                packet = far.recv_from(&mut back) => {
                    let (length, _) = packet.unwrap();
                    if hears_at.is_some_and(|at| Instant::now() >= at) {
                        near.send_to(&back[..length], client.unwrap()).await.unwrap();
                    }
                }
            }
        }
    });
    address
}

#[tokio::test(start_paused = true)]
async fn who_hears_nothing_for_six_seconds_is_served_all_the_same() {
    let mut node = Node::start().await;
    node.address = deaf_link(node.address, Duration::from_secs(6)).await;
    let began = Instant::now();
    let (_peer, welcome) = node.session().await;
    assert!(!welcome.resumed);
    assert!(began.elapsed() >= Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_slow_handshake_leaves_the_hello_its_time() {
    let mut node = Node::start().await;
    node.address = deaf_link(node.address, Duration::from_secs(4)).await;
    let began = Instant::now();
    let mut peer = node.connect().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(began.elapsed() > Duration::from_secs(10));
    peer.send(&[ClientFrame::Hello(hello(None))]).await;
    peer.welcome().await;
}
