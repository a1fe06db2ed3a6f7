//! Measures commits on a storage node's store over loopback beside the same on the embedded store, and a bare
//! quinn echo of as many bytes, a stream each, in one run.
//!
//! `cargo run --release -p selvedge-benches --example remote_store_figures`. `SELVEDGE_BENCH_DIR` says where the
//! stores lie: a directory in memory shows what the way costs, one on a disk what it costs beside the disk.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use selvedge_cluster::Clock;
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::peer::{
    Credentials, Dialer, Listener, ListenerConfig, PeerFiles, Target, node_domain,
};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::remote::{Remote, RemoteConfig, StoreServer};
use tokio::time::Instant;

type Failed = Box<dyn Error + Send + Sync>;

/// Long enough to be past start-up, short enough to repeat.
const SECONDS: u64 = 3;
/// Commits in flight, beside a lone one.
const DEPTH: usize = 128;
/// What a commit of this measurement takes on the wire, there and back.
const QUESTION_BYTES: usize = 300;
const ANSWER_BYTES: usize = 28;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let parent = std::env::var("SELVEDGE_BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    let files = certificates(directory.path())?;
    let open = |name: &str| Embedded::open(EmbeddedConfig::new(directory.path().join(name)));
    let embedded: Arc<dyn Store> = Arc::new(open("embedded")?);
    let served: Arc<dyn Store> = Arc::new(open("served")?);
    let remote: Arc<dyn Store> = Arc::new(remote(files, served).await?);
    let echo = echo().await?;
    for round in 1..=2 {
        println!("round {round}");
        for depth in [1, DEPTH] {
            let connection = echo.clone();
            let bare = measure(depth, move |_| {
                let connection = connection.clone();
                async move { ask(&connection).await }
            });
            report("bare quinn echo", depth, &bare.await?);
            for (what, store) in [("embedded", &embedded), ("remote", &remote)] {
                let store = Arc::clone(store);
                let commits = measure(depth, move |task| {
                    let store = Arc::clone(&store);
                    async move { commit(&*store, task).await }
                });
                report(what, depth, &commits.await?);
            }
        }
    }
    Ok(())
}

/// Two rows and a conflict key, without a read: about what an actor's commit is.
async fn commit(store: &dyn Store, task: usize) -> Result<(), Failed> {
    let mut transaction = store.begin();
    transaction.set(format!("actor/{task:04}/state").as_bytes(), &[7; 120]);
    transaction.set(format!("actor/{task:04}/event").as_bytes(), &[7; 90]);
    transaction.add_write_conflict(format!("actor/{task:04}/outbox").as_bytes());
    transaction.commit().await?;
    Ok(())
}

async fn ask(connection: &Connection) -> Result<(), Failed> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&[7; QUESTION_BYTES]).await?;
    send.finish()?;
    receive.read_to_end(ANSWER_BYTES).await?;
    Ok(())
}

/// Latencies of as many as were done, with so many at a time.
async fn measure<F, Fut>(depth: usize, once: F) -> Result<Vec<Duration>, Failed>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks = (0..depth).map(|task| {
        let once = once.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                once(task).await?;
                latencies.push(start.elapsed());
            }
            Ok::<_, Failed>(latencies)
        })
    });
    let mut all = Vec::new();
    for latencies in futures::future::try_join_all(tasks).await? {
        all.extend(latencies?);
    }
    all.sort_unstable();
    Ok(all)
}

fn report(what: &str, depth: usize, latencies: &[Duration]) {
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100);
    let us = |percent| at(percent).map_or(0, Duration::as_micros);
    println!(
        "{what:>16}, {depth:>3} in flight: {:>7}/s  p50 {:>6} us  p99 {:>6} us",
        latencies.len() as u64 / SECONDS,
        us(50),
        us(99)
    );
}

fn certificates(directory: &Path) -> Result<PeerFiles, Failed> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?.pem();
    let key = KeyPair::generate()?;
    let node = CertificateParams::new(vec![node_domain("storage")])?;
    let certificate = node.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let files = PeerFiles {
        ca: directory.join("ca.pem"),
        certificate: directory.join("node.pem"),
        key: directory.join("node.key"),
    };
    std::fs::write(&files.ca, ca_certificate)?;
    std::fs::write(&files.certificate, certificate.pem())?;
    std::fs::write(&files.key, key.serialize_pem())?;
    Ok(files)
}

async fn remote(files: PeerFiles, store: Arc<dyn Store>) -> Result<Remote, Failed> {
    let credentials = Credentials::read(files)?;
    let config = ListenerConfig {
        node: "storage".to_owned(),
        address: loopback(),
        admission: AdmissionConfig::between_nodes(),
    };
    let listener = Listener::bind(&config, credentials.clone())?;
    let target = Target {
        address: listener.local_addr().to_string(),
        name: Some("storage".to_owned()),
    };
    let server = StoreServer::new(store);
    tokio::spawn(listener.run(std::future::pending(), server.alone()));
    let dialer = Dialer::new(credentials);
    Ok(Remote::open(RemoteConfig::new(target, dialer, Clock::system())).await?)
}

/// A connection to a server that answers each stream.
async fn echo() -> Result<Connection, Failed> {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(server)?;
    let server = Endpoint::server(ServerConfig::with_crypto(Arc::new(crypto)), loopback())?;
    let address = server.local_addr()?;
    tokio::spawn(async move {
        let Some(incoming) = server.accept().await else {
            return;
        };
        let Ok(connection) = incoming.await else {
            return;
        };
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            tokio::spawn(async move {
                if receive.read_to_end(QUESTION_BYTES).await.is_ok() {
                    // The client hears of a failure.
                    let _ = send.write_all(&[7; ANSWER_BYTES]).await;
                    let _ = send.finish();
                }
            });
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let crypto = QuicClientConfig::try_from(client)?;
    let endpoint = Endpoint::client(loopback())?;
    let config = ClientConfig::new(Arc::new(crypto));
    Ok(endpoint.connect_with(config, address, "localhost")?.await?)
}

fn loopback() -> SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, 0).into()
}
