//! Free ports for nodes that a command starts, on addresses that stay theirs while they are down.

use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::ops::Range;

use selvedge_cluster::Clock;

/// A UDP port that nobody has; it is held until the socket is dropped. The system gives it to nobody who does
/// not ask for it: while its node is down, a client that connects anew could else get it.
pub(crate) fn udp(clock: &Clock, ip: IpAddr) -> io::Result<UdpSocket> {
    let mut found = candidates(clock).filter_map(|port| UdpSocket::bind((ip, port)).ok());
    // Where none is found the system shall choose.
    found.next().map_or_else(|| UdpSocket::bind((ip, 0)), Ok)
}

/// The same for TCP.
pub(crate) fn tcp(clock: &Clock, ip: IpAddr) -> io::Result<TcpListener> {
    let mut found = candidates(clock).filter_map(|port| TcpListener::bind((ip, port)).ok());
    found.next().map_or_else(|| TcpListener::bind((ip, 0)), Ok)
}

fn candidates(clock: &Clock) -> impl Iterator<Item = u16> {
    let count = u64::from(PORTS.end - PORTS.start);
    (0..PORT_TRIES).map(move |_| {
        let offset = u16::try_from(clock.random() % count).unwrap_or(0);
        PORTS.start + offset
    })
}

/// Below those that Linux and the IANA give out for a moment (from 32,768).
const PORTS: Range<u16> = 20_000..32_000;
/// Ports that are tried: most are free.
const PORT_TRIES: u32 = 64;
