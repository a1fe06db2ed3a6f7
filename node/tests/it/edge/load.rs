//! Many clients at once, honest and not.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use selvedge_node::session::SessionConfig;
use selvedge_protocol::frame::{ClientFrame, Request};

use super::peer::{Node, PATIENCE, config, hello, query, success};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_at_once_are_served() {
    let mut edge = config();
    // Unoptimised clients and all other tests share the machine with the node.
    edge.handshake = PATIENCE;
    edge.hello = PATIENCE;
    let node = Arc::new(Node::with(edge, SessionConfig::new("test")).await);
    // A socket takes its share of them, as a NAT does.
    let endpoints: Vec<_> = (0..10).map(|_| node.endpoint()).collect();
    let clients = (0..1_000).map(|index| {
        let node = Arc::clone(&node);
        let endpoint = endpoints[index % endpoints.len()].clone();
        tokio::spawn(async move {
            let mut peer = node.connect_on(endpoint).await;
            peer.send(&[ClientFrame::Hello(hello(None)), query(1, "echo", "1")])
                .await;
            peer.welcome().await;
            success(peer.reply().await, Request::Query(1));
            peer
        })
    });
    let served = tokio::time::timeout(PATIENCE, futures::future::join_all(clients)).await;
    let peers: Vec<_> = served
        .unwrap()
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(peers.len(), 1_000);
    assert_eq!(node.sessions.len(), 1_000);
}

/// The first packets of clients that will never send another, each client's own.
pub(super) async fn first_packets(node: &Node, clients: usize) -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = sink.local_addr().unwrap();
    let endpoint = node.endpoint();
    let mut packets = HashMap::new();
    let mut buffer = vec![0; 65_536];
    while packets.len() < clients {
        let _connecting = endpoint.connect(address, "localhost").unwrap();
        let before = packets.len();
        while packets.len() == before {
            let length = sink.recv(&mut buffer).await.unwrap();
            // An Initial (RFC 9000, 17.2.2) is padded; its destination id is its client's own.
            if length >= 1_200 {
                let id = buffer[6..14].to_vec();
                packets
                    .entry(id)
                    .or_insert_with(|| buffer[..1_200].to_vec());
            }
        }
    }
    packets.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_half_open_handshakes_leave_room_for_honest_clients() {
    let mut edge = config();
    edge.admission.handshakes_max = 64;
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let packets = first_packets(&node, 10_000).await;
    let sockets: Vec<_> = (0..100)
        .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
        .collect();
    for (index, packet) in packets.iter().enumerate() {
        sockets[index % sockets.len()]
            .send_to(packet, node.address)
            .unwrap();
        if index % 1_000 == 999 {
            let (mut peer, _) = node.session().await;
            peer.send(&[query(1, "echo", "1")]).await;
            success(peer.reply().await, Request::Query(1));
        }
    }
}
