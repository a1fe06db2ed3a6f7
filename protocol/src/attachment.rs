//! Bodies of answers that no frame holds. The Reply goes first on a stream of the server's, without its
//! body and with an extension that tells how long it is; then come the bytes, up to FIN.
//!
//! ```text
//! +--------------------------------------------------+-------------------+
//! | Reply, empty body, extension 1 = length (u64 BE) | body ...      FIN |
//! +--------------------------------------------------+-------------------+
//! ```
//!
//! Servers take a body off with [`detach`], clients put it back with [`attach`]. No bytes move here.

use bytes::Bytes;

use crate::frame::{Outcome, Reply, Success};
use crate::limits::{INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// The extension of a Reply whose body follows it.
pub const EXTENSION: u16 = 1;

/// Why no body can follow a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The extension is there, and is not eight bytes in a success without a body.
    #[error("a reply announces its body in a wrong way")]
    Malformed,
    /// More is announced than is ever sent.
    #[error("a reply announces a body of {length} bytes, at most {PAYLOAD_BYTES_MAX} are sent")]
    TooLarge { length: u64 },
}

/// Takes off a body that is too large for a frame.
pub fn detach(reply: &mut Reply) -> Option<Bytes> {
    let body = body(reply)?;
    if body.len() <= INLINE_BYTES_MAX {
        return None;
    }
    let body = std::mem::take(body);
    let length = Bytes::copy_from_slice(&(body.len() as u64).to_be_bytes());
    reply.ext.push((EXTENSION, length));
    Some(body)
}

/// How many bytes follow the reply; `None` if it is complete.
pub fn length(reply: &Reply) -> Result<Option<usize>, Error> {
    let Some((_, value)) = reply.ext.iter().find(|(number, _)| *number == EXTENSION) else {
        return Ok(None);
    };
    let value = <[u8; 8]>::try_from(&value[..]).map_err(|_| Error::Malformed)?;
    let Outcome::Success(Success { body, .. }) = &reply.outcome else {
        return Err(Error::Malformed);
    };
    if !body.is_empty() {
        return Err(Error::Malformed);
    }
    let length = u64::from_be_bytes(value);
    match usize::try_from(length) {
        Ok(length) if length <= PAYLOAD_BYTES_MAX => Ok(Some(length)),
        Ok(_) | Err(_) => Err(Error::TooLarge { length }),
    }
}

/// Puts the bytes that followed the reply into it.
pub fn attach(reply: &mut Reply, bytes: Bytes) {
    reply.ext.retain(|(number, _)| *number != EXTENSION);
    if let Some(body) = body(reply) {
        *body = bytes;
    }
}

fn body(reply: &mut Reply) -> Option<&mut Bytes> {
    match &mut reply.outcome {
        Outcome::Success(success) => Some(&mut success.body),
        Outcome::Failure(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use crate::error::{ErrorCode, Failure};
    use crate::frame::{Request, ServerFrame};

    fn reply(bytes: usize) -> Reply {
        Reply {
            request: Request::Query(7),
            outcome: Outcome::Success(Success {
                body: Bytes::from(vec![b'x'; bytes]),
                seq: 1,
                version: 2,
            }),
            ext: vec![(9, Bytes::from_static(b"kept"))],
        }
    }

    #[test]
    fn what_is_taken_off_fits_a_frame_and_is_put_back() {
        for bytes in [INLINE_BYTES_MAX + 1, PAYLOAD_BYTES_MAX] {
            let whole = reply(bytes);
            let mut sent = whole.clone();
            let body = detach(&mut sent).unwrap();
            let mut frame = Vec::new();
            codec::encode(&ServerFrame::Reply(sent.clone()), &mut frame).unwrap();
            assert!(frame.len() < 100);
            assert_eq!(length(&sent), Ok(Some(bytes)));
            attach(&mut sent, body);
            assert_eq!(sent, whole);
        }
    }

    #[test]
    fn what_a_frame_holds_stays_in_it() {
        for mut small in [reply(0), reply(INLINE_BYTES_MAX)] {
            assert_eq!(detach(&mut small), None);
            assert_eq!(length(&small), Ok(None));
        }
    }

    #[test]
    fn wrong_announcements_are_refused() {
        let announce = |mut reply: Reply, value: &[u8]| {
            reply.ext.push((EXTENSION, Bytes::copy_from_slice(value)));
            length(&reply)
        };
        assert_eq!(announce(reply(0), &[0; 7]), Err(Error::Malformed));
        assert_eq!(announce(reply(1), &[0; 8]), Err(Error::Malformed));
        let mut failed = reply(0);
        failed.outcome = Outcome::Failure(Failure::new(ErrorCode::Internal, "no"));
        assert_eq!(announce(failed, &[0; 8]), Err(Error::Malformed));
        let length = PAYLOAD_BYTES_MAX as u64 + 1;
        let too_large = Err(Error::TooLarge { length });
        assert_eq!(announce(reply(0), &length.to_be_bytes()), too_large);
        assert!(announce(reply(0), &[0xff; 8]).is_err());
    }
}
