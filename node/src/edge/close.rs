//! Ends connections: the last words, where else to go among them, and the close codes of the table in [`super`].

use std::time::Duration;

use quinn::{Connection, SendStream, VarInt};
use selvedge_protocol::codec;
use selvedge_protocol::{ErrorCode, Failure};

use crate::session::{End, last_words, moved, ordinal};

/// The close code of an orderly end.
pub(super) const DONE: VarInt = VarInt::from_u32(0);

/// The close code of a failure.
pub(super) fn code(code: ErrorCode) -> VarInt {
    VarInt::from_u32(u32::from(ordinal(code)) + 1)
}

/// The reason in a CONNECTION_CLOSE must fit into one packet.
const REASON_BYTES_MAX: usize = 512;

/// Closes the connection at once, without last words.
pub(super) fn close(connection: &Connection, end: &End) {
    match end {
        End::Done => connection.close(DONE, b""),
        End::Elsewhere(_) => failed(connection, &moved()),
        End::Failed(failure) => failed(connection, failure),
    }
}

fn failed(connection: &Connection, failure: &Failure) {
    let reason = failure.to_string();
    let length = REASON_BYTES_MAX.min(reason.len());
    connection.close(code(failure.code), &reason.as_bytes()[..length]);
}

/// Says Goodbye on the control stream, waits until the client has it, then closes the connection.
/// `pending` are bytes that go before it.
pub(super) async fn say_goodbye(
    connection: &Connection,
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
    close(connection, &end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_code_of_its_own() {
        let mut codes: Vec<u64> = ErrorCode::ALL
            .iter()
            .map(|each| code(*each).into_inner())
            .collect();
        assert_eq!(codes[0], 1, "malformed is 1, as the table says");
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert!(!codes.contains(&DONE.into_inner()));
    }
}
