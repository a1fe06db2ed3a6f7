//! Who is known to a cluster: rows in the store, changed by transactions of their own from any node, and read where
//! somebody shows a credential.
//!
//! One noun a file, each an `impl` of [`Directory`]. A change reads, decides, writes, and leaves its audit record and
//! its notice in the same commit ([`Change`]). Nothing here knows a transport.

mod api_keys;
mod change;
mod close;
mod erase;
mod look;
mod maker;
mod names;
mod roles;
mod seal;
mod user;
mod users;

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::{self, Store, Transaction};
use selvedge_protocol::limits::CREDENTIAL_READS_MAX;
use selvedge_protocol::{ErrorCode, Failure, if_version};
use tokio::sync::Semaphore;
use uuid::{Builder, Uuid};

use crate::gateway::failure;
use crate::identity::Standings;
use crate::identity::directory::names::Names;
use crate::identity::password::{Kept, Password, Passwords};
pub(super) use api_keys::KEY_PRINCIPAL;
pub use api_keys::{ApiKey, KeyMaker, MadeKey, NewKey};
pub(super) use change::Change;
pub(crate) use roles::unknown as no_such_role;
pub use roles::{Made as RoleMade, RoleWrite, StoredRole};
pub(super) use roles::{is_made, present};
pub(crate) use seal::SealedUsers;
pub(crate) use user::user_of;
pub use user::{Email, NewUser, User, UserChange, UserState, Username};
pub use users::UserAt;
pub(super) use users::read as read_user;
pub(crate) use users::unknown as no_such_user;

/// The directory, from one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Arc<dyn Store>,
    clock: Clock,
    standings: Standings,
    /// A permit for each look that a credential costs.
    looks: Semaphore,
    passwords: Passwords,
    names: Names,
}

/// A transaction with what was decided in it; one that was refused has written nothing.
pub(super) type Decided<T> = Result<(Box<dyn Transaction>, Result<T, Failure>), store::Error>;

impl Directory {
    /// That of a store, of the cluster with this key. Whoever makes it hands [`Directory::standings`] what is heard of
    /// changes. Where the store unseals, what users are is sealed; elsewhere it is in the clear.
    pub fn new(store: Arc<dyn Store>, clock: Clock, key: &SessionKey) -> Self {
        Self(Arc::new(Parts {
            store,
            passwords: Passwords::new(clock.clone()),
            clock,
            standings: Standings::default(),
            looks: Semaphore::new(CREDENTIAL_READS_MAX),
            names: Names::of_cluster(key),
        }))
    }

    /// What principals on this node rest on.
    pub fn standings(&self) -> &Standings {
        &self.0.standings
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    /// Where users are found by their names.
    pub(super) fn names(&self) -> &Names {
        &self.0.names
    }

    /// What hashes passwords on this node: all that do share its turns.
    pub(super) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// What is to be kept of a password for somebody of these names.
    pub async fn keep(&self, password: Password, names: &[&str]) -> Result<Kept, Failure> {
        password.check(names)?;
        self.passwords().turn().await?.hash(password).await
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// An id that nobody has, which tells when it was made.
    pub(super) fn new_id(&self, now_ms: u64) -> Uuid {
        Builder::from_unix_timestamp_millis(now_ms, &self.clock().random_bytes()).into_uuid()
    }

    /// Decides and writes in one transaction. `body` may run several times.
    pub(super) async fn transact<T, Fut>(
        &self,
        body: impl FnMut(Box<dyn Transaction>) -> Fut,
    ) -> Result<T, Failure>
    where
        Fut: Future<Output = Decided<T>>,
    {
        let done = store::run(self.store(), self.clock(), body).await;
        let (decided, _) = done.map_err(|error| failure::store(&error))?;
        decided
    }
}

/// That a row has the version that a change of it rests on; `version` is 0 where there is none.
pub(super) fn check_version(wanted: Option<u64>, version: u64) -> Result<(), Failure> {
    match wanted {
        Some(wanted) if wanted != version => Err(if_version::refused(wanted, version)),
        Some(_) | None => Ok(()),
    }
}

/// A refusal of a field.
pub(super) fn invalid(field: &str, message: impl Into<String>) -> Failure {
    Failure::field(ErrorCode::Invalid, field, message)
}

/// A text for people that can be shown in a list and a log: not empty, in one line, without control characters.
pub(super) fn one_line(text: &str, chars_max: usize) -> Result<(), String> {
    let is_plain = !text.chars().any(|it| it.is_control() || is_format(it));
    match (1..=chars_max).contains(&text.chars().count()) && is_plain {
        true => Ok(()),
        false => Err(format!(
            "give 1 to {chars_max} characters in one line, without control characters"
        )),
    }
}

/// Characters that are not seen but change what is seen: marks of direction, separators of lines.
const fn is_format(it: char) -> bool {
    matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
