//! Who is known to a cluster: rows in the store, changed by transactions of their own from any node, and read where
//! somebody shows a credential.
//!
//! One noun a file, each an `impl` of [`Directory`]. A change reads, decides, writes, and leaves its audit record and
//! its notice in the same commit ([`Change`]). Nothing here knows a transport.

mod change;

use std::sync::Arc;

use selvedge_cluster::Clock;
use selvedge_cluster::store::Store;

use crate::identity::Standings;
pub(super) use change::Change;

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
}
