//! A flood of first packets that nobody means, from many addresses, over real sockets: what it does not take from those
//! who are there and those who were. What is dropped by which header is tested beside the machine.

use std::net::{Ipv4Addr, UdpSocket as StdSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use selvedge_node::edge::admission::Rate;
use selvedge_node::edge::{EdgeConfig, ResetKey};
use selvedge_node::session::SessionConfig;
use selvedge_protocol::frame::{ClientFrame, Request};
use selvedge_protocol::version;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::load::first_packets;
use super::peer::{Node, PATIENCE, config, hello, query, success};

/// Packets of a flood that are its own, and how many it sends before it waits a moment.
const PACKETS: usize = 1_000;
const AT_A_TIME: usize = 100;
const EVERY: Duration = Duration::from_millis(5);

/// Takes few whom it does not know, and asks few for a proof.
fn wary() -> EdgeConfig {
    let few = Rate {
        per_second: 5,
        burst: 20,
    };
    let mut edge = config();
    edge.admission.unproven = few;
    edge.admission.retries = few;
    edge.handshake = PATIENCE;
    edge.hello = PATIENCE;
    // With it connection ids are those of a node that may start again.
    edge.reset_key = Some(ResetKey::of_node(b"secret", "test"));
    edge
}

/// A flood that goes on for as long as it is kept.
struct Flood(JoinHandle<()>);

impl Flood {
    /// Sends all packets once before it returns.
    async fn begin(node: &Node) -> Self {
        let packets = first_packets(node, PACKETS).await;
        let sockets: Vec<_> = (1..=50)
            .map(|number| {
                let socket = StdSocket::bind((Ipv4Addr::new(127, 2, number, 1), 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            })
            .collect();
        let address = node.address;
        let mut number = 0;
        let mut send = move || {
            for _ in 0..AT_A_TIME {
                let packet = &packets[number % packets.len()];
                // One that does not fit is one less.
                let _ = sockets[number % sockets.len()].send_to(packet, address);
                number += 1;
            }
        };
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..PACKETS / AT_A_TIME {
            ticks.tick().await;
            send();
        }
        Self(tokio::spawn(async move {
            loop {
                ticks.tick().await;
                send();
            }
        }))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The first words of a client with post-quantum keys, which do not fit into one datagram.
async fn two_datagrams() -> [Vec<u8>; 2] {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    let mut crypto = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    crypto.alpn_protocols = vec![version::ALPN.to_vec()];
    let crypto = Arc::new(QuicClientConfig::try_from(crypto).unwrap());
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let to = sink.local_addr().unwrap();
    let config = ClientConfig::new(crypto);
    let _connecting = endpoint.connect_with(config, to, "localhost").unwrap();
    let mut datagrams = [vec![0; 2_048], vec![0; 2_048]];
    for datagram in &mut datagrams {
        let length = sink.recv(datagram).await.unwrap();
        datagram.truncate(length);
    }
    assert_eq!(datagrams[0][6..14], datagrams[1][6..14], "of one client");
    datagrams
}

/// How many first packets were dropped behind the sockets of all nodes here.
fn filtered() -> u64 {
    let name = "selvedge_handshakes_total{outcome=\"filtered\"} ";
    let text = crate::bridge::metrics().render();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_on_and_known_clients_get_in() {
    let before = filtered();
    let node = Node::with(wary(), SessionConfig::new("test")).await;
    let (mut running, _) = node.session().await;
    let known = node.endpoint();
    let mut first = node.connect_on(known.clone()).await;
    first.send(&[ClientFrame::Hello(hello(None))]).await;
    let welcome = first.welcome().await;
    first.connection.close(0_u32.into(), b"");

    let _flood = Flood::begin(&node).await;
    for number in 1..=200 {
        if number % 50 == 0 {
            // Another address: its packets are of a connection that has begun.
            let socket = StdSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            running.endpoint.rebind(socket).unwrap();
        }
        running.send(&[query(number, "echo", "1")]).await;
        success(running.reply().await, Request::Query(number));
    }
    // It has a proof of its address, once for each connection.
    let again = timeout(PATIENCE, node.connect_on(known.clone())).await;
    let mut again = again.expect("it is let in");
    let resumed = hello(Some(welcome.resume_token));
    again.send(&[ClientFrame::Hello(resumed)]).await;
    assert_eq!(again.welcome().await.session, welcome.session);
    let third = timeout(PATIENCE, node.connect_on(known)).await;
    drop(third.expect("and again"));
    let dropped = async {
        let mut ticks = interval(Duration::from_millis(100));
        while filtered() < before + 500 {
            ticks.tick().await;
        }
    };
    let dropped = timeout(PATIENCE, dropped).await;
    dropped.expect("most of it goes no further than the socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_has_begun_comes_to_its_end() {
    let node = Node::with(wary(), SessionConfig::new("test")).await;
    let [first, second] = two_datagrams().await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&first, node.address).await.unwrap();
    let mut buffer = vec![0; 65_536];
    socket.recv(&mut buffer).await.unwrap();
    let _flood = Flood::begin(&node).await;
    let answered = async {
        socket.send_to(&second, node.address).await.unwrap();
        let mut bytes = 0;
        while bytes < 1_000 {
            bytes += socket.recv(&mut buffer).await.unwrap();
        }
    };
    let answered = timeout(PATIENCE, answered).await;
    answered.expect("the certificate, at the least");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_is_answered_at_a_rate_at_most() {
    let node = Node::start().await;
    let (mut running, _) = node.session().await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut unspoken = vec![0; 1_200];
    unspoken[..7].copy_from_slice(&[0xc0, 9, 9, 9, 9, 1, 7]);
    let mut answers = 0;
    let mut buffer = vec![0; 2_048];
    for number in 1..=3_000_u64 {
        let mut of_nobody = vec![0x40; 100];
        of_nobody[1..9].copy_from_slice(&number.to_be_bytes());
        for packet in [&unspoken, &of_nobody] {
            socket.send_to(packet, node.address).await.unwrap();
        }
        if number % 100 == 0 {
            running.send(&[query(number, "echo", "1")]).await;
            success(running.reply().await, Request::Query(number));
            while socket.try_recv(&mut buffer).is_ok() {
                answers += 1;
            }
        }
    }
    // A burst, and a hundred a second, of 6,000.
    assert!((900..3_000).contains(&answers), "{answers}");
}
