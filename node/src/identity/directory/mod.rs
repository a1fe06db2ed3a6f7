//! Who is known to a cluster: rows in the store, changed by transactions of their own from any node, and read where
//! somebody shows a credential.
//!
//! One noun a file, each an `impl` of [`Directory`]. A change reads, decides, writes, and leaves its audit record and
//! its notice in the same commit ([`Change`]). Nothing here knows a transport.

mod change;
mod user;
mod users;

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::store::Store;
use uuid::{Builder, Uuid};

use crate::identity::Standings;
pub(super) use change::Change;
pub use user::{Email, NewUser, User, UserChange, UserState, Username};
pub use users::UserAt;
pub(super) use users::{read as read_user, write as write_user};

/// The directory, from one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Arc<dyn Store>,
    clock: Clock,
    standings: Standings,
}

impl Directory {
    /// That of a store. Whoever makes it hands [`Directory::standings`] what is heard of changes.
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self(Arc::new(Parts {
            store,
            clock,
            standings: Standings::default(),
        }))
    }

    /// What principals on this node rest on.
    pub fn standings(&self) -> &Standings {
        &self.0.standings
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// An id that nobody has, which tells when it was made.
    pub(super) fn new_id(&self, now_ms: u64) -> Uuid {
        Builder::from_unix_timestamp_millis(now_ms, &self.clock().random_bytes()).into_uuid()
    }
}
