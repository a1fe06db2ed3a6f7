//! Errors of a store as they travel between its server and its clients, and back.

use selvedge_protocol::peer::store::{Large, StoreFailure};

use super::super::Error;
use super::super::size::{KEY, TRANSACTION, VALUE};

/// What a client is told.
pub(super) fn told(error: Error) -> StoreFailure {
    match error {
        Error::Conflict => StoreFailure::Conflict,
        Error::TooOld => StoreFailure::TooOld,
        Error::CommitUnknown => StoreFailure::CommitUnknown,
        Error::TooLarge { what, bytes, limit } => StoreFailure::TooLarge {
            what: large(what),
            bytes: bytes as u64,
            limit: limit as u64,
        },
        Error::Full { path, free, needed } => StoreFailure::Full { path, free, needed },
        Error::Corrupt { path, reason } | Error::Unreadable { path, reason } => {
            StoreFailure::Damaged { path, reason }
        }
        Error::Record { key, reason } => StoreFailure::Damaged { path: key, reason },
        Error::Unavailable(reason) => StoreFailure::Unavailable { reason },
        Error::Stopped(reason) => StoreFailure::Stopped { reason },
        // Found when a store is opened, long before it is served.
        opening @ (Error::Locked { .. } | Error::NewerSchema { .. } | Error::Unfinished) => {
            StoreFailure::Stopped {
                reason: opening.to_string(),
            }
        }
    }
}

/// What the client's caller is told. A store that has stopped on its node may be there again at once, as far
/// as the client knows.
pub(super) fn heard(failure: StoreFailure) -> Error {
    match failure {
        StoreFailure::Conflict => Error::Conflict,
        StoreFailure::TooOld => Error::TooOld,
        StoreFailure::CommitUnknown => Error::CommitUnknown,
        StoreFailure::TooLarge { what, bytes, limit } => Error::TooLarge {
            what: name(what),
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        },
        StoreFailure::Full { path, free, needed } => Error::Full { path, free, needed },
        StoreFailure::Damaged { path, reason } => Error::Unreadable { path, reason },
        StoreFailure::Unavailable { reason } => Error::Unavailable(reason),
        StoreFailure::Stopped { reason } => {
            Error::Unavailable(format!("it has stopped on its node: {reason}"))
        }
    }
}

fn large(what: &str) -> Large {
    match what {
        KEY => Large::Key,
        VALUE => Large::Value,
        TRANSACTION => Large::Transaction,
        _ => Large::Other,
    }
}

const fn name(what: Large) -> &'static str {
    match what {
        Large::Key => KEY,
        Large::Value => VALUE,
        Large::Transaction => TRANSACTION,
        Large::Other => "request",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_arrive_as_they_were() {
        let full = Error::Full {
            path: "/data".to_owned(),
            free: 1,
            needed: 2,
        };
        let large = Error::TooLarge {
            what: "value",
            bytes: 3,
            limit: 2,
        };
        let busy = Error::Unavailable("busy".to_owned());
        for error in [
            Error::Conflict,
            Error::TooOld,
            Error::CommitUnknown,
            full,
            large,
            busy,
        ] {
            let (said, may_be_retried) = (error.to_string(), error.may_be_retried());
            let arrived = heard(told(error));
            assert_eq!(arrived.to_string(), said);
            assert_eq!(arrived.may_be_retried(), may_be_retried);
        }
        let stopped = heard(told(Error::Stopped("a disk".to_owned())));
        assert!(matches!(stopped, Error::Unavailable(_)), "{stopped}");
    }
}
