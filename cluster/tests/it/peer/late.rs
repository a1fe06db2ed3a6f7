//! A transaction that takes longer than it may, at a storage node.

use std::time::Duration;

use selvedge_cluster::store::{Error, Isolation, Store};
use selvedge_protocol::limits::STORE_TRANSACTION_MS_MAX;

use super::world::StorageNode;

/// The storage node lets go of it; whatever is asked of it then, the answer is that it came too late, also when the
/// same was said before.
#[tokio::test]
async fn a_transaction_that_outlasts_its_time_is_too_old_whatever_it_asks() {
    let node = StorageNode::fresh().await;
    let client = node.client().await;
    let mut reader = client.begin();
    reader.read_version().await.unwrap();
    let mut writer = client.begin();
    writer.read_version().await.unwrap();
    writer.set(b"b", b"1");
    // The clock goes from timer to timer whenever nothing else is to be done.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_millis(STORE_TRANSACTION_MS_MAX + 1)).await;
    tokio::time::resume();
    for _ in 0..2 {
        let read = reader.get(b"a", Isolation::Snapshot).await;
        assert!(matches!(read, Err(Error::TooOld)), "{read:?}");
    }
    reader.set(b"a", b"1");
    let committed = reader.commit().await;
    assert!(matches!(committed, Err(Error::TooOld)), "{committed:?}");
    let committed = writer.commit().await;
    assert!(matches!(committed, Err(Error::TooOld)), "{committed:?}");
    for key in [b"a", b"b"] {
        let value = client.begin().get(key, Isolation::Snapshot).await.unwrap();
        assert_eq!(value, None);
    }
}
