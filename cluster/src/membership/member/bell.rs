//! A watch on one key of the store that is armed again after each change. Used by the rounds of a member.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::store::Store;
use crate::store::keys::{ClusterKey, Key};

/// Rings when the value under a key may have changed.
pub(super) struct Bell {
    store: Arc<dyn Store>,
    key: Vec<u8>,
    /// A store that is away is asked this seldom.
    rest: Duration,
    ringing: BoxFuture<'static, ()>,
}

impl Bell {
    pub(super) fn new(store: Arc<dyn Store>, key: ClusterKey, rest: Duration) -> Self {
        let key = Key::from(key).encode();
        Self {
            ringing: arm(&*store, &key, rest),
            store,
            key,
            rest,
        }
    }

    /// Completes when it rings. It is armed again by then, so whoever reads after this misses no change.
    /// Dropping the future loses nothing.
    pub(super) async fn rung(&mut self) {
        (&mut self.ringing).await;
        self.ringing = arm(&*self.store, &self.key, self.rest);
    }
}

fn arm(store: &dyn Store, key: &[u8], rest: Duration) -> BoxFuture<'static, ()> {
    let watch = store.watch(key);
    Box::pin(async move {
        if watch.await.is_err() {
            tokio::time::sleep(rest).await;
        }
    })
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}
