//! Why a connection ends, what is said last, and the close code that follows from it: `protocol/docs/wire.md`,
//! "Close codes".

use selvedge_protocol::{ErrorCode, Failure};

use crate::session::{End, last_words, moved, ordinal};

use super::writer::Writer;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Last {
    /// The client closes it.
    Close,
    /// The client broke RFC 6455, or sent text that is no UTF-8: the code to close with.
    Violation(u16, &'static str),
    /// The client broke the protocol, or something else came in between.
    Failed(Failure),
    /// The session has ended it.
    End(End),
}

/// The codes of RFC 6455, 7.4.1, that a client may get.
const NORMAL: u16 = 1000;
pub(super) const PROTOCOL_ERROR: u16 = 1002;
pub(super) const NO_UTF8: u16 = 1007;
/// That of the first failure in the table of errors; the others follow.
const FAILURES: u16 = 4001;

impl Last {
    /// Appends the last words, and the Close.
    pub(super) fn write(self, writer: &mut Writer) {
        let end = match self {
            Self::Close => return writer.close(NORMAL, ""),
            Self::Violation(code, reason) => return writer.close(code, reason),
            Self::Failed(failure) => End::Failed(failure),
            Self::End(end) => end,
        };
        for frame in last_words(&end) {
            // What cannot be said is in the log; the close code says it as well.
            let _ = writer.frame(frame);
        }
        let failure = match end {
            End::Done => return writer.close(NORMAL, ""),
            End::Elsewhere(_) => moved(),
            End::Failed(failure) => failure,
        };
        writer.close(FAILURES + ordinal(failure.code), &failure.to_string());
    }
}

pub(super) fn no_hello() -> Failure {
    Failure::new(
        ErrorCode::Malformed,
        "no whole Hello came in time as the first message",
    )
}

pub(super) fn silent() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "nothing was heard for as long as `idleMs` says; connect again and resume",
    )
}

pub(super) fn unread() -> Failure {
    Failure::new(
        ErrorCode::Overloaded,
        "nothing was read for too long; connect again and resume",
    )
}
