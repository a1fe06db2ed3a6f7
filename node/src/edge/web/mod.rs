//! WebTransport over HTTP/3 (draft-ietf-webtrans-http3), which is how browsers reach the edge's QUIC port: as much
//! of HTTP/3 (RFC 9114) as one session needs, and one session a connection. The [wire](super::wire) calls it. There is
//! no dynamic table of headers, no push, and nothing is served but the session: it knows no frames of ours.

mod control;
mod origin;
mod request;

use std::time::Duration;

use bytes::BufMut;
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::debug;
use web_transport_proto as proto;
use web_transport_proto::{Capsule, Frame, StreamUni};

pub(crate) use crate::edge::web::origin::{Pages, is_at};
use crate::edge::web::request::{Request, Unread};

/// The name of HTTP/3 in ALPN.
pub(super) const ALPN: &[u8] = b"h3";

/// The path of sessions: `https://host:port/session`.
pub(super) const PATH: &str = "/session";

/// A session that the browser asked for and got. Its connection is closed with the last of its handles.
#[derive(Debug)]
pub(super) struct WebSession {
    connection: Connection,
    /// The number of the stream on which it was asked for.
    id: u64,
    stream_head: Vec<u8>,
    datagram_head: Vec<u8>,
    /// That stream towards the browser: its end is the session's.
    stream: Mutex<Option<SendStream>>,
}

impl WebSession {
    fn new(connection: Connection, stream: SendStream) -> Self {
        let id = VarInt::from(stream.id()).into_inner();
        let (mut stream_head, mut datagram_head) = (Vec::new(), Vec::new());
        StreamUni::WEBTRANSPORT.encode(&mut stream_head);
        put(&mut stream_head, id);
        // Datagrams count the streams that could have sessions: every fourth.
        put(&mut datagram_head, id / 4);
        Self {
            connection,
            id,
            stream_head,
            datagram_head,
            stream: Mutex::new(Some(stream)),
        }
    }

    /// What a stream to the browser begins with.
    pub(super) fn stream_head(&self) -> &[u8] {
        &self.stream_head
    }

    /// What a datagram begins with, both ways.
    pub(super) fn datagram_head(&self) -> &[u8] {
        &self.datagram_head
    }

    /// Ends the session with a code and its reason, waits until the browser has both, then closes the connection.
    pub(super) async fn close(&self, code: u32, reason: &str, linger: Duration) {
        let stream = self.stream.lock().take();
        if let Some(mut stream) = stream {
            let capsule = Capsule::CloseWebTransportSession {
                code,
                reason: reason.to_owned(),
            };
            let (mut said, mut bytes) = (Vec::new(), Vec::new());
            capsule.encode(&mut said);
            Frame::DATA.encode(&mut bytes);
            put(&mut bytes, said.len() as u64);
            bytes.extend_from_slice(&said);
            let told = async {
                stream.write_all(&bytes).await.ok()?;
                stream.finish().ok()?;
                stream.stopped().await.ok()
            };
            let _ = tokio::time::timeout(linger, told).await;
        }
        self.connection.close(Code::NoError.into(), b"");
    }
}

impl Drop for WebSession {
    fn drop(&mut self) {
        // The tasks that look after HTTP/3 would keep it.
        self.connection.close(Code::NoError.into(), b"");
    }
}

/// From the handshake to the session, within the time until `deadline`. `None` closes the connection.
pub(super) async fn establish(
    connection: &Connection,
    pages: &Pages<'_>,
    deadline: Instant,
) -> Option<WebSession> {
    let (settled, settings) = oneshot::channel();
    let attending = control::attend(connection.clone(), settled);
    // Ends with the connection.
    tokio::spawn(attending);
    let opening = async {
        // A request is looked at when it is known that its sender speaks HTTP/3 in order.
        settings.await.ok()?;
        loop {
            let (send, recv) = connection.accept_bi().await.ok()?;
            let asked = request::read(recv).await;
            if let Some(session) = open(connection, pages, send, asked).await {
                return Some(session);
            }
        }
    };
    if let Ok(session) = tokio::time::timeout_at(deadline, opening).await {
        return session;
    }
    let reason = b"no session was asked for in time: CONNECT /session with :protocol webtransport";
    connection.close(Code::NoError.into(), reason);
    None
}

/// Grants a session if it was asked for, and answers whatever else was.
async fn open(
    connection: &Connection,
    pages: &Pages<'_>,
    mut send: SendStream,
    asked: Result<Request, Unread>,
) -> Option<WebSession> {
    match asked {
        Ok(Request::Session { ask, recv }) => match ask.refusal(pages) {
            None => {
                request::accept(&mut send).await?;
                let session = WebSession::new(connection.clone(), send);
                // Ends with the connection as well.
                tokio::spawn(control::until_ended(connection.clone(), recv));
                return Some(session);
            }
            Some(refusal) => refusal.tell(send, recv).await,
        },
        // Nothing is kept for a session that is not there yet.
        Ok(Request::Stream { recv, .. }) => turn_away(send, recv, Code::StreamRejected),
        Ok(Request::Other { refusal, recv }) => refusal.tell(send, recv).await,
        Err(unread) => unread.tell(connection, send),
    }
    None
}

/// Reads what a stream begins with that the browser opened while it has its session, and gives the stream back if it
/// is the session's.
pub(super) async fn enter(
    connection: &Connection,
    session: &WebSession,
    send: SendStream,
    recv: RecvStream,
) -> Option<(SendStream, RecvStream)> {
    match request::read(recv).await {
        Ok(Request::Stream { session: id, recv }) if id == session.id => return Some((send, recv)),
        Ok(Request::Stream { recv, .. }) => turn_away(send, recv, Code::StreamRejected),
        // The browser knows from the settings that there is one, and may not know yet that it has it.
        Ok(Request::Session { recv, .. }) => turn_away(send, recv, Code::RequestRejected),
        Ok(Request::Other { refusal, recv }) => refusal.tell(send, recv).await,
        Err(unread) => unread.tell(connection, send),
    }
    None
}

fn turn_away(mut send: SendStream, mut recv: RecvStream, code: Code) {
    let _ = recv.stop(code.into());
    let _ = send.reset(code.into());
}

/// A code of ours on a stream, among those of HTTP/3.
pub(super) fn stream_code(code: u32) -> VarInt {
    VarInt::from_u64(proto::error_to_http3(code)).unwrap_or(VarInt::MAX)
}

/// Why HTTP/3 goes no further: the codes of RFC 9114, 8.1, RFC 9204, 6, and the draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    NoError,
    StreamCreation,
    ClosedCriticalStream,
    FrameUnexpected,
    Frame,
    ExcessiveLoad,
    Settings,
    MissingSettings,
    RequestRejected,
    RequestIncomplete,
    Decompression,
    EncoderStream,
    StreamRejected,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(match code {
            Code::NoError => 0x100,
            Code::StreamCreation => 0x103,
            Code::ClosedCriticalStream => 0x104,
            Code::FrameUnexpected => 0x105,
            Code::Frame => 0x106,
            Code::ExcessiveLoad => 0x107,
            Code::Settings => 0x109,
            Code::MissingSettings => 0x10a,
            Code::RequestRejected => 0x10b,
            Code::RequestIncomplete => 0x10d,
            Code::Decompression => 0x200,
            Code::EncoderStream => 0x201,
            Code::StreamRejected => 0x3994_bd84,
        })
    }
}

/// What the other end did that HTTP/3 does not allow: the connection ends with it.
#[derive(Debug, Clone, Copy)]
struct Violation {
    code: Code,
    why: &'static str,
}

impl Violation {
    fn close(self, connection: &Connection) {
        debug!(peer = %connection.remote_address(), code = ?self.code, why = self.why, "HTTP/3 violated");
        connection.close(self.code.into(), self.why.as_bytes());
    }
}

/// Appends a number as QUIC writes them.
fn put(out: &mut impl BufMut, number: u64) {
    // Every number here is a stream's or a length, and those are in range.
    proto::VarInt::from_u64(number)
        .unwrap_or(proto::VarInt::MAX)
        .encode(out);
}

/// Reads a number; `None` where the stream ends, or is reset, before it.
async fn number(recv: &mut RecvStream) -> Option<u64> {
    let number = proto::VarInt::read_optional(recv).await.ok()??;
    Some(number.into_inner())
}
