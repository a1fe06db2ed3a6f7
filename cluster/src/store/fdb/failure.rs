//! What FoundationDB's errors mean to our callers. Pure.
//!
//! The numbers are those of its documentation, "Error codes". Of a commit that was asked for, only those that say that
//! nothing was written may be anything but unknown.

use super::super::{Error, size};
use super::native::Code;

/// Of a read, or of anything else before the commit.
pub(super) fn read(code: Code) -> Error {
    match code.number {
        TOO_OLD => Error::TooOld,
        NOT_COMMITTED => Error::Conflict,
        TIMED_OUT => Error::Unavailable("it did not answer in time".to_owned()),
        KEY_TOO_LARGE => too_large(size::KEY, selvedge_protocol::limits::STORE_KEY_BYTES_MAX),
        other => outside(other, code),
    }
}

/// Of a commit.
pub(super) fn commit(code: Code) -> Error {
    match code.number {
        TOO_OLD => Error::TooOld,
        NOT_COMMITTED => Error::Conflict,
        TRANSACTION_TOO_LARGE => {
            let limit = selvedge_protocol::limits::STORE_TRANSACTION_BYTES_MAX;
            too_large(size::TRANSACTION, limit)
        }
        KEY_TOO_LARGE => too_large(size::KEY, selvedge_protocol::limits::STORE_KEY_BYTES_MAX),
        VALUE_TOO_LARGE => too_large(
            size::VALUE,
            selvedge_protocol::limits::STORE_VALUE_BYTES_MAX,
        ),
        LOCKED | FUTURE_VERSION | PROCESS_BEHIND | PROXY_FULL | BATCH_THROTTLED | TAG_THROTTLED
        | GRV_PROXY_FULL => outside(code.number, code),
        _ => Error::CommitUnknown,
    }
}

fn outside(number: i32, code: Code) -> Error {
    let reason = match number {
        LOCKED => {
            "the database is locked, as for a restore or a move to another cluster; when that is done, \
             `fdbcli --exec \"unlock UID\"` opens it"
                .to_owned()
        }
        BATCH_THROTTLED | TAG_THROTTLED => {
            format!("it limits the rate of these transactions: {code}")
        }
        _ => code.to_string(),
    };
    Error::Unavailable(reason)
}

/// Past a limit only with what FoundationDB counts beside our own keys and values.
const fn too_large(what: &'static str, limit: usize) -> Error {
    Error::TooLarge {
        what,
        bytes: limit + 1,
        limit,
    }
}

const TOO_OLD: i32 = 1007;
const FUTURE_VERSION: i32 = 1009;
const NOT_COMMITTED: i32 = 1020;
const TIMED_OUT: i32 = 1031;
const PROCESS_BEHIND: i32 = 1037;
const LOCKED: i32 = 1038;
const PROXY_FULL: i32 = 1042;
const BATCH_THROTTLED: i32 = 1051;
const GRV_PROXY_FULL: i32 = 1078;
const TAG_THROTTLED: i32 = 1213;
const TRANSACTION_TOO_LARGE: i32 = 2101;
const KEY_TOO_LARGE: i32 = 2102;
const VALUE_TOO_LARGE: i32 = 2103;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(number: i32) -> Code {
        Code {
            number,
            text: "something",
        }
    }

    #[test]
    fn a_commit_is_unknown_unless_it_surely_was_not_done() {
        // Timed out, unknown by its own word, the cluster changed, the operation was cancelled, the connection
        // failed, and what nobody has heard of.
        for number in [TIMED_OUT, 1021, 1039, 1101, 1026, 1100, 4100, 9_999] {
            let error = commit(code(number));
            assert!(matches!(error, Error::CommitUnknown), "{number}: {error}");
        }
        assert!(matches!(commit(code(NOT_COMMITTED)), Error::Conflict));
        assert!(matches!(commit(code(TOO_OLD)), Error::TooOld));
        for number in [LOCKED, PROXY_FULL, TAG_THROTTLED, FUTURE_VERSION] {
            let error = commit(code(number));
            assert!(error.may_be_retried(), "{number}: {error}");
        }
        for number in [TRANSACTION_TOO_LARGE, KEY_TOO_LARGE, VALUE_TOO_LARGE] {
            let error = commit(code(number));
            assert!(matches!(error, Error::TooLarge { .. }), "{number}: {error}");
        }
    }

    #[test]
    fn a_read_that_failed_may_be_done_again() {
        for number in [TOO_OLD, TIMED_OUT, LOCKED, PROCESS_BEHIND, 1021, 9_999] {
            let error = read(code(number));
            assert!(error.may_be_retried(), "{number}: {error}");
        }
        let locked = read(code(LOCKED)).to_string();
        assert!(locked.contains("unlock"), "{locked}");
    }
}
