//! The two forms of the protocol over WebSocket: which one a connection speaks, and frames of its client in it.

use bytes::BytesMut;
use selvedge_protocol::frame::ClientFrame;
use selvedge_protocol::{ErrorCode, Failure, codec, json};

use crate::session::malformed;

use super::frame::Received;

/// The form of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Binary,
    Json,
}

impl Form {
    /// The subprotocol that stands for it.
    pub(super) const fn subprotocol(self) -> &'static str {
        match self {
            Self::Binary => "selvedge.v1.bin",
            Self::Json => "selvedge.v1.json",
        }
    }

    /// Appends the frames of a message. Those of the binary form may be many, and are left to [`binary`].
    pub(super) fn read(
        self,
        message: Received,
        frames: &mut Vec<ClientFrame>,
    ) -> Result<BytesMut, Unreadable> {
        match (self, message) {
            (Self::Binary, Received::Binary(data)) => Ok(data),
            (Self::Json, Received::Text(data)) => {
                let text = std::str::from_utf8(&data).map_err(|_| Unreadable::NoUtf8)?;
                frames.push(json::decode(text).map_err(wrong)?);
                Ok(BytesMut::new())
            }
            (Self::Binary, Received::Text(data)) => {
                // RFC 6455, 8.1: whatever is said in it.
                std::str::from_utf8(&data).map_err(|_| Unreadable::NoUtf8)?;
                Err(other("binary"))
            }
            (Self::Json, Received::Binary(_)) => Err(other("text")),
            (_, Received::Ping(_) | Received::Pong | Received::Close) => Ok(BytesMut::new()),
        }
    }
}

/// Why a message cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    NoUtf8,
    NoFrame(Failure),
}

/// Takes frames off the front of a message, until there are `frames_max`.
pub(super) fn binary(
    data: &mut BytesMut,
    frames: &mut Vec<ClientFrame>,
    frames_max: usize,
) -> Result<(), Unreadable> {
    while !data.is_empty() && frames.len() < frames_max {
        match codec::decode(data) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => {
                return Err(Unreadable::NoFrame(Failure::new(
                    ErrorCode::Malformed,
                    "a message is one or more whole frames, and this one ends within one",
                )));
            }
            Err(error) => return Err(Unreadable::NoFrame(malformed(&error))),
        }
    }
    Ok(())
}

fn wrong(error: json::Error) -> Unreadable {
    let message = format!("{error}; frames are written as in \"Frames as JSON\" of docs/wire.md");
    Unreadable::NoFrame(Failure {
        field: error.field,
        ..Failure::new(ErrorCode::Malformed, message)
    })
}

fn other(wanted: &str) -> Unreadable {
    Unreadable::NoFrame(Failure::new(
        ErrorCode::Malformed,
        format!("messages of this subprotocol are {wanted}"),
    ))
}
