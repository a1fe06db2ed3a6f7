//! Nodes that also serve each other, over real sockets, each behind a relay that can lose what others send to it
//! and what it answers them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_cluster::forward::{Doubt, ForwardConfig};
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::ownership::OwnershipConfig;
use selvedge_cluster::peer::{Credentials, Listener, ListenerConfig};
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use super::world::{Cluster, Node};
use crate::peer::authority::{Authority, Validity};

/// A cluster whose nodes reach each other.
pub(super) struct Net {
    pub(super) cluster: Cluster,
    authority: Authority,
    directory: tempfile::TempDir,
}

/// A node, and the way to it.
pub(super) struct Linked {
    pub(super) node: Node,
    /// Where it listens, and connects from.
    address: SocketAddr,
    relay: Relay,
    listener: AbortHandle,
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Net {
    pub(super) async fn new() -> Self {
        Self {
            cluster: Cluster::new().await,
            authority: Authority::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) async fn start(&self, name: &str) -> Linked {
        let directory = self.directory.path();
        let files = self.authority.issue(directory, name, Validity::Now);
        let listening = ListenerConfig {
            node: name.to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            admission: AdmissionConfig::between_nodes(),
        };
        let credentials = Credentials::read(files).unwrap();
        let listener = Listener::bind(&listening, credentials).unwrap();
        let address = listener.local_addr();
        let relay = Relay::to(address).await;
        let peer = relay.address.to_string();
        let config = OwnershipConfig::default();
        let node = self.cluster.start_at(name, &peer, config).await;
        let links = listener.links(self.cluster.clock.clone());
        let looked_at = links.clone();
        let reach = move |now, doubted: &_| looked_at.unreachable(now, doubted);
        node.member.reports(Box::new(reach));
        let doubting = node.member.clone();
        let forward = node.host.forward(ForwardConfig {
            views: node.member.view(),
            links,
            doubt: Box::new(move |doubt| match doubt {
                Doubt::Plan => doubting.poke(),
                Doubt::Node(name) => doubting.suspect(&name),
            }),
        });
        let serve = move |inbound| -> futures::future::BoxFuture<'static, ()> {
            Box::pin(forward.clone().serve(inbound))
        };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        Linked {
            node,
            address,
            relay,
            listener: listener.abort_handle(),
        }
    }
}

/// What is lost between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// What the first sends to the second; answers count as sent.
    There,
    Both,
}

impl Linked {
    /// From now on so much is lost of what goes from this node to another.
    pub(super) fn cut(&self, from_here_to: &Self, lost: Lost) {
        // What it asks, and what it answers.
        from_here_to.relay.state.lock().asked.insert(self.address);
        self.relay
            .state
            .lock()
            .answered
            .insert(from_here_to.address);
        if lost == Lost::Both {
            from_here_to.cut(self, Lost::There);
        }
    }

    /// Everything gets through again between these two.
    pub(super) fn heal(&self, with: &Self) {
        for (one, other) in [(self, with), (with, self)] {
            let mut state = one.relay.state.lock();
            state.asked.remove(&other.address);
            state.answered.remove(&other.address);
        }
    }
}

/// Carries datagrams to one node from any number of others, and its answers back.
struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<Rules>>,
    task: AbortHandle,
}

/// Who is cut off, by the address that it sends from.
#[derive(Debug, Default)]
struct Rules {
    asked: HashSet<SocketAddr>,
    answered: HashSet<SocketAddr>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    async fn to(server: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let state = Arc::<Mutex<Rules>>::default();
        let task = tokio::spawn(carry(front, server, Arc::clone(&state))).abort_handle();
        Self {
            address,
            state,
            task,
        }
    }
}

async fn carry(front: Arc<UdpSocket>, server: SocketAddr, rules: Arc<Mutex<Rules>>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answering = JoinSet::new();
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((length, from)) = front.recv_from(&mut datagram).await else {
            continue;
        };
        if rules.lock().asked.contains(&from) {
            continue;
        }
        let back = match backs.get(&from) {
            Some(back) => Arc::clone(back),
            None => {
                let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                back.connect(server).await.unwrap();
                let back = Arc::new(back);
                backs.insert(from, Arc::clone(&back));
                answering.spawn(answer(
                    Arc::clone(&front),
                    Arc::clone(&back),
                    from,
                    Arc::clone(&rules),
                ));
                back
            }
        };
        let _ = back.send(&datagram[..length]).await;
    }
}

async fn answer(
    front: Arc<UdpSocket>,
    back: Arc<UdpSocket>,
    to: SocketAddr,
    rules: Arc<Mutex<Rules>>,
) {
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok(length) = back.recv(&mut datagram).await else {
            continue;
        };
        if !rules.lock().answered.contains(&to) {
            let _ = front.send_to(&datagram[..length], to).await;
        }
    }
}
