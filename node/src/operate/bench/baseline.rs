//! What workloads are held against: the same machine doing only the part that cannot be left out.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use selvedge_cluster::Clock;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::Key;
use selvedge_cluster::store::{Isolation, Store};

use crate::operate::bench::{Baseline, Load, Measured, histogram, microseconds, scratch};
use crate::operate::cli::Workload;
use crate::operate::failure::CommandFailure;

/// What an echo carries: as many bytes each way as the frames of the `queries` workload, which a test
/// holds against them. Their mean is 38 to 40 bytes for a query and 28 for its reply.
const QUERY: [u8; 40] = [7; 40];
const REPLY: [u8; 28] = [7; 28];

pub(super) async fn measure(workload: Workload, load: &Load) -> Result<Baseline, CommandFailure> {
    match workload {
        Workload::Ops | Workload::Commands => {
            let load = Load {
                in_flight: load.in_flight.min(128),
                ..*load
            };
            Ok(raw_commits(&load)
                .await?
                .baseline("raw commits of the embedded store"))
        }
        Workload::Queries => Ok(echo(load).await?.baseline("bare quinn echo on one stream")),
        Workload::Sessions => Ok(connections(load).await?.baseline("bare quinn connections")),
        Workload::Commits => Ok(synced_writes(load)?.baseline("one write and fdatasync at a time")),
    }
}

/// Read one key, write two, durably: on a store of its own on the same disk.
pub(super) async fn raw_commits(load: &Load) -> Result<Measured, CommandFailure> {
    let dir = scratch()?;
    let store = Embedded::open(EmbeddedConfig::new(dir.path()))
        .map_err(|error| CommandFailure::failed(error.to_string()))?;
    let store: Arc<dyn Store> = Arc::new(store);
    let measured = load
        .offer(move |number| {
            let store = store.clone();
            async move {
                let key = |n: u64| {
                    Key::Meta {
                        name: format!("bench-{n}"),
                    }
                    .encode()
                };
                let mut transaction = store.begin();
                if transaction
                    .get(&key(number % 1_000), Isolation::Serializable)
                    .await
                    .is_err()
                {
                    return false;
                }
                transaction.set(&key(1_000 + number), &[7; 100]);
                transaction.set(&key(2_000_000_000 + number), &[7; 100]);
                transaction.commit().await.is_ok()
            }
        })
        .await;
    Ok(measured)
}

/// One append and one fdatasync at a time: what a commit without grouping costs.
fn synced_writes(load: &Load) -> Result<Measured, CommandFailure> {
    let dir = scratch()?;
    let path = dir.path().join("log");
    let mut file = std::fs::File::create(&path).map_err(|e| CommandFailure::file(&path, &e))?;
    let clock = Clock::system();
    let began = clock.monotonic();
    let mut latencies = histogram();
    while began.elapsed() < load.duration {
        let start = clock.monotonic();
        // Two values of 100 bytes with their keys and framing.
        let written = file.write_all(&[7; 300]).and_then(|()| file.sync_data());
        written.map_err(|error| CommandFailure::file(&path, &error))?;
        latencies.saturating_record(microseconds(start.elapsed()));
    }
    Ok(Measured {
        completed: latencies.len(),
        errors: 0,
        elapsed: began.elapsed(),
        latencies,
    })
}

/// Messages to a server and back on one long-lived stream, as many in flight as the workload has.
async fn echo(load: &Load) -> Result<Measured, CommandFailure> {
    let (server, client, address) = endpoints()?;
    let serving = tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            let Ok(connection) = incoming.await else {
                continue;
            };
            tokio::spawn(async move {
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    let mut queries = Messages::of(QUERY.len());
                    while let Ok(count @ 1..) = queries.read(&mut receive).await {
                        for _ in 0..count {
                            if send.write_all(&REPLY).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    let connection = connect(&client, address).await?;
    let measured = pump(&connection, load).await.map_err(bare)?;
    connection.close(0u32.into(), b"");
    serving.abort();
    Ok(measured)
}

/// Bytes that come in, counted as messages: what any server would have to do to tell requests apart.
#[derive(Debug)]
struct Messages {
    length: usize,
    partial: usize,
}

impl Messages {
    const fn of(length: usize) -> Self {
        Self { length, partial: 0 }
    }

    /// The messages that became whole with the next bytes; 0 at the end.
    async fn read(&mut self, receive: &mut quinn::RecvStream) -> Result<usize, quinn::ReadError> {
        loop {
            let Some(chunk) = receive.read_chunk(64 * 1024, true).await? else {
                return Ok(0);
            };
            let whole = (self.partial + chunk.bytes.len()) / self.length;
            self.partial = (self.partial + chunk.bytes.len()) % self.length;
            if whole > 0 {
                return Ok(whole);
            }
        }
    }
}

/// Keeps `in_flight` messages on their way: one write a message, as one request a write.
async fn pump(
    connection: &quinn::Connection,
    load: &Load,
) -> Result<Measured, Box<dyn std::error::Error + Send + Sync>> {
    let clock = Clock::system();
    let (mut send, mut receive) = connection.open_bi().await?;
    let in_flight = usize::try_from(load.in_flight).unwrap_or(1);
    let began = clock.monotonic();
    let mut starts = std::collections::VecDeque::from(vec![began; in_flight]);
    let mut latencies = histogram();
    let mut replies = Messages::of(REPLY.len());
    for _ in 0..in_flight {
        send.write_all(&QUERY).await?;
    }
    while began.elapsed() < load.duration {
        let back = replies.read(&mut receive).await?;
        if back == 0 {
            break;
        }
        let now = clock.monotonic();
        for start in starts.drain(..back) {
            latencies.saturating_record(microseconds(now.duration_since(start)));
        }
        starts.extend(std::iter::repeat_n(now, back));
        for _ in 0..back {
            send.write_all(&QUERY).await?;
        }
    }
    Ok(Measured {
        completed: latencies.len(),
        errors: 0,
        elapsed: began.elapsed(),
        latencies,
    })
}

/// Handshakes of quinn with nothing on top.
async fn connections(load: &Load) -> Result<Measured, CommandFailure> {
    let (server, client, address) = endpoints()?;
    let serving = tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            });
        }
    });
    let measured = load
        .offer(move |_| {
            let client = client.clone();
            async move {
                let connected = connect(&client, address).await;
                if let Ok(connection) = &connected {
                    connection.close(0u32.into(), b"");
                }
                connected.is_ok()
            }
        })
        .await;
    serving.abort();
    Ok(measured)
}

async fn connect(
    client: &quinn::Endpoint,
    address: SocketAddr,
) -> Result<quinn::Connection, CommandFailure> {
    let connecting = client.connect(address, "localhost").map_err(bare)?;
    connecting.await.map_err(bare)
}

/// Two bare endpoints that trust each other.
fn endpoints() -> Result<(quinn::Endpoint, quinn::Endpoint, SocketAddr), CommandFailure> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(bare)?;
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        certified.signing_key.serialize_der(),
    ));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(bare)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .map_err(bare)?;
    let server =
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).map_err(bare)?));
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = quinn::Endpoint::server(server, local).map_err(bare)?;
    let address = server.local_addr().map_err(bare)?;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).map_err(bare)?;
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(bare)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = quinn::Endpoint::client(local).map_err(bare)?;
    let mut config =
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).map_err(bare)?));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(5)));
    config.transport_config(Arc::new(transport));
    client.set_default_client_config(config);
    Ok((server, client, address))
}

fn bare(error: impl std::fmt::Display) -> CommandFailure {
    CommandFailure::failed(format!("baseline: {error}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use selvedge_protocol::Target;
    use selvedge_protocol::codec::{self, Frame};
    use selvedge_protocol::frame::{
        ClientFrame, Consistency, Outcome, Query, Reply, Request, ServerFrame, Success,
    };

    use super::*;

    fn length<F: Frame>(frame: &F) -> usize {
        let mut bytes = Vec::new();
        codec::encode(frame, &mut bytes).unwrap();
        bytes.len()
    }

    #[test]
    fn echoes_are_as_long_as_queries_and_replies() {
        let number = 1_000_000;
        for (actor, tolerance) in [("counter/bench-0", 2), ("counter/bench-999", 0)] {
            let query = length(&ClientFrame::Query(Query {
                number,
                target: Target::Actor(actor.parse().unwrap()),
                name: "get".to_owned(),
                body: Bytes::from_static(b"{}"),
                consistency: Consistency::Linearizable,
                deadline_ms: 0,
                ext: Vec::new(),
            }));
            assert_eq!(query + tolerance, QUERY.len());
        }
        let reply = length(&ServerFrame::Reply(Reply {
            request: Request::Query(number),
            outcome: Outcome::Success(Success {
                body: Bytes::from_static(br#"{"value":0}"#),
                seq: 0,
                version: 0,
            }),
            ext: Vec::new(),
        }));
        assert_eq!(reply, REPLY.len());
    }
}
