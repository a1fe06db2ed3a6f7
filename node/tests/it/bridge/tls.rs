//! HTTPS by the node itself: both versions of HTTP, and handshakes that come to no end.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use selvedge_node::edge::EdgeTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Node, PATIENCE, People};

/// What this machine may have beside all others.
const RESERVED: usize = 64;

/// A node that serves HTTPS, with so many handshakes at a time; and its authority.
async fn https(handshakes_max: usize) -> (Node, RootCertStore) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let node = Node::with(Arc::new(People), |bridge| {
        bridge.connections.handshakes_max = handshakes_max;
        bridge.tls = Some(EdgeTls {
            certificates: vec![issued.cert.der().clone()],
            key: PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap(),
            browsers: None,
        });
    })
    .await;
    (node, roots)
}

async fn connect(node: &Node, roots: &RootCertStore, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    let stream = TcpStream::connect(node.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

/// Asks whether the node lives, and reads the beginning of an answer.
async fn asks(stream: &mut TlsStream<TcpStream>) {
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"{\"status\":\"ok\"}") {
        let read = timeout(PATIENCE, stream.read_buf(&mut heard)).await;
        assert!(read.unwrap().unwrap() > 0, "an end before the answer");
    }
    assert!(heard.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_are_served() {
    let (node, roots) = https(8).await;
    for alpn in [vec![], vec![&b"http/1.1"[..]]] {
        let mut stream = connect(&node, &roots, &alpn).await;
        asks(&mut stream).await;
        asks(&mut stream).await;
    }
    let mut stream = connect(&node, &roots, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // Its preface, and settings without any (RFC 9113, 3.4 and 6.5).
    let begins = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(begins).await.unwrap();
    let mut head = [0; 9];
    let read = timeout(PATIENCE, stream.read_exact(&mut head)).await;
    read.unwrap().unwrap();
    assert_eq!(head[3], 4, "settings");
    drop(stream);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_come_to_no_end_leave_those_who_are_there_alone() {
    let (node, roots) = https(8).await;
    let mut running = connect(&node, &roots, &[b"http/1.1"]).await;
    let mut silent = Vec::new();
    for _ in 0..8 + RESERVED {
        silent.push(TcpStream::connect(node.address).await.unwrap());
    }
    asks(&mut running).await;
    // There is no room for one more, which is told so at once; or for all of them, a while later.
    let mut one = TcpStream::connect(node.address).await.unwrap();
    let ended = async {
        let mut heard = Vec::new();
        // A connection that is reset has ended as well.
        let _ = one.read_to_end(&mut heard).await;
        assert_eq!(heard, b"");
        for stream in &mut silent {
            let _ = stream.read_to_end(&mut heard).await;
        }
    };
    timeout(PATIENCE, ended)
        .await
        .expect("an end of all of them");
    let mut again = connect(&node, &roots, &[b"http/1.1"]).await;
    asks(&mut again).await;
    asks(&mut running).await;
    drop((again, running));
    node.stop().await;
}
