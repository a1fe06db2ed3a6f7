//! Which nodes a development cluster has, and where each listens. Sees that it can be before anything starts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use selvedge_cluster::Clock;

use crate::operate::config::{NodeConfig, StoreUrl};
use crate::operate::failure::CommandFailure;
use crate::operate::free_port;

/// The name of the storage node.
pub(super) const STORAGE: &str = "storage";

/// The file of a node's configuration, in its directory.
pub(super) const CONFIG_FILE: &str = "node.toml";

/// Where everything listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) nodes: Vec<Place>,
    /// Where the storage node serves the others.
    pub(super) storage: SocketAddr,
}

/// A node and its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) quic: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) http: SocketAddr,
}

/// What cannot be said together with `--nodes`.
pub(super) fn check(config: &NodeConfig, count: u8) -> Result<(), CommandFailure> {
    let refuse = |key: &str, remedy: String| {
        let by = config.origin(key);
        Err(CommandFailure::usage(format!("{by}: {remedy}")))
    };
    if config.is_storage() {
        return refuse(
            "roles",
            "--nodes starts a storage node by itself; leave storage out of --roles, or leave \
             --nodes out"
                .to_owned(),
        );
    }
    if config.store != StoreUrl::Embedded {
        return refuse(
            "store",
            "the nodes of --nodes have a storage node of their own; leave --store out, or leave \
             --nodes out"
                .to_owned(),
        );
    }
    if config.name != name(1) {
        return refuse(
            "name",
            format!("the nodes of --nodes are called node-1 to node-{count}; leave --name out"),
        );
    }
    if config.tls.peer.is_some() {
        return refuse(
            "tls.peer_certificate",
            "the nodes of --nodes get a certificate each, made for them; leave --peer-ca, \
             --peer-certificate and --peer-key out"
                .to_owned(),
        );
    }
    for (key, flag, told) in [
        ("advertise_quic", "--advertise-quic", &config.advertise_quic),
        ("advertise_http", "--advertise-http", &config.advertise_http),
        ("advertise_peer", "--advertise-peer", &config.advertise_peer),
    ] {
        if told.is_some() {
            return refuse(
                key,
                format!("the nodes of --nodes have an address each; leave {flag} out"),
            );
        }
    }
    check_ports(config, count)
}

/// There are ports for all nodes.
fn check_ports(config: &NodeConfig, count: u8) -> Result<(), CommandFailure> {
    let refuse = |key: &str, remedy: String| {
        let by = config.origin(key);
        Err(CommandFailure::usage(format!("{by}: {remedy}")))
    };
    for (key, address) in [
        ("quic", config.quic),
        ("peer", config.peer),
        ("http", config.http),
    ] {
        let highest = u16::MAX - u16::from(count - 1);
        if address.port() > highest {
            return refuse(
                key,
                format!(
                    "with --nodes {count} there are no ports for all nodes from {} on; use one up to \
                     {highest}, or 0 for free ones",
                    address.port()
                ),
            );
        }
    }
    let (quic, peer) = (config.quic, config.peer);
    let are_given = quic.port() != 0 && peer.port() != 0;
    let is_same_place =
        quic.ip() == peer.ip() || quic.ip().is_unspecified() || peer.ip().is_unspecified();
    if are_given && is_same_place && quic.port().abs_diff(peer.port()) < u16::from(count) {
        return refuse(
            "peer",
            format!(
                "with --nodes {count} the ports from {} on meet those of --quic from {} on; use \
                 ports {count} or more apart",
                peer.port(),
                quic.port()
            ),
        );
    }
    Ok(())
}

impl Layout {
    /// Finds a port for everything; those that are given must be free. What had a free port before gets the
    /// same, so that whoever knows it finds it again.
    pub(super) fn find(
        config: &NodeConfig,
        count: u8,
        clock: &Clock,
    ) -> Result<Self, CommandFailure> {
        let mut search = Search {
            config,
            clock,
            held: Vec::new(),
            held_tcp: Vec::new(),
        };
        let mut nodes: Vec<Place> = (0..u16::from(count))
            .map(|offset| Place {
                name: name(offset + 1),
                quic: given(config.quic, offset),
                peer: given(config.peer, offset),
                http: given(config.http, offset),
            })
            .collect();
        // First those that can be nowhere else.
        for node in &nodes {
            search.hold_given("quic", &node.name, node.quic)?;
            search.hold_given("peer", &node.name, node.peer)?;
        }
        let beside = match config.peer.port() {
            0 => None,
            port => port.checked_add(count.into()),
        };
        for node in &mut nodes {
            let before = Before::read(&config.data_dir.join(&node.name));
            node.quic = search.free("quic", node.quic, [before.quic, None])?;
            node.peer = search.free("peer", node.peer, [before.peer, None])?;
            node.http = search.free_tcp(node.http, before.http)?;
        }
        // All on this machine: nobody else has anything to ask of it.
        let storage = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let before = Before::read(&config.data_dir.join(STORAGE));
        let storage = search.free("peer", storage, [before.peer, beside])?;
        Ok(Self { nodes, storage })
    }
}

/// The name of a node by its number from 1.
fn name(number: u16) -> String {
    format!("node-{number}")
}

/// The address of the node this many after the first; port 0 stays.
fn given(first: SocketAddr, offset: u16) -> SocketAddr {
    match first.port() {
        0 => first,
        // It was checked that there are so many.
        port => SocketAddr::new(first.ip(), port.saturating_add(offset)),
    }
}

/// The ports that a node had before.
#[derive(Debug, Default)]
struct Before {
    quic: Option<u16>,
    peer: Option<u16>,
    http: Option<u16>,
}

impl Before {
    /// Of its configuration; nothing if that cannot be read, it is about to be written again.
    fn read(directory: &Path) -> Self {
        let text = std::fs::read_to_string(directory.join(CONFIG_FILE)).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        let port = |key: &str| {
            let address: SocketAddr = table.get(key)?.as_str()?.parse().ok()?;
            Some(address.port())
        };
        Self {
            quic: port("quic"),
            peer: port("peer"),
            http: port("http"),
        }
    }
}

/// Ports are held until all are found, so that none is found twice.
struct Search<'a> {
    config: &'a NodeConfig,
    clock: &'a Clock,
    held: Vec<UdpSocket>,
    held_tcp: Vec<TcpListener>,
}

impl Search<'_> {
    fn hold_given(
        &mut self,
        key: &str,
        node: &str,
        address: SocketAddr,
    ) -> Result<(), CommandFailure> {
        if address.port() != 0 {
            let socket = UdpSocket::bind(address)
                .map_err(|error| self.unbound(key, &format!("{address} of {node}"), &error))?;
            self.held.push(socket);
        }
        Ok(())
    }

    /// The address itself, unless its port is 0: then one of the wanted ports, or any.
    fn free(
        &mut self,
        key: &str,
        address: SocketAddr,
        wanted: [Option<u16>; 2],
    ) -> Result<SocketAddr, CommandFailure> {
        if address.port() != 0 {
            return Ok(address);
        }
        let ip = address.ip();
        let mut wanted = wanted.into_iter().flatten();
        let socket = wanted
            .find_map(|port| UdpSocket::bind((ip, port)).ok())
            .map_or_else(|| free_port::udp(self.clock, ip), Ok);
        let found = socket.and_then(|socket| {
            let address = socket.local_addr()?;
            self.held.push(socket);
            Ok(address)
        });
        found.map_err(|error| self.unbound(key, &ip.to_string(), &error))
    }

    fn free_tcp(
        &mut self,
        address: SocketAddr,
        wanted: Option<u16>,
    ) -> Result<SocketAddr, CommandFailure> {
        if address.port() != 0 {
            return Ok(address);
        }
        let ip: IpAddr = address.ip();
        let listener = wanted
            .and_then(|port| TcpListener::bind((ip, port)).ok())
            .map_or_else(|| free_port::tcp(self.clock, ip), Ok);
        let found = listener.and_then(|listener| {
            let address = listener.local_addr()?;
            self.held_tcp.push(listener);
            Ok(address)
        });
        found.map_err(|error| self.unbound("http", &ip.to_string(), &error))
    }

    /// A port that is in use is free another time; an address of another machine never is.
    fn unbound(&self, key: &str, what: &str, error: &io::Error) -> CommandFailure {
        let by = self.config.origin(key);
        match error.kind() {
            io::ErrorKind::AddrNotAvailable => CommandFailure::usage(format!(
                "{by}: {what}: {error}; use an address of this machine"
            )),
            _ => CommandFailure::failed(format!(
                "{by}: {what}: {error}; stop what listens there, or use another port (0 for free ones)"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::cli::NodeFlags;
    use crate::operate::failure::Exit;

    fn config(change: impl FnOnce(&mut NodeFlags)) -> NodeConfig {
        let mut flags = NodeFlags {
            quic: Some("127.0.0.1:0".into()),
            peer: Some("127.0.0.1:0".into()),
            http: Some("127.0.0.1:0".into()),
            ..NodeFlags::default()
        };
        change(&mut flags);
        NodeConfig::load(&flags).unwrap()
    }

    #[test]
    fn what_does_not_go_with_nodes_is_named_with_its_remedy() {
        let refusals: [(&str, NodeConfig); 7] = [
            (
                "--advertise-quic",
                config(|it| it.advertise_quic = Some("a:1".into())),
            ),
            (
                "--roles",
                config(|it| it.roles = Some(vec!["storage".into()])),
            ),
            ("--store", config(|it| it.store = Some("node:a:1".into()))),
            ("--name", config(|it| it.name = Some("a".into()))),
            (
                "--quic",
                config(|it| it.quic = Some("127.0.0.1:65528".into())),
            ),
            (
                "--http",
                config(|it| it.http = Some("127.0.0.1:65535".into())),
            ),
            (
                "--peer",
                config(|it| {
                    it.quic = Some("127.0.0.1:7400".into());
                    it.peer = Some("0.0.0.0:7392".into());
                }),
            ),
        ];
        for (flag, config) in refusals {
            let failure = check(&config, 9).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{failure:?}");
            assert!(failure.message.starts_with(flag), "{failure:?}");
        }
        let at_the_end = config(|it| it.quic = Some("127.0.0.1:65527".into()));
        assert!(check(&at_the_end, 9).is_ok());
    }

    #[test]
    fn free_ports_differ_and_come_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(|it| it.data_dir = Some(directory.path().into()));
        let layout = Layout::find(&config, 9, &Clock::system()).unwrap();
        let udp = layout.nodes.iter().flat_map(|it| [it.quic, it.peer]);
        let mut ports: Vec<u16> = udp.chain([layout.storage]).map(|it| it.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 19, "{layout:?}");

        let node = directory.path().join("node-2");
        std::fs::create_dir(&node).unwrap();
        let quic = layout.nodes[1].quic;
        std::fs::write(node.join(CONFIG_FILE), format!("quic = '{quic}'\n")).unwrap();
        let again = Layout::find(&config, 9, &Clock::system()).unwrap();
        assert_eq!(again.nodes[1].quic, quic);
    }

    #[test]
    fn given_ports_count_up_and_one_that_is_taken_is_named() {
        let mut tries = 0;
        // Others take ports as well.
        let (layout, first) = loop {
            tries += 1;
            assert!(tries < 20, "no two free ports side by side");
            let free = free_port::udp(&Clock::system(), Ipv4Addr::LOCALHOST.into()).unwrap();
            let first = free.local_addr().unwrap();
            let config = config(|it| it.quic = Some(first.to_string()));
            let taken = Layout::find(&config, 2, &Clock::system()).unwrap_err();
            assert!(taken.message.starts_with("--quic"), "{taken:?}");
            assert!(taken.message.contains(&first.to_string()), "{taken:?}");
            drop(free);
            if let Ok(layout) = Layout::find(&config, 2, &Clock::system()) {
                break (layout, first);
            }
        };
        let ports: Vec<u16> = layout.nodes.iter().map(|it| it.quic.port()).collect();
        assert_eq!(ports, [first.port(), first.port() + 1]);
    }
}
