//! Commits a batch of an actor under the fence of its slot. Called by the activation, which goes on
//! meanwhile; never decides what to do about a failure.

use std::sync::Arc;

use ractor::ActorRef;

use crate::actor::activation::Message;
use crate::actor::core::Core;
use crate::actor::load::epoch;
use crate::actor::machine::{Batch, Index};
use crate::actor::record::{ActorRecord, Stored};
use crate::actor::sealing::{Form, prepare};
use crate::audit;
use crate::privacy::DataKey;
use crate::store::{self, Isolation, Transaction, Version};

/// A batch that was committed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) version: Version,
    /// Under which it was sealed.
    pub(crate) key: Option<Arc<DataKey>>,
}

/// Why a batch was not committed, or perhaps not.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is somebody's data, and this node has no keys for such: nothing was written.
    NoKeys,
    /// The slot, taken at this epoch, has another owner: nothing was written.
    Fenced(u64),
    /// The actor is not as the batch assumes: nothing was written.
    Outdated,
    Store(store::Error),
}

/// How often a batch is begun anew because its base became too old while it waited.
const ATTEMPTS_MAX: u32 = 3;
/// The same for what others write to as well: the end of the tenant's chain of audit records, or the key of a subject,
/// which others of it may be about to make. With the waits between them about two seconds of trying.
const SHARED_ATTEMPTS_MAX: u32 = 24;

/// Under what an activation commits.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) slot: u16,
    /// Of the slot, when the actor was loaded.
    pub(crate) epoch: u64,
    /// A version of the store at which the actor was as the batch assumes, and its slot ours. `None`: none that the
    /// store still remembers, so it has to be looked at first.
    pub(crate) base: Option<Version>,
    /// Under which the actor's last commit was sealed: the subject's key as of that base.
    pub(crate) key: Option<Arc<DataKey>>,
}

/// Commits the batch and reports to `completion`. It fails if since its base the fence was raised or the
/// actor written to. Never waits.
pub(crate) fn commit(core: &Arc<Core>, hold: Hold, batch: Arc<Batch>, completion: Completion) {
    let Some(base) = hold.base.filter(|_| may_be_blind(&hold, &batch)) else {
        let core = Arc::clone(core);
        let runtime = core.runtime.clone();
        runtime.spawn(async move {
            completion.finish(commit_checked(&core, &hold, &batch).await);
        });
        return;
    };
    let fence_key = &core.slots[usize::from(hold.slot)].fence_key;
    let mut transaction = core.store.begin_at(base);
    transaction.add_read_conflict(fence_key);
    transaction.add_read_conflict(&batch.record);
    let key = hold.key.clone().filter(|_| batch.personal.is_some());
    if let Some(key) = &key {
        transaction.add_read_conflict(key.row());
    }
    write(&mut *transaction, &batch, &Form::of(core, key.as_deref()));
    // The store must not hold what holds the store: it could never be closed, or by its own thread. So even for a
    // moment nothing of that is taken hold of here.
    let (core, runtime) = (Arc::downgrade(core), core.runtime.clone());
    transaction.commit_then(Box::new(move |result| {
        let error = match result {
            Ok(committed) => {
                let version = committed.version;
                return completion.finish(Ok(Done { version, key }));
            }
            Err(error @ (store::Error::TooOld | store::Error::Conflict)) => error,
            Err(other) => return completion.finish(Err(Refused::Store(other))),
        };
        runtime.spawn(async move {
            let Some(core) = core.upgrade() else { return };
            completion.finish(match error {
                store::Error::TooOld => commit_checked(&core, &hold, &batch).await,
                // Perhaps of the key alone, which may have been wrapped anew.
                _ if batch.personal.is_some() => commit_checked(&core, &hold, &batch).await,
                _ => Err(explain(&core, &hold).await),
            });
        });
    }));
}

/// Whether it can do without a look: the end of the chain is never known, the key of what is personal has to be known
/// as of the base, and the row by which it is found to be there.
fn may_be_blind(hold: &Hold, batch: &Batch) -> bool {
    let personal = batch.personal.as_ref();
    batch.audited.is_none()
        && personal.is_none_or(|personal| personal.index == Index::Stands && hold.key.is_some())
}

/// The same for an actor that was quiet for longer than the window of the store, for what is audited, and for what
/// begins or ends to be personal: looks first.
async fn commit_checked(core: &Core, hold: &Hold, batch: &Batch) -> Result<Done, Refused> {
    let mut failed = store::Error::TooOld;
    let is_shared = batch.audited.is_some() || batch.personal.is_some();
    let attempts_max = match is_shared {
        false => ATTEMPTS_MAX,
        true => SHARED_ATTEMPTS_MAX,
    };
    for attempt in 1..=attempts_max {
        let mut transaction = core.store.begin();
        // First: what it finds erased is not there for the check.
        let present = prepare(core, hold, batch, &mut *transaction).await?;
        check(core, hold, batch, &mut *transaction).await?;
        record(batch, &mut *transaction).await?;
        let key = present.as_ref().map(|present| Arc::clone(&present.key));
        write(&mut *transaction, batch, &Form::of(core, key.as_deref()));
        match transaction.commit().await {
            Ok(committed) => {
                if let (Some(keys), Some(present)) = (core.store.subject_keys(), &present) {
                    keys.keep(present);
                }
                let version = committed.version;
                return Ok(Done { version, key });
            }
            Err(store::Error::TooOld) => failed = store::Error::TooOld,
            // Perhaps of the chain or the key alone: then fence and record are found as they should be.
            Err(store::Error::Conflict) if is_shared => {
                failed = store::Error::Conflict;
                tokio::time::sleep(store::backoff(attempt, core.clock.random())).await;
            }
            Err(store::Error::Conflict) => return Err(explain(core, hold).await),
            Err(other) => return Err(Refused::Store(other)),
        }
    }
    Err(Refused::Store(failed))
}

/// Appends what the audit trail says of the batch.
async fn record(batch: &Batch, transaction: &mut dyn Transaction) -> Result<(), Refused> {
    let Some(audited) = &batch.audited else {
        return Ok(());
    };
    for entry in &audited.entries {
        let appended = audit::append(transaction, &audited.tenant, entry.clone()).await;
        appended.map_err(Refused::Store)?;
    }
    Ok(())
}

/// Reports the end of a commit to its activation, also if that is lost on the way.
pub(crate) struct Completion {
    activation: ActorRef<Message>,
    result: Option<Result<Done, Refused>>,
}

impl Completion {
    pub(crate) const fn new(activation: ActorRef<Message>) -> Self {
        Self {
            activation,
            result: None,
        }
    }

    fn finish(mut self, result: Result<Done, Refused>) {
        self.result = Some(result);
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let unknown = Err(Refused::Store(store::Error::CommitUnknown));
        let result = self.result.take().unwrap_or(unknown);
        // An activation that is gone needs no report.
        drop(
            self.activation
                .send_message(Message::CommitFinished(result)),
        );
    }
}

/// The epoch of the slot as the store has it.
pub(crate) async fn fence(core: &Core, slot: u16) -> Result<u64, store::Error> {
    let slot = &core.slots[usize::from(slot)];
    let mut transaction = core.store.begin();
    let fence = transaction
        .get(&slot.fence_key, Isolation::Snapshot)
        .await?;
    epoch(fence.as_ref())
}

async fn explain(core: &Core, hold: &Hold) -> Refused {
    match fence(core, hold.slot).await {
        Ok(epoch) if epoch == hold.epoch => Refused::Outdated,
        Ok(_) => Refused::Fenced(hold.epoch),
        Err(error) => Refused::Store(error),
    }
}

async fn check(
    core: &Core,
    hold: &Hold,
    batch: &Batch,
    transaction: &mut dyn Transaction,
) -> Result<(), Refused> {
    let slot = &core.slots[usize::from(hold.slot)];
    let read = async {
        let fence = transaction
            .get(&slot.fence_key, Isolation::Serializable)
            .await?;
        let record = transaction
            .get(&batch.record, Isolation::Serializable)
            .await?;
        let version = match record {
            Some(record) => ActorRecord::decode(&record)?.version,
            None => 0,
        };
        Ok::<_, store::Error>((epoch(fence.as_ref())?, version))
    };
    let (epoch, version) = read.await.map_err(Refused::Store)?;
    if epoch != hold.epoch {
        return Err(Refused::Fenced(hold.epoch));
    }
    if version != batch.builds_on {
        return Err(Refused::Outdated);
    }
    Ok(())
}

fn write(transaction: &mut dyn Transaction, batch: &Batch, form: &Form<'_>) {
    for range in &batch.clear {
        transaction.clear_range(&range.begin, &range.end);
    }
    for write in &batch.writes {
        match &write.value {
            Some(value) => match form.value(&write.key, value) {
                Some(changed) => transaction.set(&write.key, &changed),
                None => transaction.set(&write.key, value),
            },
            None => transaction.clear(&write.key),
        }
    }
}
