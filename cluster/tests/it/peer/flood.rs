//! A flood of first packets at a peer port: nodes that were here before connect through it.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use selvedge_cluster::peer::{Credentials, Dialer, Target, node_domain};
use selvedge_protocol::peer::ALPN;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::world::StorageNode;

/// How long anything here may take before it counts as hung. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);
const PACKETS: usize = 500;

/// First packets of clients that mean nothing by them.
async fn first_packets() -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let (mut ids, mut packets) = (HashSet::new(), Vec::new());
    let mut buffer = vec![0; 2_048];
    while packets.len() < PACKETS {
        let to = sink.local_addr().unwrap();
        let name = node_domain("storage");
        let _connecting = endpoint.connect_with(config.clone(), to, &name).unwrap();
        let before = packets.len();
        while packets.len() == before {
            let length = sink.recv(&mut buffer).await.unwrap();
            // An Initial is padded; its destination id is its client's own.
            if length >= 1_200 && ids.insert(buffer[6..14].to_vec()) {
                packets.push(buffer[..length].to_vec());
            }
        }
    }
    packets
}

/// Sends them again and again, 20,000 a second.
async fn flood(to: SocketAddr, packets: Vec<Vec<u8>>) {
    let sockets: Vec<_> = (1..=50)
        .map(|number| {
            let socket = StdSocket::bind((Ipv4Addr::new(127, 3, number, 1), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        if number % 100 == 0 {
            ticks.tick().await;
        }
        let packet = &packets[number % packets.len()];
        // One that does not fit is one less.
        let _ = sockets[number % sockets.len()].send_to(packet, to);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_here_connects_again() {
    let node = StorageNode::fresh().await;
    let dialer = Dialer::new(Credentials::read(node.issue("compute")).unwrap());
    let target = Target {
        address: node.address.to_string(),
        name: Some("storage".to_owned()),
    };
    let first = dialer.connect(&target).await.unwrap();
    // What is answered comes after the proof for the next time.
    let (mut send, mut recv) = first.open_bi().await.unwrap();
    send.write_all(&[0xff; 100]).await.unwrap();
    let _ = recv.read_to_end(100).await;
    first.close(0_u32.into(), b"");
    let flooding = tokio::spawn(flood(node.address, first_packets().await));
    for _ in 0..3 {
        let again = timeout(PATIENCE, dialer.connect(&target)).await.unwrap();
        let again = again.unwrap();
        let (mut send, mut recv) = again.open_bi().await.unwrap();
        send.write_all(&[0xff; 100]).await.unwrap();
        let _ = recv.read_to_end(100).await;
    }
    flooding.abort();
}
