//! The limits of keys, values and transactions, which are FoundationDB's for every backend. Pure.

use selvedge_protocol::limits::{
    STORE_KEY_BYTES_MAX, STORE_TRANSACTION_BYTES_MAX, STORE_VALUE_BYTES_MAX,
};

use super::Error;

/// What errors call them.
pub(super) const KEY: &str = "key";
pub(super) const VALUE: &str = "value";
pub(super) const TRANSACTION: &str = "transaction";

pub(super) const fn check_key(bytes: usize) -> Result<(), Error> {
    check(KEY, bytes, STORE_KEY_BYTES_MAX)
}

pub(super) fn check_write(key: usize, value: usize) -> Result<(), Error> {
    check_key(key).and_then(|()| check(VALUE, value, STORE_VALUE_BYTES_MAX))
}

pub(super) const fn check_transaction(bytes: usize) -> Result<(), Error> {
    check(TRANSACTION, bytes, STORE_TRANSACTION_BYTES_MAX)
}

const fn check(what: &'static str, bytes: usize, limit: usize) -> Result<(), Error> {
    if bytes > limit {
        return Err(Error::TooLarge { what, bytes, limit });
    }
    Ok(())
}
