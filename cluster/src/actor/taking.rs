//! How the host takes slots and says that it has left them: the transactions on their fences. Called by the
//! host; who is to have which slot is decided elsewhere.

use bytes::Bytes;

use crate::actor::core::Core;
use crate::actor::record::{Fence, Stored};
use crate::slot::{Proof, Slot, Standing};
use crate::store::keys::{Key, KeyRange};
use crate::store::{self, Isolation, Transaction};

/// Slots taken in one transaction: some kilobytes each, far below its bounds.
pub(super) const SLOTS_TAKEN_AT_ONCE: usize = 256;

/// Fences are read one by one if a read of all between the first and the last would read so many more: such a row
/// takes some 40 bytes, a read of its own a way to the store.
const ROWS_OF_A_READ: usize = 64;

/// Two hosts that change the same fences conflict with each other; one of them is through each time.
const ATTEMPTS_MAX: usize = 10;

/// By what right a node takes slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The number of the plan that gives them to it. What was taken under a later one it does not get.
    pub plan: u64,
    /// What it has joined the cluster as.
    pub incarnation: u64,
}

/// Who has a slot, or had it last, as its fence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Empty: nobody.
    pub node: &'a str,
    /// What it had joined the cluster as; 0 is not known.
    pub incarnation: u64,
}

/// Whether a slot may be taken from its holder.
pub type MayTake<'a> = dyn Fn(u16, Holder<'_>) -> bool + Sync + 'a;

/// What became of slots that were to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taking {
    /// They are this host's now.
    pub taken: Vec<u16>,
    /// Not taken, as their holder has them still.
    pub held: Vec<u16>,
    /// Not taken, as they were taken under a later plan than the claim's.
    pub outdated: Vec<u16>,
}

impl Taking {
    pub(super) fn add(&mut self, other: Self) {
        self.taken.extend(other.taken);
        self.held.extend(other.held);
        self.outdated.extend(other.outdated);
    }
}

/// Slots are taken so.
pub(super) struct Wish<'a> {
    /// `None`: the node is alone, and leaves the numbers of plans as they are.
    claim: Option<Claim>,
    may_take: &'a MayTake<'a>,
}

impl Wish<'static> {
    /// Of a node that is alone.
    pub(super) const fn alone() -> Self {
        Self {
            claim: None,
            may_take: &|_, _| true,
        }
    }
}

impl<'a> Wish<'a> {
    pub(super) const fn of(claim: Claim, may_take: &'a MayTake<'a>) -> Self {
        Self {
            claim: Some(claim),
            may_take,
        }
    }

    /// The fence after this node has taken the slot, or why it does not.
    fn fence(&self, node: &str, slot: u16, before: &Fence) -> Result<Fence, Kept> {
        let claim = self.claim.unwrap_or(Claim {
            plan: before.plan,
            incarnation: 0,
        });
        if before.plan > claim.plan {
            return Err(Kept::Outdated);
        }
        let holder = Holder {
            node: &before.node,
            incarnation: before.incarnation,
        };
        if !(self.may_take)(slot, holder) {
            return Err(Kept::Held);
        }
        Ok(Fence {
            epoch: before.epoch + 1,
            node: node.to_owned(),
            incarnation: claim.incarnation,
            plan: claim.plan,
        })
    }
}

/// Why a slot is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Held,
    Outdated,
}

/// A slot that was left, and the epoch at which this host had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) number: u16,
    pub(crate) epoch: u64,
}

/// Raises the fences of slots, in ascending order, in one transaction: from then on no earlier owner can
/// commit.
pub(super) async fn take(
    core: &Core,
    slots: &[&Slot],
    wish: &Wish<'_>,
) -> Result<Taking, store::Error> {
    let mut attempts = Attempts::default();
    loop {
        // An unknown commit raised the fences or did not; raising them again does no harm.
        match try_take(core, slots, wish).await {
            Ok(taking) => return Ok(taking),
            Err(error) => attempts.failed(error)?,
        }
    }
}

async fn try_take(core: &Core, slots: &[&Slot], wish: &Wish<'_>) -> Result<Taking, store::Error> {
    let mut transaction = core.store.begin();
    let fences = fences(&mut *transaction, slots).await?;
    let mut taking = Taking::default();
    let mut taken = Vec::with_capacity(slots.len());
    for (slot, before) in slots.iter().zip(fences) {
        match wish.fence(&core.config.node, slot.number, &before) {
            Ok(fence) => {
                transaction.add_read_conflict(&slot.fence_key);
                transaction.set(&slot.fence_key, &fence.encode());
                taking.taken.push(slot.number);
                taken.push((slot, fence.epoch));
            }
            Err(Kept::Held) => taking.held.push(slot.number),
            Err(Kept::Outdated) => taking.outdated.push(slot.number),
        }
    }
    if taken.is_empty() {
        return Ok(taking);
    }
    transaction.commit().await?;
    for (slot, epoch) in taken {
        slot.take(epoch);
    }
    Ok(taking)
}

/// Looks whether somebody has taken slots that this host has, and leaves those. Answers how many. What is still
/// here is proven to be so: its quiet actors commit without a look of their own.
pub(super) async fn check(core: &Core) -> Result<usize, store::Error> {
    let is_held = |slot: &&Slot| slot.standing() != Standing::Foreign;
    let held: Vec<&Slot> = core.slots.iter().filter(is_held).collect();
    // Before the read: one that is taken anew meanwhile has another epoch by then, and stays.
    let epochs: Vec<u64> = held.iter().map(|slot| slot.epoch()).collect();
    let at = core.clock.monotonic();
    let mut transaction = core.store.begin();
    let fences = fences(&mut *transaction, &held).await?;
    let version = transaction.read_version().await?;
    let mut lost = 0;
    for ((slot, epoch), fence) in held.iter().zip(epochs).zip(fences) {
        if fence.epoch == epoch {
            slot.prove(Proof { version, epoch, at });
        }
        if fence.epoch > epoch {
            slot.lose(epoch);
            lost += 1;
        }
    }
    Ok(lost)
}

/// Takes this host's name out of the fences that still are as it left them, in one transaction, and raises them: a
/// commit of it that is on its way, and comes late, finds that the slot is no longer its own.
pub(super) async fn release(core: &Core, left: &[Left]) -> Result<(), store::Error> {
    let mut attempts = Attempts::default();
    loop {
        match try_release(core, left).await {
            Ok(()) => return Ok(()),
            Err(error) => attempts.failed(error)?,
        }
    }
}

async fn try_release(core: &Core, left: &[Left]) -> Result<(), store::Error> {
    let slots: Vec<&Slot> = left
        .iter()
        .filter_map(|left| core.slots.get(usize::from(left.number)))
        .collect();
    let mut transaction = core.store.begin();
    let fences = fences(&mut *transaction, &slots).await?;
    let mut is_changed = false;
    for ((slot, left), before) in slots.iter().zip(left).zip(fences) {
        if before.epoch != left.epoch || before.node != core.config.node {
            continue;
        }
        transaction.add_read_conflict(&slot.fence_key);
        transaction.set(&slot.fence_key, &before.given_up().encode());
        is_changed = true;
    }
    if is_changed {
        transaction.commit().await?;
    }
    Ok(())
}

/// How often a transaction that can be done again was tried.
#[derive(Debug, Default)]
struct Attempts(usize);

impl Attempts {
    /// Whether to try again after an error.
    fn failed(&mut self, error: store::Error) -> Result<(), store::Error> {
        self.0 += 1;
        let may_pass = error.may_be_retried() || matches!(error, store::Error::CommitUnknown);
        match may_pass && self.0 < ATTEMPTS_MAX {
            true => Ok(()),
            false => Err(error),
        }
    }
}

/// The fences of slots, as they are; one that was never taken is empty. They take no part in conflicts.
async fn fences(
    transaction: &mut dyn Transaction,
    slots: &[&Slot],
) -> Result<Vec<Fence>, store::Error> {
    let mut fences = vec![Fence::default(); slots.len()];
    let Some((first, last)) = span(slots) else {
        return Ok(fences);
    };
    if slots.len() * ROWS_OF_A_READ <= usize::from(last - first) || slots.len() == 1 {
        for (slot, fence) in slots.iter().zip(&mut fences) {
            let value = transaction
                .get(&slot.fence_key, Isolation::Snapshot)
                .await?;
            if let Some(value) = value {
                *fence = Fence::decode(&value)?;
            }
        }
        return Ok(fences);
    }
    let mut places: Vec<Option<usize>> = Vec::new();
    places.resize(usize::from(last - first) + 1, None);
    for (place, slot) in slots.iter().enumerate() {
        places[usize::from(slot.number - first)] = Some(place);
    }
    let mut end = Key::SlotFence { slot: last }.encode();
    end.push(0);
    let range = KeyRange {
        begin: Bytes::from(Key::SlotFence { slot: first }.encode()),
        end: Bytes::from(end),
    };
    let range = range.read(places.len(), Isolation::Snapshot);
    for (key, value) in transaction.range(range).await? {
        let Ok(Key::SlotFence { slot }) = Key::decode(&key) else {
            continue;
        };
        let place = slot
            .checked_sub(first)
            .and_then(|at| *places.get(usize::from(at))?);
        if let Some(place) = place {
            fences[place] = Fence::decode(&value)?;
        }
    }
    Ok(fences)
}

fn span(slots: &[&Slot]) -> Option<(u16, u16)> {
    let numbers = || slots.iter().map(|slot| slot.number);
    Some((numbers().min()?, numbers().max()?))
}
