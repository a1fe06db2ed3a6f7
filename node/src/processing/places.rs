//! Who holds how many places of a pool's queue. Pure.
//!
//! A tenant may hold up to four times as many places as are free: alone, four fifths of the queue, and
//! less the more others hold, so that somebody new always finds room (dynamic thresholds, Choudhury and
//! Hahne 1998). Whoever finds none is remembered: its operations are looked for in the store once it has
//! room again.

use std::collections::{HashMap, HashSet};

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::OPERATION_QUEUE_MAX;

/// Places that a tenant may hold for each free one.
const PLACES_FOR_A_FREE_ONE: usize = 4;

/// The places of a queue.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: usize,
    held: HashMap<Tenant, usize>,
    /// Tenants with something runnable in the store and not here.
    missing: HashSet<Tenant>,
}

impl Places {
    /// Takes a place, or remembers that there was none.
    pub(super) fn take(&mut self, tenant: &Tenant) -> bool {
        if !self.has_place_for(tenant) {
            self.miss(tenant);
            return false;
        }
        self.taken += 1;
        *self.held.entry(tenant.clone()).or_default() += 1;
        true
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, tenant: &Tenant) {
        let Some(held) = self.held.get_mut(tenant) else {
            return;
        };
        self.taken -= 1;
        *held -= 1;
        if *held == 0 {
            self.held.remove(tenant);
        }
    }

    /// Something of this tenant is in the store and not here.
    pub(super) fn miss(&mut self, tenant: &Tenant) {
        if !self.missing.contains(tenant) {
            self.missing.insert(tenant.clone());
        }
    }

    /// A look through the store begins: it will find whom it has no room for.
    pub(super) fn forget_missing(&mut self) {
        self.missing.clear();
    }

    pub(super) const fn free(&self) -> usize {
        OPERATION_QUEUE_MAX - self.taken
    }

    pub(super) fn has_place_for(&self, tenant: &Tenant) -> bool {
        self.held(tenant) < self.share()
    }

    /// Whether somebody who is missing something may hold twice as many places as it does.
    pub(super) fn is_worth_a_look(&self) -> bool {
        let share = self.share();
        share > 0
            && self
                .missing
                .iter()
                .any(|tenant| self.held(tenant) <= share / 2)
    }

    /// Places that one tenant may hold at present.
    const fn share(&self) -> usize {
        self.free() * PLACES_FOR_A_FREE_ONE
    }

    fn held(&self, tenant: &Tenant) -> usize {
        self.held.get(tenant).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(number: usize) -> Tenant {
        Tenant::new(format!("tenant-{number}")).unwrap()
    }

    /// Takes as many as there are.
    fn fill(places: &mut Places, tenant: &Tenant) -> usize {
        (0..).take_while(|_| places.take(tenant)).count()
    }

    #[test]
    fn whoever_fills_the_queue_leaves_room_for_others() {
        let mut places = Places::default();
        let first = fill(&mut places, &tenant(1));
        assert!(first > OPERATION_QUEUE_MAX / 4 * 3, "{first}");
        for number in 2..6 {
            assert!(fill(&mut places, &tenant(number)) > 0, "{number}");
        }
        assert!(places.free() > 0);
    }

    #[test]
    fn a_look_is_due_when_there_is_room_for_whom_there_was_none() {
        let mut places = Places::default();
        let (big, small) = (tenant(1), tenant(2));
        fill(&mut places, &big);
        places.forget_missing();
        let held = fill(&mut places, &small);
        // The other one is stuck: what the small one gives back is enough.
        assert!(!places.is_worth_a_look());
        for _ in 0..held {
            places.give_back(&small);
        }
        assert!(places.is_worth_a_look());
        places.forget_missing();
        assert!(!places.is_worth_a_look());
    }

    proptest! {
        #[test]
        fn counts_stay_right(script in proptest::collection::vec((0_usize..4, 0_usize..3), 0..2_000)) {
            let mut places = Places::default();
            let mut model = [0_usize; 4];
            for (number, action) in script {
                let name = tenant(number);
                if action == 0 && model[number] > 0 {
                    places.give_back(&name);
                    model[number] -= 1;
                } else if action > 0 {
                    for _ in 0..100 {
                        let free = OPERATION_QUEUE_MAX - model.iter().sum::<usize>();
                        let fits = model[number] < 4 * free;
                        prop_assert_eq!(places.take(&name), fits);
                        model[number] += usize::from(fits);
                    }
                }
                prop_assert_eq!(places.free(), OPERATION_QUEUE_MAX - model.iter().sum::<usize>());
            }
        }
    }
}
