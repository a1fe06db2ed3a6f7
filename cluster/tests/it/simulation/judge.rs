//! Sees each commit at the store, and says what must not be: a row written by who does not own its slot, a slot taken
//! back under an earlier plan, two controllers of one term.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_cluster::membership::record::LeaseRecord;
use selvedge_cluster::plan::Plan;
use selvedge_cluster::store::Version;
use selvedge_cluster::store::keys::{ClusterKey, Key};
use selvedge_cluster::store::record::{Record, decode};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::log::Log;
use crate::store::memory::Memory;

/// One process of a node, by a number that no other one of the run has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) node: String,
    pub(super) number: u64,
}

/// A cheap handle on the judge of a run.
#[derive(Debug, Clone)]
pub(super) struct Judge(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    log: Log,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who has each slot: it has taken it, and neither has another one since, nor did it give the slot up.
    owners: BTreeMap<u16, Process>,
    commits: u64,
    refused: u64,
    digest: Xxh3,
}

/// A slot's fence, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Fence {
    epoch: u64,
    node: String,
    incarnation: u64,
    plan: u64,
}

impl Record for Fence {
    const FORMAT: u8 = 2;
}

/// A commit, as it is judged.
struct Seen<'a> {
    by: &'a Process,
    store: &'a Memory,
    at: Version,
}

impl Judge {
    pub(super) fn new(log: Log) -> Self {
        Self(Arc::new(Shared {
            log,
            state: Mutex::default(),
        }))
    }

    /// A process has written these keys.
    pub(super) fn committed(&self, by: &Process, store: &Memory, at: Version, keys: &[Bytes]) {
        let mut state = self.0.state.lock();
        state.note(by, at, keys);
        let seen = Seen { by, store, at };
        let mut written = BTreeSet::new();
        let (mut taken, mut released) = (Vec::new(), Vec::new());
        for key in keys {
            match Key::decode(key) {
                Ok(Key::SlotFence { slot }) => match self.fence(&mut state, &seen, slot, key) {
                    Some(_) => taken.push(slot),
                    None => released.push(slot),
                },
                Ok(
                    Key::Actor { actor, .. }
                    | Key::Event { actor, .. }
                    | Key::Timer { actor, .. }
                    | Key::Outbox { actor, .. }
                    | Key::Awake { actor }
                    | Key::Payload { actor, .. },
                ) => drop(written.insert(actor.slot)),
                Ok(Key::Cluster(ClusterKey::Lease)) => self.lease(&seen, key),
                Ok(Key::Cluster(ClusterKey::Plan)) => self.plan(&seen, key),
                Ok(_) | Err(_) => {}
            }
        }
        for slot in written {
            if state.owners.get(&slot) != Some(by) {
                let owner = state.owners.get(&slot);
                let what = format_args!("{by} has written to slot {slot} of {owner:?}");
                self.0.log.violation(what);
            }
        }
        for (what, slots) in [("takes", taken), ("gives up", released)] {
            if !slots.is_empty() {
                self.0.log.say(format_args!("{by} {what} {slots:?}"));
            }
        }
    }

    /// The store has refused what a process wanted to write.
    pub(super) fn refused(&self, by: &Process) {
        let mut state = self.0.state.lock();
        state.refused += 1;
        state.digest.update(&by.number.to_le_bytes());
    }

    /// How many commits there were, how many were refused, and a digest of all.
    pub(super) fn tally(&self) -> (u64, u64, u64) {
        let state = self.0.state.lock();
        (state.commits, state.refused, state.digest.digest())
    }

    /// The owner of a slot from now on, if it has one.
    fn fence(&self, state: &mut State, seen: &Seen<'_>, slot: u16, key: &[u8]) -> Option<Process> {
        let before: Fence = seen.before(key).unwrap_or_default();
        let after: Fence = seen.after(key).unwrap_or_default();
        let by = seen.by;
        if after.node.is_empty() {
            let owner = state.owners.remove(&slot);
            if owner.as_ref() != Some(by) {
                let what = format_args!("{by} gives up slot {slot} of {owner:?}");
                self.0.log.violation(what);
            }
            return None;
        }
        if after.epoch <= before.epoch || after.plan < before.plan || after.node != by.node {
            let what = format_args!("{by} takes slot {slot}: {before:?}, then {after:?}");
            self.0.log.violation(what);
        }
        state.owners.insert(slot, by.clone());
        Some(by.clone())
    }

    fn lease(&self, seen: &Seen<'_>, key: &[u8]) {
        let before: Option<LeaseRecord> = seen.before(key);
        let Some(after) = seen.after::<LeaseRecord>(key) else {
            return;
        };
        let of = |lease: &LeaseRecord| (lease.holder.clone(), lease.incarnation);
        let is_right = match &before {
            Some(before) if of(before) == of(&after) => after.term == before.term,
            Some(before) => after.term == before.term + 1,
            None => after.term == 1,
        };
        if !is_right || after.holder != seen.by.node {
            let what = format_args!("{} leads: {before:?}, then {after:?}", seen.by);
            self.0.log.violation(what);
        }
        if before.is_none_or(|before| before.term != after.term) {
            let LeaseRecord { term, .. } = after;
            self.0
                .log
                .say(format_args!("{} leads, term {term}", seen.by));
        }
    }

    fn plan(&self, seen: &Seen<'_>, key: &[u8]) {
        let lease = Key::from(ClusterKey::Lease).encode();
        let lease: Option<LeaseRecord> = seen.after(&lease);
        let before: u64 = seen.before(key).map_or(0, |plan: Plan| plan.number);
        let Some(after) = seen.after::<Plan>(key) else {
            return;
        };
        let is_leader = lease.is_some_and(|lease| lease.holder == seen.by.node);
        if !is_leader || after.number != before + 1 {
            let what = format_args!("{} publishes {} after {before}", seen.by, after.number);
            self.0.log.violation(what);
        }
        let shares = after.nodes().map(|node| {
            let count = after.slots_of(node).count();
            format!(" {node}:{count}")
        });
        let shares: String = shares.collect();
        let what = format_args!("{} publishes plan {}:{shares}", seen.by, after.number);
        self.0.log.say(what);
    }
}

impl State {
    fn note(&mut self, by: &Process, at: Version, keys: &[Bytes]) {
        self.commits += 1;
        self.digest.update(&by.number.to_le_bytes());
        self.digest.update(&at.to_le_bytes());
        // In the order of the keys: which part of an actor is written first changes nothing.
        let mut keys: Vec<&Bytes> = keys.iter().collect();
        keys.sort_unstable();
        for key in keys {
            self.digest.update(key);
        }
    }
}

impl Seen<'_> {
    fn before<R: Record>(&self, key: &[u8]) -> Option<R> {
        let value = self.store.value_at(key, self.at - 1)?;
        Some(decode(key, &value).unwrap())
    }

    fn after<R: Record>(&self, key: &[u8]) -> Option<R> {
        let value = self.store.value_at(key, self.at)?;
        Some(decode(key, &value).unwrap())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.number)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} commits)", self.commits)
    }
}
