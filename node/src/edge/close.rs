//! Ends connections: the last words, where else to go among them, and the close codes of the table in [`super`].

use std::time::Duration;

use quinn::SendStream;
use selvedge_protocol::codec;
use selvedge_protocol::frame::{Goodbye, Redirect, ServerFrame};
use selvedge_protocol::session::server::bounded;
use selvedge_protocol::{ErrorCode, Failure};

use crate::edge::wire::Wire;
use crate::session::End;

/// The close code of an orderly end.
pub(super) const DONE: u32 = 0;

/// The close code of a failure.
pub(super) fn code(code: ErrorCode) -> u32 {
    let ordinal = ErrorCode::ALL.iter().position(|each| *each == code);
    ordinal.map_or(0, |ordinal| u32::try_from(ordinal).unwrap_or(0) + 1)
}

/// The reason in a CONNECTION_CLOSE must fit into one packet.
const REASON_BYTES_MAX: usize = 512;

/// Closes the connection without last words: at once, where the code needs no time to arrive.
pub(super) async fn close(wire: &Wire, end: &End, linger: Duration) {
    match end {
        End::Done => wire.close(DONE, "", linger).await,
        End::Elsewhere(_) => {
            let code = code(ErrorCode::Unavailable);
            wire.close(code, MOVED, linger).await;
        }
        End::Failed(failure) => {
            let reason = failure.to_string();
            let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
            wire.close(code(failure.code), reason, linger).await;
        }
    }
}

/// Says Goodbye on the control stream, waits until the client has it, then closes the connection.
/// `pending` are bytes that go before it.
pub(super) async fn say_goodbye(
    wire: &Wire,
    mut control: SendStream,
    pending: &[u8],
    end: End,
    linger: Duration,
) {
    let mut bytes = pending.to_vec();
    for frame in last_words(&end) {
        if let Err(error) = codec::encode(&frame, &mut bytes) {
            tracing::error!(%error, "last words fit no frame");
        }
    }
    let delivered = async {
        control.write_all(&bytes).await.ok()?;
        control.finish().ok()?;
        // Completes when the client has acknowledged everything, or does not want it.
        control.stopped().await.ok()
    };
    // A client that is gone or does not read hears it from the close code, or not at all.
    let _ = tokio::time::timeout(linger, delivered).await;
    close(wire, &end, linger).await;
}

/// A client that cannot follow a Redirect reads on, and finds the Goodbye.
fn last_words(end: &End) -> Vec<ServerFrame> {
    let goodbye = |failure| ServerFrame::Goodbye(Goodbye { failure });
    match end {
        End::Done => vec![goodbye(None)],
        End::Failed(failure) => vec![goodbye(Some(bounded(failure.clone())))],
        End::Elsewhere(address) => vec![
            ServerFrame::Redirect(Redirect {
                address: address.clone(),
                ext: Vec::new(),
            }),
            goodbye(Some(Failure::new(ErrorCode::Unavailable, MOVED))),
        ],
    }
}

/// Why a session that goes on elsewhere ends here.
const MOVED: &str = "the session moves to another node; connect there and resume";

/// The bytes on a stream are not frames.
pub(super) fn malformed(error: &codec::Error) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_code_of_its_own() {
        let mut codes: Vec<u32> = ErrorCode::ALL.iter().map(|each| code(*each)).collect();
        assert_eq!(codes[0], 1, "malformed is 1, as the table says");
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert!(!codes.contains(&DONE));
    }
}
