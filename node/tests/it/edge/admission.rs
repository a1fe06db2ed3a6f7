//! What becomes of first packets, over real sockets: who is let in, who is asked for a proof, who is refused, and how
//! much of an answer each gets. What is decided is tested beside the machine.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket as StdSocket};
use std::time::Duration;

use quinn::{ConnectionError, Endpoint, TransportErrorCode};
use selvedge_node::edge::admission::Rate;
use selvedge_node::session::SessionConfig;
use selvedge_protocol::frame::{ClientFrame, Request};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::peer::{Node, PATIENCE, config, hello, query, success};

/// Longer than an answer takes that is sent at once.
const SILENCE: Duration = Duration::from_millis(300);

const ONE: Rate = Rate {
    per_second: 1,
    burst: 1,
};

/// The first packets of clients that will never send another: all that each says before it hears anything.
pub(super) async fn first_flight(node: &Node, clients: usize) -> Vec<Vec<Vec<u8>>> {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = sink.local_addr().unwrap();
    let endpoint = node.endpoint();
    let mut flights: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    while flights.len() < clients {
        let _connecting = endpoint.connect(address, "localhost").unwrap();
        while let Ok(received) = timeout(SILENCE / 6, sink.recv(&mut buffer)).await {
            let packet = &buffer[..received.unwrap()];
            // An Initial (RFC 9000, 17.2.2) is padded; its destination id is its client's own.
            if packet.len() >= 1_200 {
                let id = packet[6..14].to_vec();
                flights.entry(id).or_default().push(packet.to_vec());
            }
        }
    }
    flights.into_values().collect()
}

/// Sends all of a flight, and reads until nothing has come for so long: bytes sent, and the sizes of what came.
async fn answered(node: &Node, flight: &[Vec<u8>], silence: Duration) -> (usize, Vec<usize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut sent = 0;
    for packet in flight {
        sent += socket.send_to(packet, node.address).await.unwrap();
    }
    let mut buffer = vec![0; 65_536];
    let mut sizes = Vec::new();
    while let Ok(size) = timeout(silence, socket.recv(&mut buffer)).await {
        sizes.push(size.unwrap());
    }
    (sent, sizes)
}

/// quinn starts another datagram for as long as anything is left of three times what came, so an answer may be longer
/// than RFC 9000, 8.1 has it by less than one datagram.
const DATAGRAM: usize = 1_200;

#[tokio::test]
async fn an_answer_without_a_proof_is_about_three_times_the_question_at_most() {
    let mut edge = config();
    edge.handshake = Duration::from_secs(2);
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let [flight] = first_flight(&node, 1).await.try_into().unwrap();
    // Its end is not answered: all that the node sends again is among them.
    let (sent, sizes) = answered(&node, &flight, Duration::from_secs(3)).await;
    let received: usize = sizes.iter().sum();
    assert!(received > 1_000, "a handshake is begun: {sizes:?}");
    assert!(received < 3 * sent + DATAGRAM, "{sizes:?} for {sent}");
}

#[tokio::test]
async fn retries_and_refusals_are_smaller_than_what_they_answer() {
    let mut edge = config();
    edge.admission.unproven = ONE;
    let retrying = Node::with(edge, SessionConfig::new("test")).await;
    let mut edge = config();
    edge.connections_max = 0;
    let refusing = Node::with(edge, SessionConfig::new("test")).await;
    for (node, first_bits) in [(&retrying, 0xf0), (&refusing, 0xc0)] {
        let flights = first_flight(node, 4).await;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut buffer = vec![0; 65_536];
        let mut answers = 0;
        for flight in &flights {
            socket.send_to(&flight[0], node.address).await.unwrap();
            while let Ok(size) = timeout(SILENCE, socket.recv(&mut buffer)).await {
                let size = size.unwrap();
                // The first one of all is let in and acknowledged.
                if buffer[0] & 0xf0 == first_bits {
                    answers += 1;
                    assert!(size < 200, "{size}");
                }
            }
        }
        assert!(answers >= 3, "{answers}");
    }
}

#[tokio::test]
async fn past_its_rate_of_refusals_a_node_is_silent() {
    let mut edge = config();
    edge.connections_max = 0;
    edge.admission.refusals = ONE;
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let flights = first_flight(&node, 20).await;
    let packets: Vec<_> = flights.iter().map(|flight| flight[0].clone()).collect();
    let (_, sizes) = answered(&node, &packets, SILENCE).await;
    assert!((1..=3).contains(&sizes.len()), "{sizes:?}");
}

fn at(address: [u8; 4], node: &Node) -> Endpoint {
    let endpoint = node.endpoint();
    let socket = StdSocket::bind((Ipv4Addr::from(address), 0)).unwrap();
    endpoint.rebind(socket).unwrap();
    endpoint
}

#[tokio::test]
async fn a_prefix_past_its_rate_is_refused_and_others_are_not() {
    let mut edge = config();
    // Refilled in the course of the test, if it takes long, by a few.
    edge.admission.loopback = Rate {
        per_second: 1,
        burst: 4,
    };
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let mut accepted = 0;
    let refused = loop {
        // A new client each time: coming again resets nothing.
        let endpoint = at([127, 0, 0, 1], &node);
        match endpoint.connect(node.address, "localhost").unwrap().await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 40, "no end of them");
    };
    // Four without a proof, and four with one.
    assert!(accepted >= 8, "{accepted}");
    match refused {
        ConnectionError::ConnectionClosed(close) => {
            assert_eq!(close.error_code, TransportErrorCode::CONNECTION_REFUSED);
        }
        other => panic!("{other:?}"),
    }
    let mut elsewhere = node.connect_on(at([127, 0, 9, 1], &node)).await;
    elsewhere.send(&[ClientFrame::Hello(hello(None))]).await;
    elsewhere.welcome().await;
}

#[tokio::test]
async fn who_was_here_before_gets_in_when_strangers_do_not() {
    let mut edge = config();
    edge.admission.handshakes_max = 8;
    edge.handshake = PATIENCE;
    edge.hello = PATIENCE;
    let node = Node::with(edge, SessionConfig::new("test")).await;
    let known = node.endpoint();
    let mut first = node.connect_on(known.clone()).await;
    first.send(&[ClientFrame::Hello(hello(None))]).await;
    first.welcome().await;
    first.connection.close(0_u32.into(), b"");
    // They say no Hello, so their handshakes last: four of anybody, and two more who have answered to a retry.
    let mut idle = Vec::new();
    let refused = loop {
        let endpoint = node.endpoint();
        match endpoint.connect(node.address, "localhost").unwrap().await {
            Ok(connection) => idle.push((endpoint, connection)),
            Err(error) => break error,
        }
        assert!(idle.len() <= 6, "strangers take what is for others");
    };
    assert_eq!(idle.len(), 6);
    assert!(
        matches!(refused, ConnectionError::ConnectionClosed(_)),
        "{refused:?}"
    );
    let mut again = node.connect_on(known).await;
    again.send(&[ClientFrame::Hello(hello(None))]).await;
    again.welcome().await;
    again.send(&[query(1, "echo", "1")]).await;
    success(again.reply().await, Request::Query(1));
}
