//! A link to a server that can fall silent: it drops every datagram, one way or both, as the network of a
//! machine that has died does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;

pub(crate) struct Relay {
    pub(crate) address: String,
    ways: Arc<Ways>,
}

#[derive(Default)]
struct Ways {
    is_deaf: AtomicBool,
    is_dumb: AtomicBool,
}

impl Relay {
    /// A link for one client to the server at this address.
    pub(crate) async fn to(server: &str) -> Self {
        let server: SocketAddr = server.parse().unwrap();
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = near.local_addr().unwrap().to_string();
        let ways = Arc::new(Ways::default());
        tokio::spawn(carry(near, far, server, Arc::clone(&ways)));
        Self { address, ways }
    }

    /// Nothing comes from the server any more; what is sent to it arrives.
    pub(crate) fn lose_answers(&self) {
        self.ways.is_dumb.store(true, Ordering::SeqCst);
    }

    /// Nothing passes any more.
    pub(crate) fn cut(&self) {
        self.lose_answers();
        self.ways.is_deaf.store(true, Ordering::SeqCst);
    }

    /// All passes again.
    pub(crate) fn mend(&self) {
        self.ways.is_dumb.store(false, Ordering::SeqCst);
        self.ways.is_deaf.store(false, Ordering::SeqCst);
    }
}

async fn carry(near: UdpSocket, far: UdpSocket, server: SocketAddr, ways: Arc<Ways>) {
    let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
    let mut client = None;
    loop {
        tokio::select! {
            packet = near.recv_from(&mut there) => {
                let (length, from) = packet.unwrap();
                client = Some(from);
                if !ways.is_deaf.load(Ordering::SeqCst) {
                    let _ = far.send_to(&there[..length], server).await;
                }
            }
            packet = far.recv_from(&mut back) => {
                if let (Ok((length, _)), Some(client)) = (packet, client)
                    && !ways.is_dumb.load(Ordering::SeqCst)
                {
                    let _ = near.send_to(&back[..length], client).await;
                }
            }
        }
    }
}
