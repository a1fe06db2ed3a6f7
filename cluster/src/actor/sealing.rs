//! What commits of personal data need besides: the subject's key, the row by which its things are found, and the form of
//! the values. Called by the commit; decides nothing about actors.

use bytes::Bytes;

use crate::actor::commit::{Hold, Refused};
use crate::actor::core::Core;
use crate::actor::machine::{Batch, Index};
use crate::privacy::{DataKey, Present, SubjectActor, actor_row, escaped, is_sealed_family};
use crate::store::keys::Family;
use crate::store::{self, Isolation, Transaction, record};

/// How values are written.
pub(crate) enum Form<'a> {
    /// As they are: nobody unseals here.
    Plain,
    /// So that none is taken for a sealed one.
    Told,
    Sealed(&'a DataKey),
}

impl<'a> Form<'a> {
    pub(crate) fn of(core: &Core, key: Option<&'a DataKey>) -> Self {
        match (key, core.store.subject_keys()) {
            (Some(key), _) => Self::Sealed(key),
            (None, Some(_)) => Self::Told,
            (None, None) => Self::Plain,
        }
    }

    /// The value of a row; `None`: as it is.
    pub(crate) fn value(&self, row: &[u8], value: &[u8]) -> Option<Bytes> {
        let key = match self {
            Self::Plain => return None,
            Self::Told => None,
            Self::Sealed(key) => Some(key),
        };
        if !Family::of(row).is_some_and(is_sealed_family) {
            return None;
        }
        match key {
            Some(key) => Some(key.seal(row, value)),
            None => escaped(value),
        }
    }
}

/// The key of a batch that is personal, and the change to the row by which it is found. What the transaction reads
/// after it is as of that key: what was erased is not there.
pub(crate) async fn prepare(
    core: &Core,
    hold: &Hold,
    batch: &Batch,
    transaction: &mut dyn Transaction,
) -> Result<Option<Present>, Refused> {
    let Some(personal) = &batch.personal else {
        return Ok(None);
    };
    let Some(keys) = core.store.subject_keys() else {
        return Err(Refused::NoKeys);
    };
    let present = keys.present(transaction, &personal.of, core.clock.wall_ms());
    let present = present.await.map_err(Refused::Store)?;
    let id = present.key.id();
    if hold.key.as_ref().is_some_and(|key| key.id() != id) {
        // The subject was erased: what the batch builds on is not there any more.
        return Err(Refused::Outdated);
    }
    let row = actor_row(&personal.of, &personal.address);
    let indexed = async {
        let stored = transaction.get(&row, Isolation::Serializable).await?;
        let stored = stored.map(|value| record::decode::<SubjectActor>(&row, &value));
        Ok::<_, store::Error>(stored.transpose()?.unwrap_or_default())
    };
    match &personal.index {
        Index::Stands => {}
        Index::Set(traces) => {
            let mut indexed = indexed.await.map_err(Refused::Store)?;
            if indexed.live(*id, traces) {
                transaction.set(&row, &record::encode(&indexed));
            }
        }
        Index::Clear => {
            let mut indexed = indexed.await.map_err(Refused::Store)?;
            match indexed.end(id) {
                true => transaction.clear(&row),
                false => transaction.set(&row, &record::encode(&indexed)),
            }
        }
    }
    Ok(Some(present))
}
