//! The last words to a client, and what ends its connection: the same over QUIC and over WebSocket.

use selvedge_protocol::codec;
use selvedge_protocol::frame::{Goodbye, Redirect, ServerFrame};
use selvedge_protocol::session::server::bounded;
use selvedge_protocol::{ErrorCode, Failure};

use crate::session::End;

/// What is said last. A client that cannot follow a Redirect reads on, and finds the Goodbye.
pub(crate) fn last_words(end: &End) -> Vec<ServerFrame> {
    let goodbye = |failure| ServerFrame::Goodbye(Goodbye { failure });
    match end {
        End::Done => vec![goodbye(None)],
        End::Failed(failure) => vec![goodbye(Some(bounded(failure.clone())))],
        End::Elsewhere(address) => vec![
            ServerFrame::Redirect(Redirect {
                address: address.clone(),
                ext: Vec::new(),
            }),
            goodbye(Some(moved())),
        ],
    }
}

/// Why a session that goes on elsewhere ends here.
pub(crate) fn moved() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "the session moves to another node; connect there and resume",
    )
}

/// The place of a code in the table of errors, from which close codes follow.
pub(crate) fn ordinal(code: ErrorCode) -> u16 {
    let ordinal = ErrorCode::ALL.iter().position(|each| *each == code);
    ordinal.map_or(0, |ordinal| u16::try_from(ordinal).unwrap_or(0))
}

/// The bytes are not frames.
pub(crate) fn malformed(error: &codec::Error) -> Failure {
    let code = match error {
        codec::Error::TooLarge { .. } => ErrorCode::TooLarge,
        codec::Error::Version(_) => ErrorCode::UnsupportedVersion,
        codec::Error::TooShort(_)
        | codec::Error::Ordinal(_)
        | codec::Error::Body { .. }
        | codec::Error::Record(_) => ErrorCode::Malformed,
    };
    Failure::new(code, error.to_string())
}

/// A frame of this node that cannot be sent: a defect, told in the log.
pub(crate) fn unsendable(error: &dyn std::error::Error) -> Failure {
    tracing::error!(%error, "a frame was not sent");
    Failure::new(
        ErrorCode::Internal,
        "the node made a frame that is over its limit",
    )
}
