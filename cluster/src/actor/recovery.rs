//! Finds what earlier owners of slots have left to do: timers, messages, and actors that shall be awake. Called by
//! the host for slots that it takes; makes due the chores of those that have any, and does none itself.

use std::sync::Arc;

use bytes::Bytes;

use crate::actor::chore::{Which, row};
use crate::actor::core::Core;
use crate::slot::Slot;
use crate::store::keys::{KeyRange, SlotFamily};
use crate::store::{self, Isolation};

/// Rows that are read at a time.
const PAGE_MAX: usize = 128;
/// Reads of a family after slots were taken. Where they are not enough there is something in most slots, and each
/// may as well look for itself.
const PAGES_MAX: usize = 8;

const FAMILIES: [(Which, SlotFamily); 3] = [
    (Which::Timers, SlotFamily::Timer),
    (Which::Outbox, SlotFamily::Outbox),
    (Which::Awake, SlotFamily::Awake),
];

/// Makes the chores of all slots due that have any.
pub(crate) async fn recover_all(core: &Arc<Core>) -> Result<(), store::Error> {
    let all: Vec<&Slot> = core.slots.iter().collect();
    for (which, family) in FAMILIES {
        // From one slot that has any to the next.
        let bounds = Bounds {
            rows: 1,
            pages: usize::MAX,
        };
        find(core, which, family, &all, bounds)
            .await
            .map_err(|(_, error)| error)?;
    }
    Ok(())
}

/// The same for slots that were just taken: one read of each family tells which of them have nothing to do, which
/// is most of them as a rule. What it cannot tell is due.
pub(crate) async fn recover_taken(core: &Arc<Core>, taken: &[u16]) {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    let slots = taken
        .iter()
        .filter_map(|slot| core.slots.get(usize::from(*slot)));
    let slots: Vec<&Slot> = slots.collect();
    let families = FAMILIES.map(|(which, family)| {
        let slots = &slots;
        async move {
            let bounds = Bounds {
                rows: PAGE_MAX,
                pages: PAGES_MAX,
            };
            let known = match find(core, which, family, slots, bounds).await {
                Ok(known) => known,
                Err((known, error)) => {
                    tracing::debug!(chore = ?which, %error, "chores of slots are looked for one by one");
                    known
                }
            };
            for slot in &slots[known..] {
                core.schedule(which.of(slot), 0);
            }
        }
    });
    futures::future::join_all(families).await;
    // Some were due before, while the slot was not this host's.
    core.chores.notify_one();
}

/// How much is read of a family: so many rows at a time, so often.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    rows: usize,
    pages: usize,
}

/// Makes a chore due in those of the slots, in ascending order, that have rows of it. Answers of how many it knows
/// after so many reads, also with an error.
async fn find(
    core: &Core,
    which: Which,
    family: SlotFamily,
    slots: &[&Slot],
    bounds: Bounds,
) -> Result<usize, (usize, store::Error)> {
    let Some(last) = slots.last() else {
        return Ok(0);
    };
    let end = KeyRange::slot(family, last.number).end;
    let mut known = 0;
    for _ in 0..bounds.pages {
        let Some(next) = slots.get(known) else { break };
        let range = KeyRange {
            begin: KeyRange::slot(family, next.number).begin,
            end: end.clone(),
        };
        let rows = read(core, &range, bounds.rows)
            .await
            .map_err(|error| (known, error))?;
        let mut reached = 0;
        for (key, _) in &rows {
            let (path, due_ms) = row(key).map_err(|error| (known, error))?;
            reached = path.slot;
            if let Ok(place) = slots.binary_search_by_key(&path.slot, |slot| slot.number) {
                core.schedule(which.of(slots[place]), due_ms);
            }
        }
        known = match rows.len() < bounds.rows {
            true => slots.len(),
            // On to the next of these: it is of no use how much there is in a slot.
            false => slots.partition_point(|slot| slot.number <= reached),
        };
    }
    Ok(known)
}

async fn read(
    core: &Core,
    range: &KeyRange,
    rows: usize,
) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
    let range = range.read(rows, Isolation::Snapshot);
    core.store.begin().range(range).await
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::Tenant;

    use super::*;
    use crate::Clock;
    use crate::actor::host::HostConfig;
    use crate::actor::hosted::Kinds;
    use crate::slot::NEVER;
    use crate::store::Store;
    use crate::store::embedded::{Embedded, EmbeddedConfig};
    use crate::store::keys::{ActorPath, Key};

    const SLOTS: u16 = 64;
    const DUE_MS: u64 = 77;

    struct World {
        core: Arc<Core>,
        _directory: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let config = EmbeddedConfig::new(directory.path().join("store"));
            let store: Arc<dyn Store> = Arc::new(Embedded::open(config).unwrap());
            let config = HostConfig {
                node: "node-1".to_owned(),
                idle_ms: 60_000,
                slots: SLOTS,
            };
            let core = Core::new(config, store, Clock::manual(1, 1), Kinds::default());
            Self {
                core,
                _directory: directory,
            }
        }

        async fn put(&self, keys: impl Iterator<Item = Vec<u8>>) {
            let mut transaction = self.core.store.begin();
            keys.for_each(|key| transaction.set(&key, b"1"));
            transaction.commit().await.unwrap();
        }

        /// When a chore of each slot is due.
        fn due(&self, which: Which) -> Vec<u64> {
            let slots = self.core.slots.iter();
            slots.map(|slot| which.of(slot).due_ms()).collect()
        }
    }

    fn path(slot: u16, number: u64) -> ActorPath {
        ActorPath {
            slot,
            tenant: Tenant::default_tenant(),
            address: format!("tally/{number}").parse().unwrap(),
        }
    }

    fn timer(slot: u16, number: u64) -> Vec<u8> {
        Key::Timer {
            actor: path(slot, number),
            due_ms: DUE_MS + number,
            name: "later".to_owned(),
        }
        .encode()
    }

    /// Every second slot.
    fn taken() -> Vec<u16> {
        (0..SLOTS).step_by(2).collect()
    }

    #[tokio::test]
    async fn only_slots_with_something_to_do_are_due() {
        let world = World::new();
        let message = Key::Outbox {
            actor: path(62, 1),
            seq: 1,
        };
        let awake = Key::Awake { actor: path(0, 1) };
        let timers = [timer(4, 1), timer(4, 0), timer(5, 0), timer(63, 0)];
        let keys = timers.into_iter().chain([message.encode(), awake.encode()]);
        world.put(keys).await;
        recover_taken(&world.core, &taken()).await;
        let due_at = |which, slot: usize| {
            let mut expected = vec![NEVER; usize::from(SLOTS)];
            let due = world.due(which);
            expected[slot] = due[slot];
            assert_eq!(due, expected, "{which:?}");
            due[slot]
        };
        assert_eq!(due_at(Which::Timers, 4), DUE_MS);
        assert_eq!(due_at(Which::Outbox, 62), 0);
        assert_eq!(due_at(Which::Awake, 0), 0);
    }

    #[tokio::test]
    async fn where_most_slots_have_much_to_do_each_looks_for_itself() {
        let world = World::new();
        for slot in 0..SLOTS {
            world.put((0..200).map(|number| timer(slot, number))).await;
        }
        recover_taken(&world.core, &taken()).await;
        let due = world.due(Which::Timers);
        for (slot, due_ms) in (0..).zip(due) {
            let expected = match slot {
                0..16 if slot % 2 == 0 => DUE_MS,
                _ if slot % 2 == 0 => 0,
                _ => NEVER,
            };
            assert_eq!(due_ms, expected, "{slot}");
        }
        // Alone, it knows of each.
        recover_all(&world.core).await.unwrap();
        assert!(world.due(Which::Timers).iter().all(|due| *due <= DUE_MS));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_due() {
        let world = World::new();
        let mut damaged = timer(2, 0);
        damaged.truncate(damaged.len() - 6);
        world.put([damaged].into_iter()).await;
        recover_taken(&world.core, &taken()).await;
        let due = world.due(Which::Timers);
        assert!(due.iter().step_by(2).all(|due| *due == 0), "{due:?}");
        assert!(recover_all(&world.core).await.is_err());
    }
}
