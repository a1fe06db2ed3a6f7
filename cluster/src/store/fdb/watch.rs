//! A watch on a key of a FoundationDB database.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Error, Version};
use super::database::Shared;
use super::failure;
use super::native::Code;

/// Completes when the value is another one than at the version `since`, or may be: FoundationDB watches from a version
/// of its own choice, so what came between the two is compared first.
pub(super) async fn watch(shared: Arc<Shared>, key: Vec<u8>, since: Version) -> Result<(), Error> {
    shared.answers().await;
    let watching = async {
        let (then, now) = (
            shared.database.begin_unbounded()?,
            shared.database.begin_unbounded()?,
        );
        then.set_read_version(i64::try_from(since).unwrap_or(i64::MAX));
        let before = then.get(&key, true).await?;
        if before != now.get(&key, true).await? {
            return Ok(());
        }
        let changed = now.watch(&key);
        now.commit(false).await?;
        changed.await
    };
    // What is watched is not known at the servers for good: after a while somebody looks again.
    match tokio::time::timeout(WATCH_MAX, watching).await {
        Ok(Ok(())) | Err(_) => Ok(()),
        Ok(Err(code)) => ended(&shared, code).await,
    }
}

/// By chance, if it is lost with the servers that had it: what changed meanwhile is then read.
async fn ended(shared: &Shared, code: Code) -> Result<(), Error> {
    let error = failure::read(code);
    match error.may_be_retried() {
        true => {
            shared.answers().await;
            Ok(())
        }
        false => Err(error),
    }
}

/// A watch costs its servers some bytes, and one look a time as long as this costs nobody anything.
const WATCH_MAX: Duration = Duration::from_secs(15 * 60);
