//! First packets that nobody means: whole and valid, each with a ClientHello and an id of its own, from many addresses
//! of this machine. They are made once, by clients that connect to a socket which never answers, and are as good from
//! any address.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use selvedge_protocol::version;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{Failed, end};

/// Each in a /24 of its own.
const ADDRESSES: u8 = 250;

pub(crate) struct Junk(Vec<Vec<u8>>);

impl Junk {
    /// Makes so many of them.
    pub(crate) async fn make(count: usize) -> Result<Self, Failed> {
        let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = sink.local_addr()?;
        let mut provider = aws_lc_rs::default_provider();
        // With smaller keys than usual a ClientHello is one packet.
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
        let mut crypto = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        crypto.alpn_protocols = vec![version::ALPN.to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
        let mut packets = HashMap::new();
        let mut buffer = vec![0; 2_048];
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        while packets.len() < count {
            if packets.len() % 1_000 == 0 {
                // Connections that are given up stay for a while with their endpoint.
                endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
            }
            let before = packets.len();
            let _connecting = endpoint.connect_with(config.clone(), address, "localhost")?;
            while packets.len() == before {
                let size = sink.recv(&mut buffer).await?;
                // An Initial (RFC 9000, 17.2.2) is padded; its destination id is its client's own.
                if size >= 1_200 {
                    let packet = buffer[..size].to_vec();
                    packets.entry(buffer[6..14].to_vec()).or_insert(packet);
                }
            }
        }
        Ok(Self(packets.into_values().collect()))
    }

    /// Sends so many, as fast as they are answered or not: how many answers came.
    pub(crate) async fn send(&self, to: SocketAddr, count: usize) -> Result<usize, Failed> {
        let sockets = sockets().await?;
        let mut answers = 0;
        let mut buffer = [0; 2_048];
        // So that the node's buffer is not overrun.
        let mut ticks = interval(Duration::from_millis(5));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for (number, packet) in self.0.iter().cycle().take(count).enumerate() {
            sockets[number % sockets.len()].send_to(packet, to).await?;
            if number % AT_A_TIME == AT_A_TIME - 1 {
                for socket in &sockets {
                    while timeout(Duration::ZERO, socket.recv(&mut buffer))
                        .await
                        .is_ok()
                    {
                        answers += 1;
                    }
                }
                ticks.tick().await;
            }
        }
        for socket in &sockets {
            while timeout(Duration::from_millis(1), socket.recv(&mut buffer))
                .await
                .is_ok()
            {
                answers += 1;
            }
        }
        Ok(answers)
    }

    /// Sends so many a second, for so many seconds, and reads nothing: how many they were. Says a line when it begins.
    pub(crate) async fn flood(
        &self,
        to: SocketAddr,
        per_second: usize,
        seconds: u64,
    ) -> Result<usize, Failed> {
        let sockets = sockets().await?;
        println!("begins");
        let mut ticks = interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = end(seconds);
        let mut sent = 0;
        while ticks.tick().await < end {
            for _ in 0..per_second / 1_000 {
                let packet = &self.0[sent % self.0.len()];
                sockets[sent % sockets.len()].send_to(packet, to).await?;
                sent += 1;
            }
        }
        Ok(sent)
    }
}

/// First packets between two looks for answers.
const AT_A_TIME: usize = 100;

async fn sockets() -> Result<Vec<UdpSocket>, Failed> {
    let mut sockets = Vec::new();
    for number in 1..=ADDRESSES {
        sockets.push(UdpSocket::bind((Ipv4Addr::new(127, 1, number, 1), 0)).await?);
    }
    Ok(sockets)
}
