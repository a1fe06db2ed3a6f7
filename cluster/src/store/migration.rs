//! The schema of a store: numbered migrations, forward only, each applied once.
//!
//! [`prepare`] is called at the start of every node, before anything else touches the store. Each
//! migration is one serialisable transaction that reads the schema and raises it: of two nodes that
//! try at once, one finds it done.

use std::fmt;

use selvedge_protocol::limits::SLOTS_DEFAULT;
use serde::{Deserialize, Serialize};

use super::keys::{Key, Shards};
use super::record::{self, Record};
use super::{Error, Isolation, Store, Transaction, run_repeatable};
use crate::Clock;

/// What is true of a store as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterMeta {
    /// The last migration that was applied.
    pub schema: u32,
    pub cluster: ClusterId,
    /// The number of slots, fixed when the cluster was created.
    pub slots: u16,
    /// Shards of each index, fixed likewise.
    pub index_shards: Shards,
    pub session_key: SessionKey,
}

/// Tells clusters apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterId(u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The secret under which the cluster signs resume tokens. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

/// Brings the store to the schema of this binary and answers what it is.
pub async fn prepare(store: &dyn Store, clock: &Clock) -> Result<ClusterMeta, Error> {
    prepare_with(store, clock, MIGRATIONS).await
}

/// The key that is there while a backup is being restored.
pub(crate) fn restoring() -> Vec<u8> {
    meta("restoring")
}

/// Whether the store has a part of a backup, and not yet all.
async fn unfinished(store: &dyn Store) -> Result<bool, Error> {
    let mark = store.begin().get(&restoring(), Isolation::Snapshot).await?;
    Ok(mark.is_some())
}

async fn prepare_with(
    store: &dyn Store,
    clock: &Clock,
    migrations: &'static [Migration],
) -> Result<ClusterMeta, Error> {
    if unfinished(store).await? {
        return Err(Error::Unfinished);
    }
    loop {
        // Each reads the schema that the one before has left: a repeat finds it done.
        let (applied, _) = run_repeatable(store, clock, |mut transaction| async move {
            let around = Around { store, clock };
            let applied = apply_next(&mut *transaction, &around, migrations).await?;
            Ok((transaction, applied))
        })
        .await?;
        match applied {
            Some(number) => tracing::info!(number, "migration applied"),
            None => break,
        }
    }
    let mut transaction = store.begin();
    let transaction = &mut *transaction;
    let schema = read::<Schema>(transaction, SCHEMA).await?;
    let cluster = read::<Cluster>(transaction, CLUSTER).await?;
    let index_shards = index_shards(transaction).await?;
    let (Some(schema), Some(cluster)) = (schema, cluster) else {
        return Err(Error::Record {
            key: CLUSTER.to_owned(),
            reason: "it is missing".to_owned(),
        });
    };
    Ok(ClusterMeta {
        schema: schema.number,
        cluster: cluster.id,
        slots: cluster.slots,
        index_shards,
        session_key: cluster.session_key,
    })
}

/// What the store was created with. A fact that is not there says one, in which form there was no such fact.
async fn index_shards(transaction: &mut dyn Transaction) -> Result<Shards, Error> {
    let Some(indexes) = read::<Indexes>(transaction, INDEXES).await? else {
        return Ok(Shards::ONE);
    };
    Shards::new(indexes.shards).ok_or_else(|| Error::Record {
        key: INDEXES.to_owned(),
        reason: format!("indexes have no {} shards", indexes.shards),
    })
}

/// One step of the schema.
#[derive(Debug)]
struct Migration {
    number: u32,
    /// The first release that understands the schema after it.
    release: &'static str,
    apply: fn(&mut dyn Transaction, &Around<'_>),
}

/// What a migration may ask beside the transaction.
#[derive(Debug)]
struct Around<'a> {
    store: &'a dyn Store,
    clock: &'a Clock,
}

/// Ascending, without gaps; none is ever changed once released.
const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    release: "0.1.0",
    apply: create_cluster,
}];

/// 1: what the cluster is.
fn create_cluster(transaction: &mut dyn Transaction, &Around { store, clock }: &Around<'_>) {
    let word = || u128::from(clock.random());
    let mut session_key = [0; 32];
    for part in session_key.chunks_exact_mut(8) {
        part.copy_from_slice(&clock.random().to_le_bytes());
    }
    let cluster = Cluster {
        id: ClusterId((word() << 64) | word()),
        slots: SLOTS_DEFAULT,
        session_key: SessionKey(session_key),
    };
    write(transaction, CLUSTER, &cluster);
    if store.is_spread() {
        let shards = Shards::SPREAD.count();
        write(transaction, INDEXES, &Indexes { shards });
    }
}

/// Applies the first migration that is missing and answers its number.
async fn apply_next(
    transaction: &mut dyn Transaction,
    around: &Around<'_>,
    migrations: &[Migration],
) -> Result<Option<u32>, Error> {
    let schema = read::<Schema>(transaction, SCHEMA).await?;
    let found = schema.as_ref().map_or(0, |schema| schema.number);
    let known = migrations.last().map_or(0, |last| last.number);
    if let Some(schema) = schema
        && schema.number > known
    {
        return Err(Error::NewerSchema {
            found: schema.number,
            known,
            needed: schema.release,
        });
    }
    let Some(next) = migrations.iter().find(|next| next.number > found) else {
        return Ok(None);
    };
    (next.apply)(transaction, around);
    let schema = Schema {
        number: next.number,
        release: next.release.to_owned(),
    };
    write(transaction, SCHEMA, &schema);
    let key = Key::Migration {
        number: next.number,
    };
    let applied = Applied {
        at_ms: around.clock.wall_ms(),
        by: env!("CARGO_PKG_VERSION").to_owned(),
    };
    transaction.set(&key.encode(), &record::encode(&applied));
    Ok(Some(next.number))
}

async fn read<R: Record>(
    transaction: &mut dyn Transaction,
    name: &str,
) -> Result<Option<R>, Error> {
    let key = meta(name);
    let stored = transaction.get(&key, Isolation::Serializable).await?;
    stored.map(|bytes| record::decode(&key, &bytes)).transpose()
}

fn write<R: Record>(transaction: &mut dyn Transaction, name: &str, record: &R) {
    transaction.set(&meta(name), &record::encode(record));
}

fn meta(name: &str) -> Vec<u8> {
    let name = name.to_owned();
    Key::Meta { name }.encode()
}

/// The last migration, and the first release that understands it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Schema {
    number: u32,
    release: String,
}

impl Record for Schema {
    const FORMAT: u8 = 1;
}

/// When and by which release a migration was applied.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Applied {
    at_ms: u64,
    by: String,
}

impl Record for Applied {
    const FORMAT: u8 = 1;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cluster {
    id: ClusterId,
    slots: u16,
    session_key: SessionKey,
}

impl Record for Cluster {
    const FORMAT: u8 = 1;
}

/// How the indexes of operations are laid out, where they are sharded.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Indexes {
    shards: u8,
}

impl Record for Indexes {
    const FORMAT: u8 = 1;
}

// Names of facts under `Key::Meta`.
const SCHEMA: &str = "schema";
const CLUSTER: &str = "cluster";
const INDEXES: &str = "indexes";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::embedded::{Embedded, EmbeddedConfig};
    use super::*;
    use record::golden;

    fn store() -> (Embedded, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(EmbeddedConfig::new(directory.path())).unwrap();
        (store, directory)
    }

    fn clock() -> Clock {
        Clock::manual(1_700_000_000_000, 7)
    }

    #[tokio::test]
    async fn a_store_is_prepared_once_and_keeps_what_it_is() {
        let (store, _directory) = store();
        let first = prepare(&store, &clock()).await.unwrap();
        assert_eq!((first.schema, first.slots), (1, 1_024));
        assert_eq!(first.index_shards, Shards::ONE);
        assert_ne!(first.session_key.as_bytes(), &[0; 32]);
        let again = prepare(&store, &Clock::system()).await.unwrap();
        assert_eq!(first, again);
        assert!(!format!("{first:?}").contains(&format!("{:?}", first.session_key.0)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nodes_that_prepare_at_once_agree() {
        let (store, _directory) = store();
        let (system, manual) = (Clock::system(), clock());
        let both = tokio::join!(prepare(&store, &system), prepare(&store, &manual));
        assert_eq!(both.0.unwrap(), both.1.unwrap());
    }

    #[tokio::test]
    async fn shards_that_indexes_cannot_have_are_refused() {
        let (store, _directory) = store();
        prepare(&store, &clock()).await.unwrap();
        for (shards, expected) in [(1, true), (16, true), (64, true), (0, false), (65, false)] {
            let mut transaction = store.begin();
            write(&mut *transaction, INDEXES, &Indexes { shards });
            transaction.commit().await.unwrap();
            match prepare(&store, &clock()).await {
                Ok(meta) => assert_eq!((meta.index_shards.count(), expected), (shards, true)),
                Err(Error::Record { key, .. }) => assert_eq!((&*key, expected), (INDEXES, false)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    const NEXT: &[Migration] = &[
        Migration {
            number: 1,
            release: "0.1.0",
            apply: create_cluster,
        },
        Migration {
            number: 2,
            release: "0.9.0",
            apply: |transaction, _| transaction.set(b"two", b""),
        },
    ];

    #[tokio::test]
    async fn later_migrations_are_added_and_older_binaries_refused() {
        let (store, _directory) = store();
        let first = prepare(&store, &clock()).await.unwrap();
        let second = prepare_with(&store, &clock(), NEXT).await.unwrap();
        assert_eq!((second.schema, second.cluster), (2, first.cluster));
        for number in 1..=2 {
            let key = Key::Migration { number }.encode();
            let stored = store.begin().get(&key, Isolation::Snapshot).await.unwrap();
            let applied: Applied = record::decode(&key, &stored.unwrap()).unwrap();
            assert_eq!(applied.at_ms, 1_700_000_000_000);
        }
        match prepare(&store, &clock()).await {
            Err(Error::NewerSchema {
                found,
                known,
                needed,
            }) => assert_eq!((found, known, needed.as_str()), (2, 1, "0.9.0")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_are_as_their_golden_files() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let schema = Schema {
            number: 1,
            release: "0.1.0".to_owned(),
        };
        let applied = Applied {
            at_ms: 1_700_000_000_000,
            by: "0.1.0".to_owned(),
        };
        let cluster = Cluster {
            id: ClusterId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            slots: 1_024,
            session_key: SessionKey([7; 32]),
        };
        assert!(golden::check(&directory, "meta-schema", &schema).is_empty());
        assert!(golden::check(&directory, "migration", &applied).is_empty());
        assert!(golden::check(&directory, "meta-cluster", &cluster).is_empty());
        let indexes = Indexes { shards: 16 };
        assert!(golden::check(&directory, "meta-indexes", &indexes).is_empty());
    }
}
