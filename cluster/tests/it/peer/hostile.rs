//! What comes to a peer port without being a node's: garbage, wrong frames, too much of anything.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ReadToEndError, TransportConfig};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selvedge_cluster::peer::{PeerFiles, node_domain};
use selvedge_cluster::store::{Error, Isolation, Store};
use selvedge_protocol::codec;
use selvedge_protocol::peer::store::{
    Begin, Commit, Get, Set, StoreAnswer, StoreFailure, StoreRequest,
};
use selvedge_protocol::peer::{ALPN, Service, close};

use super::world::StorageNode;

/// How long anything here may take before it counts as hung. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bare QUIC client, with the certificate of a node or without.
async fn connect(node: &StorageNode, files: Option<&PeerFiles>) -> Connection {
    let ca = node.directory.path().join("ca.pem");
    bare(node.address, "storage", &ca, files).await
}

/// The same, at any node.
pub(super) async fn connect_to(address: SocketAddr, name: &str, files: &PeerFiles) -> Connection {
    bare(address, name, &files.ca, Some(files)).await
}

async fn bare(address: SocketAddr, name: &str, ca: &Path, files: Option<&PeerFiles>) -> Connection {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match files {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(500)));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint
        .connect_with(config, address, &node_domain(name))
        .unwrap()
        .await
        .unwrap()
}

/// How the node ends a connection without a certificate.
pub(super) async fn without_certificate(node: &StorageNode) -> ConnectionError {
    let connection = connect(node, None).await;
    tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .unwrap()
}

/// Says something on a stream of its own, and what comes back: bytes, or the code of a reset.
async fn say(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, u64> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    // The other end may have heard enough.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let read = receive.read_to_end(1024 * 1024);
    match tokio::time::timeout(PATIENCE, read).await.unwrap() {
        Ok(bytes) => Ok(bytes),
        Err(ReadToEndError::Read(quinn::ReadError::Reset(code))) => Err(code.into()),
        Err(other) => panic!("{other}"),
    }
}

fn frames(requests: &[StoreRequest]) -> Vec<u8> {
    let mut out = Service::Store.preface().to_vec();
    for request in requests {
        codec::encode(request, &mut out).unwrap();
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_a_stream_ends_the_stream_and_nothing_else() {
    let node = StorageNode::fresh().await;
    let files = node.issue("compute");
    let connection = connect(&node, Some(&files)).await;
    let begin = StoreRequest::Begin(Begin { version: None });
    let commit = StoreRequest::Commit(Commit {});
    for (bytes, code) in [
        (vec![9, 1, 0, 0], close::UNSERVED),
        (vec![1, 9, 0, 0], close::UNSERVED),
        (vec![1], close::MALFORMED),
        ([&[1, 1][..], &[0xff; 64]].concat(), close::MALFORMED),
        ([&[1, 1][..], &[0; 64]].concat(), close::MALFORMED),
        (frames(&[commit]), close::MALFORMED),
        (frames(&[begin.clone(), begin.clone()]), close::MALFORMED),
        // Cut within a frame.
        (frames(&[begin])[..8].to_vec(), close::DONE),
    ] {
        let answer = say(&connection, &bytes).await;
        assert_eq!(answer, Err(code.into()), "{bytes:?}");
    }
    node.client().await.health().unwrap();
    assert!(connection.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_not_quic_are_ignored() {
    let node = StorageNode::fresh().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for seed in 0..200u8 {
        let datagram: Vec<u8> = (0..=255u8).map(|byte| byte.wrapping_mul(seed)).collect();
        socket.send_to(&datagram, node.address).await.unwrap();
    }
    node.client().await.health().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_past_the_bounds_are_refused_and_held_by_nobody() {
    let node = StorageNode::fresh().await;
    let files = node.issue("compute");
    let connection = connect(&node, Some(&files)).await;
    // Twice what a storage node holds for all its clients, in keys of no length.
    let set = StoreRequest::Set(Set {
        key: Vec::new().into(),
        value: vec![0; 100_000].into(),
    });
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&frames(&[StoreRequest::Begin(Begin { version: None })]))
        .await
        .unwrap();
    let mut frame = Vec::new();
    codec::encode(&set, &mut frame).unwrap();
    let mut commit = Vec::new();
    codec::encode(&StoreRequest::Commit(Commit {}), &mut commit).unwrap();
    for bytes in std::iter::repeat_n(&frame, 5_400).chain([&commit]) {
        // Where so much takes longer than a transaction may, the node hears no more of it.
        if send.write_all(bytes).await.is_err() {
            break;
        }
    }
    let answer = tokio::time::timeout(PATIENCE, receive.read_to_end(1024 * 1024));
    let mut answer = bytes::BytesMut::from(&answer.await.unwrap().unwrap()[..]);
    let mut last = None;
    while let Some(next) = codec::decode::<StoreAnswer>(&mut answer).unwrap() {
        last = Some(next);
    }
    assert!(
        matches!(
            last,
            Some(StoreAnswer::Failed(
                StoreFailure::TooLarge { .. }
                    | StoreFailure::Unavailable { .. }
                    | StoreFailure::TooOld
            ))
        ),
        "{last:?}"
    );
    // The room is there again.
    let client = node.client().await;
    let mut transaction = client.begin();
    transaction.set(b"a", &vec![1; 100_000]);
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_nobody_ends_is_ended() {
    let node = StorageNode::fresh().await;
    let client = node.client().await;
    let files = node.issue("compute");
    let connection = connect(&node, Some(&files)).await;
    let key = b"a".to_vec().into();
    let isolation = selvedge_protocol::peer::store::Isolation::Snapshot;
    let begun = frames(&[
        StoreRequest::Begin(Begin { version: None }),
        StoreRequest::Get(Get { key, isolation }),
    ]);
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&begun).await.unwrap();
    // Neither a commit nor an end: after five seconds it is told that it is too late.
    let answer = tokio::time::timeout(PATIENCE, receive.read_to_end(1024)).await;
    let mut answer = bytes::BytesMut::from(&answer.unwrap().unwrap()[..]);
    let mut answers = Vec::new();
    while let Some(next) = codec::decode::<StoreAnswer>(&mut answer).unwrap() {
        answers.push(next);
    }
    assert_eq!(
        answers.last(),
        Some(&StoreAnswer::Failed(StoreFailure::TooOld)),
        "{answers:?}"
    );
    client.health().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_watches_than_there_is_room_for_complete_by_chance() {
    let node = StorageNode::fresh().await;
    let client = node.client().await;
    let room = selvedge_protocol::limits::STORE_WATCHES_MAX;
    let watches: Vec<_> = (0..room).map(|_| client.watch(b"a")).collect();
    let last = client.watch(b"a");
    for watch in watches {
        tokio::time::timeout(PATIENCE, watch)
            .await
            .unwrap()
            .unwrap();
    }
    let mut transaction = client.begin();
    transaction.set(b"a", b"1");
    transaction.commit().await.unwrap();
    tokio::time::timeout(PATIENCE, last).await.unwrap().unwrap();
    let value = client.begin().get(b"a", Isolation::Snapshot).await;
    assert_eq!(value.unwrap().unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_more_transactions_than_streams_take_turns() {
    let node = StorageNode::fresh().await;
    let client = Arc::new(node.client().await);
    let commits = (0..4_000u32).map(|number| {
        let client = Arc::clone(&client);
        async move {
            let mut transaction = client.begin();
            transaction.set(&number.to_be_bytes(), b"1");
            transaction.commit().await
        }
    });
    for committed in futures::future::join_all(commits).await {
        match committed {
            // Under load a turn may come too late, and then says so.
            Ok(_) | Err(Error::Unavailable(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    client.health().unwrap();
}
