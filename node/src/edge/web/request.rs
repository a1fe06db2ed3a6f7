//! What a bidirectional stream of a browser begins with: a stream of its session, or a request of HTTP/3, of which
//! only the one for a session is granted. Headers are read within their bound and decoded whole.

use http_status::StatusCode;
use quinn::{Connection, RecvStream, SendStream};
use selvedge_protocol::limits::WEB_HEADERS_BYTES_MAX;
use url::Url;
use web_transport_proto::http as http_status;
use web_transport_proto::{ConnectError, ConnectRequest, ConnectResponse, Frame};

use crate::edge::web::origin::Pages;
use crate::edge::web::{Code, PATH, Violation, number, put};

/// What it begins with, and the stream behind that.
pub(super) enum Request {
    /// A stream of the session with this number.
    Stream { session: u64, recv: RecvStream },
    /// The request for a session.
    Session { ask: Ask, recv: RecvStream },
    /// Any other request.
    Other { refusal: Refusal, recv: RecvStream },
}

/// Who asks for a session, and where.
pub(super) struct Ask {
    url: Url,
    origin: Option<String>,
}

impl Ask {
    /// Why there is none for it.
    pub(super) fn refusal(&self, pages: &Pages<'_>) -> Option<Refusal> {
        if self.url.path() != PATH {
            return Some(Refusal::not_found());
        }
        let host = self.url.host_str().unwrap_or_default();
        if !pages.allow(self.origin.as_deref(), host) {
            return Some(Refusal {
                status: StatusCode::FORBIDDEN,
                why: "pages of this origin are not allowed here: add it to the origins of the node, or use a page of \
                      the same host\n",
            });
        }
        None
    }
}

/// An answer that is not a session.
pub(super) struct Refusal {
    status: StatusCode,
    why: &'static str,
}

impl Refusal {
    const fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            why: "here are sessions by WebTransport only: CONNECT /session with :protocol webtransport; HTTP has its \
                  own port\n",
        }
    }

    /// Answers, and reads no more of the request.
    pub(super) async fn tell(self, mut send: SendStream, mut recv: RecvStream) {
        let _ = recv.stop(Code::NoError.into());
        let mut bytes = Vec::new();
        if ConnectResponse::new(self.status)
            .encode(&mut bytes)
            .is_err()
        {
            return;
        }
        Frame::DATA.encode(&mut bytes);
        put(&mut bytes, self.why.len() as u64);
        bytes.extend_from_slice(self.why.as_bytes());
        // Who does not read it has gone.
        if send.write_all(&bytes).await.is_ok() {
            let _ = send.finish();
        }
    }
}

/// Why a request could not be read.
pub(super) enum Unread {
    /// It has no end, or not the form of a request: this stream is of no use.
    Stream(Code),
    /// It is against the rules of the connection.
    Connection(Violation),
}

impl Unread {
    pub(super) fn tell(self, connection: &Connection, mut send: SendStream) {
        match self {
            Self::Stream(code) => {
                let _ = send.reset(code.into());
            }
            Self::Connection(violation) => violation.close(connection),
        }
    }
}

/// Grants a session. `None` if the browser has gone.
pub(super) async fn accept(send: &mut SendStream) -> Option<()> {
    let mut bytes = Vec::new();
    ConnectResponse::OK.encode(&mut bytes).ok()?;
    send.write_all(&bytes).await.ok()
}

/// Reads no further than the headers, or the head of a stream.
pub(super) async fn read(mut recv: RecvStream) -> Result<Request, Unread> {
    let mut skipped = 0;
    loop {
        let incomplete = Unread::Stream(Code::RequestIncomplete);
        let Some(kind) = number(&mut recv).await else {
            return Err(incomplete);
        };
        let Some(length) = number(&mut recv).await else {
            return Err(incomplete);
        };
        if kind == Frame::WEBTRANSPORT.0.into_inner() {
            return Ok(Request::Stream {
                session: length,
                recv,
            });
        }
        let is_headers = kind == Frame::HEADERS.0.into_inner();
        if !is_headers && KNOWN_ELSEWHERE.contains(&kind) {
            return Err(Unread::Connection(Violation {
                code: Code::FrameUnexpected,
                why: "a stream begins with headers, or with the head of a WebTransport stream",
            }));
        }
        skipped += length;
        let Some(length) = usize::try_from(length)
            .ok()
            .filter(|_| skipped <= WEB_HEADERS_BYTES_MAX as u64)
        else {
            return Ok(Request::Other {
                refusal: too_large(),
                recv,
            });
        };
        let mut section = vec![0; length];
        if recv.read_exact(&mut section).await.is_err() {
            return Err(incomplete);
        }
        if is_headers {
            return decode(&section, recv);
        }
        // A frame of a kind that nobody knows is passed over, as RFC 9114, 9 wants it.
    }
}

/// DATA, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY and MAX_PUSH_ID, and those of HTTP/2 that have no place in
/// HTTP/3: all that RFC 9114 knows and that no request begins with.
const KNOWN_ELSEWHERE: [u64; 10] = [0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xd];

fn too_large() -> Refusal {
    Refusal {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        why: "the headers are over 16 KiB: send fewer\n",
    }
}

fn decode(section: &[u8], recv: RecvStream) -> Result<Request, Unread> {
    let mut frame = Vec::with_capacity(section.len() + FRAME_HEAD_BYTES);
    Frame::HEADERS.encode(&mut frame);
    put(&mut frame, section.len() as u64);
    frame.extend_from_slice(section);
    let refusal = match ConnectRequest::decode(&mut frame.as_slice()) {
        Ok(request) => {
            let origin = request.headers.get("origin");
            // What is no text is nobody's origin.
            let origin = origin.map(|it| it.to_str().unwrap_or("null").to_owned());
            let ask = Ask {
                url: request.url,
                origin,
            };
            return Ok(Request::Session { ask, recv });
        }
        Err(ConnectError::QpackError(_)) => {
            return Err(Unread::Connection(Violation {
                code: Code::Decompression,
                why: "the headers cannot be decoded; there is no dynamic table",
            }));
        }
        Err(ConnectError::FieldSectionTooLarge) => too_large(),
        Err(ConnectError::WrongMethod(_) | ConnectError::WrongProtocol(_)) => Refusal::not_found(),
        Err(_) => Refusal {
            status: StatusCode::BAD_REQUEST,
            why: "these are not the headers of a request: :method, :scheme https, :authority and :path are needed\n",
        },
    };
    Ok(Request::Other { refusal, recv })
}

/// The kind and the length of a frame of headers.
const FRAME_HEAD_BYTES: usize = 5;
