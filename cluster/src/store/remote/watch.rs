//! Watches on a storage node's store. One whose connection is lost completes by chance when there is another:
//! what changed meanwhile is then read.

use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use selvedge_protocol::limits::{STORE_KEY_BYTES_MAX, STORE_WATCHES_MAX};
use selvedge_protocol::peer::store::{StoreAnswer, StoreRequest, Watch};
use tokio::sync::{Semaphore, broadcast};

use super::super::{Error, Version};
use super::client::Shared;
use super::exchange::{Exchange, opening, put};
use super::failure::{KEY, heard};
use super::transaction::key_bytes;

/// The watches of a store.
#[derive(Debug)]
pub(super) struct Watches {
    shared: Arc<Shared>,
    places: Mutex<Places>,
}

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
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            places: Mutex::new(Places::new()),
        }
    }

    /// Watches from now on. Needs a tokio runtime.
    pub(super) fn add(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        if key.len() > STORE_KEY_BYTES_MAX {
            return Box::pin(ready(Err(Error::TooLarge {
                what: KEY,
                bytes: key.len(),
                limit: STORE_KEY_BYTES_MAX,
            })));
        }
        // Whatever happens from here on has a later version than this.
        let since = self.shared.seen();
        let (place, mut full) = {
            let mut places = self.places.lock();
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
        let shared = Arc::clone(&self.shared);
        let watching = watch(shared, key_bytes(key), since);
        // At once, and not when it is polled: the sooner it is known there, the less is compared.
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

async fn watch(shared: Arc<Shared>, key: bytes::Bytes, since: Version) -> Result<(), Error> {
    let connection = shared.next_connection().await;
    let asked = async {
        let mut exchange = Exchange::open(&connection).await.ok()?;
        let mut out = opening();
        put(&StoreRequest::Watch(Watch { key, since }), &mut out);
        exchange.say(&out).await.ok()?;
        let answer = exchange.answer().await.ok()?;
        exchange.end();
        Some(answer)
    };
    match asked.await {
        Some(StoreAnswer::Failed(failure)) => Err(heard(failure)),
        Some(_) => Ok(()),
        // Of a connection that lives, only the stream was ended: by chance.
        None if connection.close_reason().is_none() => Ok(()),
        None => {
            shared.connection_after(&connection).await;
            Ok(())
        }
    }
}
