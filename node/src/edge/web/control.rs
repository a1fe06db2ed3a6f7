//! What HTTP/3 has beside requests: its streams in one direction, with the settings of both ends among them, and the
//! end of the stream on which the session was asked for. Each connection of a browser has these tasks, which end it
//! where the other end breaks the rules, and otherwise end with it. What comes is passed over, in bounded memory.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::limits::{WEB_CAPSULE_BYTES_MAX, WEB_SETTINGS_BYTES_MAX};
use tokio::sync::oneshot;
use web_transport_proto::{Frame, Settings, StreamUni, VarInt};

use crate::edge::close;
use crate::edge::web::{Code, Violation, number, stream_code};

/// Sends the settings, reads the streams that the browser opens one way, and tells when its settings have come.
pub(super) async fn attend(connection: Connection, settled: oneshot::Sender<()>) {
    // Held until the connection has gone: without it there is no HTTP/3.
    let Some(_settings) = send_settings(&connection).await else {
        return;
    };
    let once = Once {
        settled: Mutex::new(Some(settled)),
        seen: Mutex::default(),
    };
    // As many at most as the browser may have open.
    let mut streams = FuturesUnordered::new();
    loop {
        tokio::select! {
            opened = connection.accept_uni() => match opened {
                Ok(recv) => streams.push(read(recv, &once)),
                Err(_) => return,
            },
            Some(Err(violation)) = streams.next() => {
                // Streams end with their connection as well.
                if connection.close_reason().is_none() {
                    violation.close(&connection);
                }
                return;
            }
        }
    }
}

async fn send_settings(connection: &Connection) -> Option<SendStream> {
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    let mut bytes = Vec::new();
    settings.encode(&mut bytes);
    let mut stream = connection.open_uni().await.ok()?;
    stream.write_all(&bytes).await.ok()?;
    Some(stream)
}

/// What a connection has once.
struct Once {
    settled: Mutex<Option<oneshot::Sender<()>>>,
    /// The kinds of the streams that there are.
    seen: Mutex<Vec<StreamUni>>,
}

impl Once {
    fn take(&self, kind: StreamUni) -> Result<(), Violation> {
        let mut seen = self.seen.lock();
        if seen.contains(&kind) {
            return Err(Violation {
                code: Code::StreamCreation,
                why: "a connection has one control stream, and one of each kind for its headers",
            });
        }
        seen.push(kind);
        Ok(())
    }
}

/// Reads a stream to its end.
async fn read(mut recv: RecvStream, once: &Once) -> Result<(), Violation> {
    let Some(kind) = number(&mut recv).await else {
        return Ok(());
    };
    let kind = VarInt::from_u64(kind).map_or(StreamUni::CONTROL, StreamUni);
    match kind {
        StreamUni::CONTROL => {
            once.take(kind)?;
            control(&mut recv, once).await
        }
        StreamUni::QPACK_ENCODER => {
            once.take(kind)?;
            pass(&mut recv, &[TABLE_OF_NOTHING]).await
        }
        StreamUni::QPACK_DECODER => {
            once.take(kind)?;
            pass(&mut recv, &[]).await
        }
        StreamUni::PUSH => Err(Violation {
            code: Code::StreamCreation,
            why: "clients do not push",
        }),
        StreamUni::WEBTRANSPORT => {
            // The session has none of this sort: what it is refused with is its own affair.
            let _ = recv.stop(stream_code(close::code(ErrorCode::Malformed)));
            Ok(())
        }
        _ => {
            let _ = recv.stop(Code::StreamCreation.into());
            Ok(())
        }
    }
}

/// Sets the capacity of the dynamic table to zero, which it is.
const TABLE_OF_NOTHING: u8 = 0x20;

/// Passes over what comes on a stream that has no end; where there are `allowed` bytes, only those may come.
async fn pass(recv: &mut RecvStream, allowed: &[u8]) -> Result<(), Violation> {
    while let Ok(Some(chunk)) = recv.read_chunk(READ_BYTES, true).await {
        if !allowed.is_empty() && chunk.bytes.iter().any(|byte| !allowed.contains(byte)) {
            return Err(Violation {
                code: Code::EncoderStream,
                why: "there is no dynamic table: its capacity is 0",
            });
        }
    }
    Err(CLOSED)
}

/// What is taken at a time of what is passed over.
const READ_BYTES: usize = 4 * 1024;

const CLOSED: Violation = Violation {
    code: Code::ClosedCriticalStream,
    why: "a stream was closed that lasts as long as the connection",
};

async fn control(recv: &mut RecvStream, once: &Once) -> Result<(), Violation> {
    let missing = Violation {
        code: Code::MissingSettings,
        why: "the control stream begins with SETTINGS",
    };
    let kind = number(recv).await.ok_or(CLOSED)?;
    if kind != Frame::SETTINGS.0.into_inner() {
        return Err(missing);
    }
    let length = number(recv).await.ok_or(CLOSED)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= WEB_SETTINGS_BYTES_MAX)
        .ok_or(Violation {
            code: Code::ExcessiveLoad,
            why: "the settings are over 4 KiB: send fewer",
        })?;
    let mut settings = vec![0; length];
    recv.read_exact(&mut settings).await.map_err(|_| CLOSED)?;
    check(&settings)?;
    if let Some(settled) = once.settled.lock().take() {
        // Nobody waits where the time for it is over.
        let _ = settled.send(());
    }
    drop(settings);
    loop {
        let kind = number(recv).await.ok_or(CLOSED)?;
        let mut left = number(recv).await.ok_or(CLOSED)?;
        if NOT_ON_CONTROL.contains(&kind) {
            return Err(Violation {
                code: Code::FrameUnexpected,
                why: "this frame has no place on the control stream after its settings",
            });
        }
        while left > 0 {
            let part = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let chunk = recv.read_chunk(part, true).await;
            let chunk = chunk.ok().flatten().ok_or(CLOSED)?;
            left -= chunk.bytes.len() as u64;
        }
    }
}

/// DATA, HEADERS, SETTINGS and PUSH_PROMISE, and those of HTTP/2 that have no place in HTTP/3.
const NOT_ON_CONTROL: [u64; 8] = [0x0, 0x1, 0x2, 0x4, 0x5, 0x6, 0x8, 0x9];

/// Whether these are settings. What they say is not asked: whoever asks for a session can have one.
fn check(mut settings: &[u8]) -> Result<(), Violation> {
    let incomplete = |_| Violation {
        code: Code::Frame,
        why: "the settings end within one",
    };
    while !settings.is_empty() {
        let name = VarInt::decode(&mut settings).map_err(incomplete)?;
        VarInt::decode(&mut settings).map_err(incomplete)?;
        if OF_HTTP2.contains(&name.into_inner()) {
            return Err(Violation {
                code: Code::Settings,
                why: "a setting of HTTP/2 has no place in HTTP/3",
            });
        }
    }
    Ok(())
}

/// ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE and MAX_FRAME_SIZE.
const OF_HTTP2: [u64; 4] = [0x2, 0x3, 0x4, 0x5];

/// Reads what a browser says of its session, until it ends: then the connection does, and whoever was in it comes back
/// with its resume token or not at all.
pub(super) async fn until_ended(connection: Connection, mut recv: RecvStream) {
    let mut left = WEB_CAPSULE_BYTES_MAX;
    while let Ok(Some(chunk)) = recv.read_chunk(READ_BYTES, true).await {
        let Some(rest) = left.checked_sub(chunk.bytes.len()) else {
            let violation = Violation {
                code: Code::ExcessiveLoad,
                why: "too much was said on the stream of the session's request; frames go on streams of their own",
            };
            return violation.close(&connection);
        };
        left = rest;
    }
    connection.close(Code::NoError.into(), b"");
}
