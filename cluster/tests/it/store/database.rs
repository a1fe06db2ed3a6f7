//! A store on a real FoundationDB, if `SELVEDGE_TEST_FDB_CLUSTER_FILE` names one: each test under a prefix of its own,
//! empty at its start.

use std::path::Path;
use std::sync::Arc;

use selvedge_cluster::store::Store;

/// `None`: there is no FoundationDB, and the test is not run on it.
pub(crate) async fn fresh() -> Option<Arc<dyn Store>> {
    let file = std::env::var_os("SELVEDGE_TEST_FDB_CLUSTER_FILE")?;
    open(Path::new(&file)).await
}

#[cfg(feature = "fdb-client")]
async fn open(file: &Path) -> Option<Arc<dyn Store>> {
    use selvedge_cluster::Clock;
    use selvedge_cluster::store::fdb::{ClusterFile, Fdb, FdbConfig};

    // The thread of a test is called like the test.
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let file = ClusterFile::read(file).unwrap();
    let config = FdbConfig::new(file, &format!("test {test}"), Clock::system());
    let store = Fdb::open(config).await.unwrap();
    let mut transaction = store.begin();
    // No key of ours begins so.
    transaction.clear_range(b"", &[u8::MAX; 4]);
    transaction.commit().await.unwrap();
    Some(Arc::new(store))
}

#[cfg(not(feature = "fdb-client"))]
#[expect(clippy::unused_async, reason = "with FoundationDB it waits")]
async fn open(_file: &Path) -> Option<Arc<dyn Store>> {
    None
}
