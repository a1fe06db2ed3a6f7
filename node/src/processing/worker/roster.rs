//! Who takes which tasks, and how many are out: pure, without clock, locks or randomness.
//!
//! The desk calls it. It counts places; what is done in them it does not know.

use std::collections::HashMap;
use std::fmt;

use selvedge_protocol::{OperationType, Tenant};

/// Operations of one type of one tenant: what a worker offers to execute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::processing) struct Group {
    pub(in crate::processing) tenant: Tenant,
    pub(in crate::processing) operation_type: OperationType,
}

/// Tells workers apart. A session that comes back under another actor is another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WorkerId(u64);

/// All workers. `O` is the way to one.
#[derive(Debug)]
pub(super) struct Roster<O> {
    workers: HashMap<WorkerId, Worker<O>>,
    /// Those that are ready for a group, in no order.
    groups: HashMap<Group, Vec<WorkerId>>,
    enlisted: u64,
}

#[derive(Debug)]
struct Worker<O> {
    tenant: Tenant,
    outbox: O,
    groups: Vec<Group>,
    capacity: u32,
    /// Tasks that are out, or on their way to it.
    taken: u32,
    /// A lease ran out, and it was not heard of since.
    is_silent: bool,
}

impl<O> Worker<O> {
    const fn has_room(&self) -> bool {
        !self.is_silent && self.taken < self.capacity
    }

    /// Whether a smaller part of it is taken.
    fn is_freer_than(&self, other: &Self) -> bool {
        let share = |one: &Self, two: &Self| u64::from(one.taken) * u64::from(two.capacity);
        share(self, other) < share(other, self)
    }
}

impl<O: Clone> Roster<O> {
    pub(super) fn new() -> Self {
        Self {
            workers: HashMap::new(),
            groups: HashMap::new(),
            enlisted: 0,
        }
    }

    /// Takes a worker in that is not ready yet.
    pub(super) fn enlist(&mut self, tenant: Tenant, outbox: O) -> WorkerId {
        self.enlisted += 1;
        let id = WorkerId(self.enlisted);
        let worker = Worker {
            tenant,
            outbox,
            groups: Vec::new(),
            capacity: 0,
            taken: 0,
            is_silent: false,
        };
        self.workers.insert(id, worker);
        id
    }

    /// What a worker takes from now on. Answers the groups whose places may have changed.
    pub(super) fn ready(&mut self, id: WorkerId, groups: Vec<Group>, capacity: u32) -> Vec<Group> {
        let Some(worker) = self.workers.get_mut(&id) else {
            return Vec::new();
        };
        for group in &groups {
            assert_eq!(
                group.tenant, worker.tenant,
                "a worker serves its own tenant"
            );
        }
        worker.capacity = capacity;
        worker.is_silent = false;
        let mut changed = std::mem::take(&mut worker.groups);
        worker.groups.clone_from(&groups);
        for group in &changed {
            self.unlist(id, group);
        }
        for group in groups {
            self.groups.entry(group.clone()).or_default().push(id);
            if !changed.contains(&group) {
                changed.push(group);
            }
        }
        changed
    }

    /// Takes a worker out, with all its places.
    pub(super) fn leave(&mut self, id: WorkerId) -> Vec<Group> {
        let Some(worker) = self.workers.remove(&id) else {
            return Vec::new();
        };
        for group in &worker.groups {
            self.unlist(id, group);
        }
        worker.groups
    }

    /// Takes a place of the freer of two workers of the group, if any has one. The choice is by chance.
    pub(super) fn pick(&mut self, group: &Group, random: u64) -> Option<(WorkerId, O)> {
        let ready = self.groups.get(group)?;
        let at = |offset: u64| {
            let length = u64::try_from(ready.len()).unwrap_or(1).max(1);
            let index = (random.wrapping_add(offset)) % length;
            ready.get(usize::try_from(index).unwrap_or(0)).copied()
        };
        let with_room = |id: WorkerId| self.workers.get(&id).filter(|worker| worker.has_room());
        let choice = |offset| {
            let id = at(offset)?;
            with_room(id).map(|worker| (id, worker))
        };
        let id = match (choice(0), choice(random >> 32)) {
            (Some((one, first)), Some((two, second))) => {
                if second.is_freer_than(first) {
                    two
                } else {
                    one
                }
            }
            (Some((id, _)), None) | (None, Some((id, _))) => id,
            (None, None) => *ready.iter().find(|id| with_room(**id).is_some())?,
        };
        let worker = self.workers.get_mut(&id)?;
        worker.taken += 1;
        Some((id, worker.outbox.clone()))
    }

    /// Gives a place back. Answers the groups that may use it.
    pub(super) fn give_back(&mut self, id: WorkerId) -> &[Group] {
        match self.workers.get_mut(&id) {
            Some(worker) => {
                assert!(
                    worker.taken > 0,
                    "more places of {id:?} given back than taken"
                );
                worker.taken -= 1;
                &worker.groups
            }
            None => &[],
        }
    }

    /// A lease of the worker ran out: it gets no more until it is heard of.
    pub(super) fn silence(&mut self, id: WorkerId) -> Vec<Group> {
        match self.workers.get_mut(&id) {
            Some(worker) => {
                worker.is_silent = true;
                worker.groups.clone()
            }
            None => Vec::new(),
        }
    }

    /// The worker says something. Answers the groups whose places may have changed.
    pub(super) fn heard(&mut self, id: WorkerId) -> Vec<Group> {
        match self.workers.get_mut(&id) {
            Some(worker) if worker.is_silent => {
                worker.is_silent = false;
                worker.groups.clone()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// What all workers of a group take together.
    pub(super) fn places(&self, group: &Group) -> usize {
        let ready = self.groups.get(group).into_iter().flatten();
        let workers = ready.filter_map(|id| self.workers.get(id));
        workers
            .filter(|worker| !worker.is_silent)
            .map(|worker| usize::try_from(worker.capacity).unwrap_or(usize::MAX))
            .fold(0, usize::saturating_add)
    }

    fn unlist(&mut self, id: WorkerId, group: &Group) {
        if let Some(ready) = self.groups.get_mut(group) {
            ready.retain(|one| *one != id);
            if ready.is_empty() {
                self.groups.remove(group);
            }
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.operation_type)
    }
}

#[cfg(test)]
mod tests;
