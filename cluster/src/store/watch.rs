//! Watches that run elsewhere than where their callers wait, for stores that have to ask for them: begun at once,
//! bounded, and ended when nobody waits any more.

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use selvedge_protocol::limits::STORE_WATCHES_MAX;
use tokio::sync::{Semaphore, broadcast};

use super::Error;

/// The watches of a store.
#[derive(Debug)]
pub(super) struct Watches(Mutex<Places>);

/// Room for watches. When there is none left, those that have it complete by chance and others get theirs.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    full: broadcast::Sender<()>,
}

impl Places {
    fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(STORE_WATCHES_MAX)),
            full: broadcast::Sender::new(1),
        }
    }
}

impl Watches {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Places::new()))
    }

    /// Begins one at once, and not when it is polled: the sooner the store knows of it, the less it compares. Needs a
    /// tokio runtime.
    pub(super) fn begin(
        &self,
        watching: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> BoxFuture<'static, Result<(), Error>> {
        let (place, mut full) = {
            let mut places = self.0.lock();
            let place = match Arc::clone(&places.free).try_acquire_owned() {
                Ok(place) => Ok(place),
                Err(_) => {
                    // Who still cares asks again, who does not is gone.
                    let _ = places.full.send(());
                    *places = Places::new();
                    Arc::clone(&places.free).try_acquire_owned()
                }
            };
            (place, places.full.subscribe())
        };
        let watching = Abandoned(tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                result = watching => result,
                _ = full.recv() => Ok(()),
            }
        }));
        Box::pin(watching.outcome())
    }
}

/// A task that ends when nobody waits for it any more.
struct Abandoned(tokio::task::JoinHandle<Result<(), Error>>);

impl Abandoned {
    async fn outcome(mut self) -> Result<(), Error> {
        // Lost only by a panic: by chance, then.
        (&mut self.0).await.unwrap_or(Ok(()))
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abort();
    }
}
