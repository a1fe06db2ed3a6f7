//! The session protocol over WebSocket, at `/ws`: `protocol/docs/wire.md`, "WebSocket".
//!
//! ```text
//! socket ─► actix-web ─► reader ─► connection ─► session       frames, in batches
//!    ▲                             (an actor)
//!    └───── actix-web ◄─ outbox ◄──────┴─────────◄ link         all that is ready, in one write
//!                                      ▲ mailbox
//!                                      ├─◄ subscription tasks   items, as the mailbox has room
//!                                      └─◄ payload tasks        windows and replies
//! ```
//!
//! One `actix` actor a connection, on the thread that serves its socket; sessions, feeds and the receivers of payloads
//! are on the main runtime, and reach it through its bounded mailbox. While the outbox is full the actor handles
//! nothing, so nothing is read, sessions queue what they were asked for, and events wait in the store.
//!
//! The frames of RFC 6455 are read here and not by a library: actix-http's parser ignores the reserved bits and so
//! knows no compression, and others bring a socket loop of their own.

mod connection;
mod deflate;
mod form;
mod frame;
mod handshake;
mod large;
mod outbox;
mod payload;
mod reader;
mod subscription;
mod writer;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::Inside;
use crate::bridge::problem::Problem;
use crate::session::{NodeRoom, PayloadRoom};

use self::handshake::{EXTENSION, agree};
use self::outbox::outbox;
use self::payload::WindowRoom;

/// The bounds of WebSockets.
#[derive(Debug, Clone)]
pub struct WebSocketConfig {
    /// How long a connection may take to its whole Hello.
    pub hello: Duration,
    /// How long a client may take nothing although something is there for it.
    pub stall: Duration,
    /// How long the last words to a client may take to arrive.
    pub linger: Duration,
    /// Bytes of attached payloads being received, over all connections; at least the largest one's.
    pub payload_bytes_max: usize,
    /// Bytes of payloads that have arrived and were not taken, over all connections.
    pub window_bytes_max: usize,
    /// Bytes of large answers and snapshots that clients have not taken, over all connections.
    pub answer_bytes_max: usize,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),       // as the edge
            stall: Duration::from_secs(30),       // the same patience as with a silent connection
            linger: Duration::from_secs(2),       // a few round trips
            payload_bytes_max: 256 * 1024 * 1024, // 32 of the largest at a time
            window_bytes_max: 64 * 1024 * 1024,   // 256 payloads at a time
            answer_bytes_max: 256 * 1024 * 1024,  // as for payloads, the other way
        }
    }
}

/// What all WebSockets of a bridge share.
#[derive(Debug)]
pub(super) struct WebSockets {
    config: WebSocketConfig,
    payload_room: PayloadRoom,
    window_room: WindowRoom,
    answer_room: NodeRoom,
}

impl WebSockets {
    pub(super) fn new(config: WebSocketConfig) -> Self {
        Self {
            payload_room: PayloadRoom::new(config.payload_bytes_max),
            window_room: WindowRoom::new(config.window_bytes_max),
            answer_room: NodeRoom::new(config.answer_bytes_max),
            config,
        }
    }
}

/// Answers a request for a WebSocket, and serves it from then on.
pub(super) async fn serve(
    request: HttpRequest,
    payload: Payload,
    inside: Data<Inside>,
    shared: Data<WebSockets>,
) -> HttpResponse {
    let agreed = match agree(request.method(), request.headers()) {
        Ok(agreed) => agreed,
        Err(failure) => return Problem::from(failure).error_response(),
    };
    if inside.sessions.is_draining() {
        return unavailable("the node is draining; connect to another, or again in a moment");
    }
    if inside.sessions.is_full() {
        return unavailable("the node has as many sessions as it may; connect to another");
    }
    let (out, body) = outbox();
    let mut response = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
    response
        .upgrade("websocket")
        .insert_header((SEC_WEBSOCKET_ACCEPT, agreed.accept.clone()))
        .insert_header((SEC_WEBSOCKET_PROTOCOL, agreed.form.subprotocol()));
    if agreed.is_deflating {
        response.insert_header((SEC_WEBSOCKET_EXTENSIONS, EXTENSION));
    }
    actix_web::rt::spawn(connection::open(agreed, payload, out, inside, shared));
    response.streaming(body)
}

fn unavailable(message: &str) -> HttpResponse {
    let failure = Failure::new(ErrorCode::Unavailable, message);
    Problem::from(failure).error_response()
}
