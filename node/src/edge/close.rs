//! Ends connections: the last words, where else to go among them, and the close codes of the table in [`super`].

use std::time::Duration;

use quinn::SendStream;
use selvedge_protocol::codec;
use selvedge_protocol::{ErrorCode, Failure};

use crate::edge::wire::Wire;
use crate::session::{End, last_words, moved, ordinal};

/// The close code of an orderly end.
pub(super) const DONE: u32 = 0;

/// The close code of a failure.
pub(super) fn code(code: ErrorCode) -> u32 {
    u32::from(ordinal(code)) + 1
}

/// The reason in a CONNECTION_CLOSE must fit into one packet.
const REASON_BYTES_MAX: usize = 512;

/// Closes the connection without last words: at once, where the code needs no time to arrive.
pub(super) async fn close(wire: &Wire, end: &End, linger: Duration) {
    match end {
        End::Done => wire.close(DONE, "", linger).await,
        End::Elsewhere(_) => failed(wire, &moved(), linger).await,
        End::Failed(failure) => failed(wire, failure, linger).await,
    }
}

async fn failed(wire: &Wire, failure: &Failure, linger: Duration) {
    let reason = failure.to_string();
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    wire.close(code(failure.code), reason, linger).await;
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
