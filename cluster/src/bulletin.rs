//! How every node hears of what administrators change: numbered notices in the store, written in the commit of what
//! they tell of, and read by a follower on each node within a second.
//!
//! What a notice says is the caller's. Nodes keep copies of what is stored and hear here which of them are old; a node
//! that has missed notices is told to read all anew. Nothing here decides of anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_protocol::limits::{
    NOTICE_BYTES_MAX, NOTICE_KEPT_MS, NOTICE_POLL_MS, NOTICES_READ_MAX,
};
use serde::{Deserialize, Serialize};

use crate::Clock;
use crate::store::keys::{AdminKey, Family, Key, KeyRange};
use crate::store::record::{self, Record};
use crate::store::{self, Isolation, Store, Transaction};

/// Writes a notice in the commit of what it tells of. All that announce conflict with each other, so this is for
/// what people change, not for what traffic does.
///
/// # Errors
/// Those of the store, and [`store::Error::TooLarge`] past [`NOTICE_BYTES_MAX`].
pub async fn announce(
    transaction: &mut dyn Transaction,
    at_ms: u64,
    body: &[u8],
) -> Result<(), store::Error> {
    if body.len() > NOTICE_BYTES_MAX {
        return Err(store::Error::TooLarge {
            what: "notice",
            bytes: body.len(),
            limit: NOTICE_BYTES_MAX,
        });
    }
    let number = last(transaction, Isolation::Serializable).await? + 1;
    let notice = Notice {
        at_ms,
        body: body.to_vec(),
    };
    transaction.set(&notice_key(number), &record::encode(&notice));
    transaction.set(&bell_key(), &record::encode(&Bell { number }));
    Ok(())
}

/// What a follower was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// What was announced since the last news, in order.
    Notices(Vec<Bytes>),
    /// Something was announced that is not there any more: all copies may be old.
    Lost,
}

/// Reads notices from a position on.
#[derive(Debug)]
pub struct Follower {
    store: Arc<dyn Store>,
    clock: Clock,
    /// The last that was read.
    number: u64,
    watch: Option<Watch>,
}

struct Watch(BoxFuture<'static, Result<(), store::Error>>);

impl Follower {
    /// Stands at the present: what is read from the store after this is as new as the notices that follow, or newer.
    pub async fn begin(store: Arc<dyn Store>, clock: Clock) -> Result<Self, store::Error> {
        let number = last(&mut *store.begin(), Isolation::Snapshot).await?;
        Ok(Self {
            store,
            clock,
            number,
            watch: None,
        })
    }

    /// Waits for news: half a second after their commit at the latest, while the store answers. While it does not,
    /// this goes on asking. May be dropped while it waits, and called again.
    pub async fn next(&mut self) -> News {
        let mut is_away = false;
        loop {
            // Begun before the look, so that nothing falls between both.
            let watch = self.watch.get_or_insert_with(|| {
                let bell = bell_key();
                Watch(self.store.watch(&bell))
            });
            match look(&*self.store, self.number).await {
                Ok(Some((number, news))) => {
                    self.number = number;
                    return news;
                }
                Ok(None) => is_away = false,
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(%error, "what administrators change is not heard of");
                    }
                }
            }
            let poll = tokio::time::sleep(Duration::from_millis(NOTICE_POLL_MS));
            tokio::select! {
                rung = &mut watch.0 => {
                    self.watch = None;
                    if rung.is_err() {
                        // A store that has no watches to give is polled.
                        tokio::time::sleep(Duration::from_millis(NOTICE_POLL_MS)).await;
                    }
                }
                () = poll => {}
            }
        }
    }

    /// Clears notices that all nodes have had their time to read. To be called now and then, by any node.
    pub fn clear_old(&self) -> impl Future<Output = Result<(), store::Error>> + Send + use<> {
        let store = Arc::clone(&self.store);
        let clock = self.clock.clone();
        async move {
            let before = clock.wall_ms().saturating_sub(NOTICE_KEPT_MS);
            let clearing = store::run_repeatable(&*store, &clock, |mut transaction| async move {
                clear(&mut *transaction, before).await?;
                Ok((transaction, ()))
            });
            clearing.await.map(drop)
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// What comes after a number, and up to which.
async fn look(store: &dyn Store, after: u64) -> Result<Option<(u64, News)>, store::Error> {
    let mut transaction = store.begin();
    let last = last(&mut *transaction, Isolation::Snapshot).await?;
    if last == after {
        return Ok(None);
    }
    let range = KeyRange::notices_from(after.saturating_add(1));
    let rows = transaction
        .range(range.read(NOTICES_READ_MAX, Isolation::Snapshot))
        .await?;
    let mut number = after;
    let mut notices = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let notice = record::decode::<Notice>(&key, &value)?;
        if key != notice_key(number + 1) {
            return Ok(Some((last, News::Lost)));
        }
        number += 1;
        notices.push(Bytes::from(notice.body));
    }
    // Of a store that was restored from an earlier moment as well: its numbers are behind.
    if notices.is_empty() {
        return Ok(Some((last, News::Lost)));
    }
    Ok(Some((number, News::Notices(notices))))
}

async fn clear(transaction: &mut dyn Transaction, before_ms: u64) -> Result<(), store::Error> {
    let range = KeyRange::family(Family::Notice);
    let rows = transaction
        .range(range.read(NOTICES_READ_MAX, Isolation::Snapshot))
        .await?;
    for (key, value) in rows {
        if record::decode::<Notice>(&key, &value)?.at_ms >= before_ms {
            break;
        }
        transaction.clear(&key);
    }
    Ok(())
}

async fn last(
    transaction: &mut dyn Transaction,
    isolation: Isolation,
) -> Result<u64, store::Error> {
    let key = bell_key();
    let Some(bell) = transaction.get(&key, isolation).await? else {
        return Ok(0);
    };
    Ok(record::decode::<Bell>(&key, &bell)?.number)
}

fn bell_key() -> Vec<u8> {
    Key::from(AdminKey::NoticeBell).encode()
}

fn notice_key(number: u64) -> Vec<u8> {
    Key::from(AdminKey::Notice { number }).encode()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Notice {
    at_ms: u64,
    body: Vec<u8>,
}

impl Record for Notice {
    const FORMAT: u8 = 1;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bell {
    number: u64,
}

impl Record for Bell {
    const FORMAT: u8 = 1;
}

#[cfg(test)]
mod tests;
