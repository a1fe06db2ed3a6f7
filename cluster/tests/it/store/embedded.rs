//! What only a store in a directory has: crashes, damage, locks and full disks.

mod crash;
mod damage;
mod directory;
mod full;

use std::ops::Bound;
use std::path::Path;

use bytes::Bytes;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{Committed, Error, Isolation, Order, Range, Store};

fn open(path: &Path) -> Result<Embedded, Error> {
    Embedded::open(config(path))
}

/// Small memtables, so that a little data makes tables.
fn config(path: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        memtable_bytes: 16 * 1024,
        ..EmbeddedConfig::new(path)
    }
}

async fn put(store: &Embedded, key: &str, value: &[u8]) -> Result<Committed, Error> {
    let mut transaction = store.begin();
    transaction.set(key.as_bytes(), value);
    transaction.commit().await
}

async fn all(store: &Embedded) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let range = Range {
        begin: Bound::Unbounded,
        end: Bound::Unbounded,
        order: Order::Ascending,
        limit: usize::MAX,
        isolation: Isolation::Snapshot,
    };
    store.begin().range(range).await
}

/// Closes a store of which copies are made: without the zeros that journals are allocated with, those
/// are small.
fn close(store: &Embedded, path: &Path) {
    store.close();
    for entry in std::fs::read_dir(path.join("data")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "jnl") {
            let length = in_use(&std::fs::read(&file).unwrap());
            let file = std::fs::File::options().write(true).open(file).unwrap();
            file.set_len(length as u64).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            std::fs::copy(from, to.join(name)).unwrap();
        }
    }
}

/// The length of a journal without the zeros that it is allocated with.
fn in_use(bytes: &[u8]) -> usize {
    let is_used = |page: &[u8]| page != &[0; 4_096][..page.len()];
    let pages = bytes.chunks(4_096).rposition(is_used).unwrap() + 1;
    let used = &bytes[..bytes.len().min(pages * 4_096)];
    used.iter().rposition(|byte| *byte != 0).unwrap() + 1
}
