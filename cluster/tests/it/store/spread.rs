//! A store that says that it is spread over machines, whatever it is: a cluster that is created on it has sharded
//! indexes.

use std::sync::Arc;

use futures::future::BoxFuture;
use selvedge_cluster::store::{Error, Store, Transaction, Version};

#[derive(Debug, Clone)]
pub(crate) struct Spread(pub(crate) Arc<dyn Store>);

impl Store for Spread {
    fn begin(&self) -> Box<dyn Transaction> {
        self.0.begin()
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.0.begin_at(version)
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        self.0.watch(key)
    }

    fn is_exclusive(&self) -> bool {
        self.0.is_exclusive()
    }

    fn is_spread(&self) -> bool {
        true
    }

    fn health(&self) -> Result<(), Error> {
        self.0.health()
    }
}
