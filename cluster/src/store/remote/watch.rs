//! A watch on a storage node's store. One whose connection is lost completes by chance when there is another: what
//! changed meanwhile is then read.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_protocol::peer::store::{StoreAnswer, StoreRequest, Watch};

use super::super::{Error, Version};
use super::client::Shared;
use super::exchange::{Exchange, opening, put};
use super::failure::heard;

/// Completes when the value is, or may be, another one than at the version `since`.
pub(super) async fn watch(shared: Arc<Shared>, key: Bytes, since: Version) -> Result<(), Error> {
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
