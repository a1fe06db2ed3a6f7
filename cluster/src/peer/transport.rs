//! Sockets and QUIC settings between nodes, each bounded. The listener and the dialer make their endpoints
//! with them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::{AckFrequencyConfig, TransportConfig, VarInt};
use selvedge_protocol::limits::{PEER_IDLE_MS_MAX, PEER_STREAMS_MAX};
use socket2::{Domain, Protocol, Socket, Type};

/// A UDP socket with room for the bursts of many transactions.
pub(super) fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The kernel cuts what it does not allow, without an error.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Of a node that others connect to: they open streams.
pub(super) fn listening() -> Arc<TransportConfig> {
    Arc::new(serving())
}

/// Of a node that connects to another one and serves it as well: both open streams.
pub(super) fn linking() -> Arc<TransportConfig> {
    let mut transport = serving();
    // Beats come more often, except at the end.
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    Arc::new(transport)
}

/// Of a node that connects and serves nothing: it alone opens streams, and keeps the connection alive.
pub(super) fn dialing() -> Arc<TransportConfig> {
    let mut transport = common();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .keep_alive_interval(Some(KEEP_ALIVE));
    Arc::new(transport)
}

fn serving() -> TransportConfig {
    let mut transport = common();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_STREAMS_MAX))
        .datagram_receive_buffer_size(Some(BEATS_BYTES));
    transport
}

fn common() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(UNACKNOWLEDGED_MAX));
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .initial_rtt(INITIAL_RTT)
        .ack_frequency_config(Some(acks))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Duration::from_millis(PEER_IDLE_MS_MAX).try_into().ok());
    transport
}

/// Beats are single bytes: as many as ever wait to be read, and no room for anything else.
const BEATS_BYTES: usize = 64;
/// Two keep-alives may be lost.
const KEEP_ALIVE: Duration = Duration::from_millis(PEER_IDLE_MS_MAX / 3);
/// Four megabytes: a burst of transactions overruns the usual 200 kB.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Unread bytes of one stream: a transaction of usual size at once, a large one in ten round trips.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same over all streams of a connection, and so the most that one peer makes another hold unread.
const RECEIVE_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Bytes on their way and not acknowledged.
const SEND_WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Before a round trip is measured: a lost first packet is repeated after about three times this. Nodes of
/// a cluster are seldom further apart.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// As at the edge: most acknowledgements then travel with answers, not in packets of their own.
const UNACKNOWLEDGED_MAX: u32 = 4;
