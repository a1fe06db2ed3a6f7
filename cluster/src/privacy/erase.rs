//! The end of what is stored about a subject: its key is destroyed in one commit, from which on nothing of it is to be
//! read anywhere; then what lay under the key is cleared, which may be done again and goes on where it was.
//!
//! Clearing needs no owner of a slot: a row whose key was erased is nothing to anybody, and is cleared only if it is
//! still that row. What a subject does after its erasure has a new key and is left alone.

use selvedge_protocol::ActorAddress;
use selvedge_protocol::limits::{SUBJECT_ACTORS_PAGE_MAX, SUBJECT_ROWS_PAGE_MAX};

use bytes::Bytes;

use super::ScopedSubject;
use super::envelope::{Form, KeyId};
use super::keys::{SubjectKeys, row};
use super::list::actor_row;
use super::record::{SubjectActor, SubjectKey};
use crate::audit::{self, Entry, Outcome};
use crate::bulletin;
use crate::clock::Clock;
use crate::store::keys::{ActorPath, Key, KeyRange, SlotFamily};
use crate::store::record;
use crate::store::{self, Isolation, Transaction, run_repeatable};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Erasure<'a> {
    pub of: &'a ScopedSubject,
    /// Who asks.
    pub principal: &'a str,
    /// By which nodes hear of it: [announced](bulletin::announce) in the same commit.
    pub notice: &'a [u8],
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    Now,
    /// The key had been destroyed before.
    Before,
    /// Nothing was ever stored about such a subject.
    Nothing,
}

/// Destroys the key of a subject: with the audit record and the notice that say so, in one commit.
///
/// # Errors
/// Those of the store.
pub async fn erase(
    keys: &SubjectKeys,
    clock: &Clock,
    erasure: Erasure<'_>,
) -> Result<Erased, store::Error> {
    let (erased, _) = run_repeatable(&**keys.store(), clock, |mut transaction| async move {
        let erased = destroy(&mut *transaction, clock.wall_ms(), erasure).await?;
        Ok((transaction, erased))
    })
    .await?;
    keys.forget(erasure.of);
    Ok(erased)
}

/// The same as part of a transaction that removes what is no actor's; whoever commits it [forgets](SubjectKeys::forget)
/// the key then.
///
/// # Errors
/// Those of the store.
pub async fn destroy(
    transaction: &mut dyn Transaction,
    now_ms: u64,
    erasure: Erasure<'_>,
) -> Result<Erased, store::Error> {
    let at = row(erasure.of);
    let Some(stored) = transaction.get(&at, Isolation::Serializable).await? else {
        return Ok(Erased::Nothing);
    };
    let id = match record::decode::<SubjectKey>(&at, &stored)? {
        SubjectKey::Present { id, .. } => id,
        SubjectKey::Erased { .. } => return Ok(Erased::Before),
    };
    let tombstone = SubjectKey::Erased { id, at_ms: now_ms };
    transaction.set(&at, &record::encode(&tombstone));
    note(transaction, now_ms, erasure).await?;
    Ok(Erased::Now)
}

/// Leaves the traces of an erasure where there was no key: what was removed was in the clear.
///
/// # Errors
/// Those of the store.
pub async fn note(
    transaction: &mut dyn Transaction,
    now_ms: u64,
    erasure: Erasure<'_>,
) -> Result<(), store::Error> {
    let entry = Entry {
        at_ms: now_ms,
        principal: erasure.principal.to_owned(),
        action: "subject.erase".to_owned(),
        target: erasure.of.subject.to_string(),
        outcome: Outcome::Done,
        detail: String::new(),
    };
    audit::append(transaction, &erasure.of.tenant, entry).await?;
    bulletin::announce(transaction, now_ms, erasure.notice).await
}

/// What was cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// How many actors were gone through.
    pub actors: usize,
    /// Where to go on; `None`: there are no more.
    pub next: Option<ActorAddress>,
}

/// Clears what lies under erased keys of a subject, of some of its actors after one. `slots` is how many the cluster
/// has.
///
/// # Errors
/// Those of the store.
pub async fn sweep(
    keys: &SubjectKeys,
    clock: &Clock,
    (of, slots): (&ScopedSubject, u16),
    after: Option<&ActorAddress>,
) -> Result<Swept, store::Error> {
    let page = super::actors_of(&**keys.store(), of, after, SUBJECT_ACTORS_PAGE_MAX).await?;
    for address in &page {
        let actor = ActorPath {
            slot: address.slot(&of.tenant, slots),
            tenant: of.tenant.clone(),
            address: address.clone(),
        };
        Sweep {
            keys,
            clock,
            of,
            actor: &actor,
        }
        .run()
        .await?;
    }
    Ok(Swept {
        actors: page.len(),
        next: page
            .last()
            .filter(|_| page.len() == SUBJECT_ACTORS_PAGE_MAX)
            .cloned(),
    })
}

/// The clearing of one actor.
#[derive(Clone, Copy)]
struct Sweep<'a> {
    keys: &'a SubjectKeys,
    clock: &'a Clock,
    of: &'a ScopedSubject,
    actor: &'a ActorPath,
}

impl Sweep<'_> {
    async fn run(self) -> Result<(), store::Error> {
        let prefix = self.actor.prefix();
        for range in [
            prefix.parts(),
            prefix.events(),
            prefix.outbox_messages(),
            prefix.payload_chunks(),
            // In the order of time, with those of other actors between.
            KeyRange::slot(SlotFamily::Timer, self.actor.slot),
        ] {
            let mut rest = Some(range);
            while let Some(range) = rest {
                rest = self.clear(&range).await?;
            }
        }
        self.finish().await
    }

    /// Clears what is erased in the first rows of a range, and answers the rest of it.
    async fn clear(self, range: &KeyRange) -> Result<Option<KeyRange>, store::Error> {
        let store = &**self.keys.store();
        let (rest, _) = run_repeatable(store, self.clock, |mut transaction| async move {
            let present = self.present(&mut *transaction).await?;
            let page = range.read(SUBJECT_ROWS_PAGE_MAX, Isolation::Snapshot);
            let rows = transaction.range(page).await?;
            for (key, value) in &rows {
                if self.is_own(key) && self.is_erased(value, present.as_ref()) {
                    // It is cleared if it is still this one.
                    transaction.add_read_conflict(key);
                    transaction.clear(key);
                }
            }
            let last = rows.last().filter(|_| rows.len() == SUBJECT_ROWS_PAGE_MAX);
            let rest = last.map(|(key, _)| KeyRange {
                begin: after(key),
                end: range.end.clone(),
            });
            Ok((transaction, rest))
        })
        .await?;
        Ok(rest)
    }

    /// Clears the rows by which the actor is found, unless it has begun anew.
    async fn finish(self) -> Result<(), store::Error> {
        let store = &**self.keys.store();
        run_repeatable(store, self.clock, |mut transaction| async move {
            self.end_lives(&mut *transaction).await?;
            Ok((transaction, ()))
        })
        .await
        .map(drop)
    }

    async fn end_lives(self, transaction: &mut dyn Transaction) -> Result<(), store::Error> {
        let present = self.present(transaction).await?;
        let at = actor_row(self.of, &self.actor.address);
        let Some(stored) = transaction.get(&at, Isolation::Serializable).await? else {
            return Ok(());
        };
        let stored: SubjectActor = record::decode(&at, &stored)?;
        let (kept, ended): (Vec<_>, Vec<_>) = stored
            .lives
            .into_iter()
            .partition(|life| Some(life.key) == present);
        if ended.is_empty() {
            return Ok(());
        }
        for trace in ended.iter().flat_map(|life| &life.traces) {
            if !kept.iter().any(|life| life.traces.contains(trace)) {
                transaction.clear(trace);
            }
        }
        if !kept.is_empty() {
            transaction.set(&at, &record::encode(&SubjectActor { lives: kept }));
            return Ok(());
        }
        transaction.clear(&at);
        let prefix = self.actor.prefix();
        let record = transaction
            .get(&prefix.record(), Isolation::Serializable)
            .await?;
        if record.is_none() {
            transaction.clear(&prefix.awake());
            let catalog = Key::Catalog {
                tenant: self.actor.tenant.clone(),
                address: self.actor.address.clone(),
            };
            transaction.clear(&catalog.encode());
        }
        Ok(())
    }

    /// The key that the subject has now.
    async fn present(
        self,
        transaction: &mut dyn Transaction,
    ) -> Result<Option<KeyId>, store::Error> {
        let at = row(self.of);
        let Some(stored) = transaction.get(&at, Isolation::Serializable).await? else {
            // Not erased, but lost: what lies under it may be wanted again.
            return Err(store::Error::Record {
                key: at.escape_ascii().to_string(),
                reason: "the key of the subject is not there; restore the keys first".to_owned(),
            });
        };
        Ok(record::decode::<SubjectKey>(&at, &stored)?
            .present()
            .copied())
    }

    /// Whether a row is of this actor.
    fn is_own(self, key: &[u8]) -> bool {
        match Key::decode(key) {
            Ok(Key::Timer { actor, .. }) => actor == *self.actor,
            // The other ranges are the actor's.
            Ok(_) => true,
            Err(_) => false,
        }
    }

    fn is_erased(self, value: &[u8], present: Option<&KeyId>) -> bool {
        match Form::of(value) {
            Form::Sealed(sealed) => {
                sealed.subject == self.of.subject && Some(&sealed.key) != present
            }
            Form::Plain | Form::Escaped(_) | Form::Damaged => false,
        }
    }
}

/// The least key after this one.
fn after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}
