//! Measures what taking slots costs a node whose store is on another one, over loopback: the time until it has them,
//! and what it asks the store for their chores until it rests.
//!
//! `cargo run --release -p selvedge-benches --example take_over_figures`. `SELVEDGE_BENCH_DIR` says where the store
//! lies.

#![expect(clippy::print_stdout, reason = "figures are for people to read")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use selvedge_benches::counted::Counted;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Claim, Host, HostConfig, Kinds};
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::peer::{
    Credentials, Dialer, Listener, ListenerConfig, PeerFiles, Target, node_domain,
};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::{ActorPath, Key};
use selvedge_cluster::store::remote::{Remote, RemoteConfig, StoreServer};
use selvedge_protocol::Tenant;

type Failed = Box<dyn Error + Send + Sync>;

const SLOTS: u16 = 1_024;
/// Once nothing was asked for so long, all chores rest: a chore that fails waits a tenth of a second.
const REST: Duration = Duration::from_millis(500);
const ROUNDS: usize = 5;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let parent = std::env::var("SELVEDGE_BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    let files = certificates(directory.path())?;
    let served = Embedded::open(EmbeddedConfig::new(directory.path().join("served")))?;
    let remote: Arc<dyn Store> = Arc::new(remote(files, Arc::new(served)).await?);
    let every_second: Vec<u16> = (0..SLOTS).step_by(2).collect();
    let cases: [(&str, Vec<u16>, u64); 4] = [
        ("nothing waits", Vec::new(), 0),
        ("1 timer in 20 slots", (0..SLOTS).step_by(52).collect(), 1),
        ("1 timer in every slot", (0..SLOTS).collect(), 1),
        ("100 timers in every slot", (0..SLOTS).collect(), 100),
    ];
    for (what, slots, timers) in cases {
        put_timers(&*remote, &slots, timers).await?;
        for (of, numbers) in [("1", &every_second[..1]), ("512", &every_second[..])] {
            let mut all = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                all.push(take(&remote, numbers).await?);
            }
            all.sort_unstable_by_key(|figures| figures.rested);
            let Figures {
                took,
                rested,
                transactions,
                reads,
            } = all[ROUNDS / 2];
            println!(
                "{what:>24}, {of:>3} slots taken: had after {took:>10.3?}, at rest after {rested:>10.3?}, \
                 {reads:>5} reads in {transactions:>5} transactions"
            );
        }
    }
    Ok(())
}

/// Timers that are due in a year.
async fn put_timers(store: &dyn Store, slots: &[u16], timers: u64) -> Result<(), Failed> {
    let due_ms = Clock::system().wall_ms() + 365 * 86_400_000;
    for slots in slots.chunks(64) {
        let mut transaction = store.begin();
        for (slot, number) in slots
            .iter()
            .flat_map(|slot| (0..timers).map(move |number| (*slot, number)))
        {
            let actor = ActorPath {
                slot,
                tenant: Tenant::default_tenant(),
                address: format!("tally/{slot}-{number}").parse()?,
            };
            let name = "later".to_owned();
            let key = Key::Timer {
                actor,
                due_ms,
                name,
            };
            transaction.set(&key.encode(), &[1; 40]);
        }
        transaction.commit().await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Figures {
    took: Duration,
    rested: Duration,
    transactions: u64,
    reads: u64,
}

async fn take(remote: &Arc<dyn Store>, numbers: &[u16]) -> Result<Figures, Failed> {
    let counted = Counted::new(Arc::clone(remote));
    let config = HostConfig {
        node: "taker".to_owned(),
        idle_ms: 60_000,
        slots: SLOTS,
    };
    let store = Arc::new(counted.clone());
    let host = Host::idle(config, store, Clock::system(), Kinds::default()).await?;
    let claim = Claim {
        plan: 1,
        incarnation: 1,
    };
    let start = counted.elapsed();
    let taking = host.take(numbers, claim, &|_, _| true).await?;
    let took = counted.elapsed() - start;
    assert_eq!(taking.taken.len(), numbers.len(), "{taking:?}");
    let mut looks = tokio::time::interval(REST / 10);
    while counted.elapsed() - counted.asked().last_read < REST {
        looks.tick().await;
    }
    let asked = counted.asked();
    let figures = Figures {
        took,
        rested: asked.last_read.max(start + took) - start,
        transactions: asked.transactions,
        reads: asked.reads,
    };
    host.stop().await;
    Ok(figures)
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

fn loopback() -> SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, 0).into()
}
