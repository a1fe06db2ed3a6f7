//! Who is alive, who is the controller, and what it decides: a pure machine, one for each node.
//!
//! A round reads some rows, asks the machine what to write, and commits; the machine hears whether that
//! happened. It compares what it sees with what it saw before, by its own monotonic time: no clock of
//! another node matters, and a wrong judgement of a slow node costs a move of slots, never safety.
//!
//! Only the time that it watched counts. While a node stood still, or its store was away, it saw nothing, and
//! the silence of others was perhaps its own.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::membership::record::{BeatRecord, LeaseRecord, NodeRecord, NodeState};
use crate::membership::view;
use crate::plan::{Candidate, Plan};

/// How fast a cluster judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A node says that it is alive this often.
    pub beat: Duration,
    /// One that has not for so long is declared dead.
    pub dead: Duration,
    /// The same for one that a node at the other end of a broken link suspects.
    pub dead_when_suspected: Duration,
    /// A controller that has not renewed its lease for so long is replaced.
    pub lease: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            // Four small writes a second: what is left of the two seconds of a failover after them is for
            // the plan, the take-over and the clients.
            beat: Duration::from_millis(250),
            // Four beats: at the worst it is told two beats later.
            dead: Duration::from_millis(1_000),
            dead_when_suspected: Duration::from_millis(750),
            lease: Duration::from_millis(1_000),
        }
    }
}

/// A node as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub node: NodeRecord,
    pub beat: Option<BeatRecord>,
}

/// The rows of a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The node's own.
    pub own: Option<NodeRecord>,
    pub lease: Option<LeaseRecord>,
    /// All nodes; only asked for by [`Machine::wants_all`].
    pub members: Vec<Member>,
    /// The same.
    pub plan: Option<Plan>,
}

/// What a round writes, in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes {
    pub beat: Option<BeatRecord>,
    /// Taken or renewed; all below holds only together with it.
    pub lease: Option<LeaseRecord>,
    /// To be declared dead.
    pub dead: Vec<(String, NodeRecord)>,
    pub plan: Option<Plan>,
}

impl Writes {
    /// The digest of the view once all this is written.
    fn view_after(&self, seen: &Seen) -> u64 {
        let plan = self.plan.as_ref().or(seen.plan.as_ref());
        let members = seen.members.iter().map(|member| {
            let dead = self.dead.iter().find(|(name, _)| *name == member.name);
            let node = dead.map_or(&member.node, |(_, node)| node);
            (member.name.as_str(), node)
        });
        view::digest(plan.map_or(0, |plan| plan.number), members)
    }
}

/// Why a node is no member any more. It stops owning at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ousted {
    /// It was declared dead, or removed: it may join anew.
    Dead,
    /// Another process has joined under its name: one of the two has to end, and that is this one.
    Replaced,
}

/// One node's part.
#[derive(Debug)]
pub struct Machine {
    name: String,
    incarnation: u64,
    timing: Timing,
    beats: u64,
    attention: Attention,
    lease: Watched<LeaseRecord>,
    members: HashMap<String, Watched<Sign>>,
    suspects: HashSet<String>,
}

/// A sign of life: a beat, or a join before the first.
type Sign = (u64, Option<BeatRecord>);

/// For how long a node has watched: a clock that runs at most so far between two looks.
#[derive(Debug)]
struct Attention {
    watched: Duration,
    looked: Option<Instant>,
    /// When it began to see anything, after it had not for too long to judge anybody.
    since: Duration,
    /// So much counts of the time between two looks. One that is half a beat late has a reason that others
    /// may have as well.
    counted_max: Duration,
    /// After so long it begins anew.
    blind: Duration,
}

impl Attention {
    fn new(timing: Timing) -> Self {
        Self {
            watched: Duration::ZERO,
            looked: None,
            since: Duration::ZERO,
            counted_max: timing.beat + timing.beat / 2,
            blind: timing.dead,
        }
    }

    fn gap(&self, now: Instant) -> Duration {
        let since = |looked| now.saturating_duration_since(looked);
        self.looked.map_or(Duration::ZERO, since)
    }

    fn at(&self, now: Instant) -> Duration {
        self.watched + self.gap(now).min(self.counted_max)
    }

    fn look(&mut self, now: Instant) {
        self.watched = self.at(now);
        if self.gap(now) >= self.blind {
            self.since = self.watched;
        }
        self.looked = Some(now);
    }

    /// How long something was the same, of the time that counts.
    fn age<T>(&self, now: Duration, watched: &Watched<T>) -> Duration {
        let since = watched.since.unwrap_or(now).max(self.since);
        now.saturating_sub(since)
    }
}

/// A row, and when it was last seen to change, by [`Attention`].
#[derive(Debug)]
struct Watched<T> {
    row: Option<T>,
    since: Option<Duration>,
}

impl<T> Default for Watched<T> {
    fn default() -> Self {
        Self {
            row: None,
            since: None,
        }
    }
}

impl<T: PartialEq + Clone> Watched<T> {
    fn see(&mut self, now: Duration, row: Option<&T>) {
        if self.since.is_none() || self.row.as_ref() != row {
            self.row = row.cloned();
            self.since = Some(now);
        }
    }
}

impl Machine {
    /// The part of a node that has joined as this incarnation.
    pub fn new(name: String, incarnation: u64, timing: Timing) -> Self {
        Self {
            name,
            incarnation,
            timing,
            beats: 0,
            attention: Attention::new(timing),
            lease: Watched::default(),
            members: HashMap::new(),
            suspects: HashSet::new(),
        }
    }

    /// A link to a node broke: unless that proves alive it is judged sooner.
    pub fn suspect(&mut self, node: &str) {
        if self.members.contains_key(node) {
            self.suspects.insert(node.to_owned());
        }
    }

    /// What it has joined as.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether it is the controller, as far as it knows.
    pub fn is_controller(&self) -> bool {
        self.lease.row.as_ref().is_some_and(|it| self.holds(it))
    }

    /// Whether the next round needs all rows: the controller's does, and one that may become it.
    pub fn wants_all(&self, now: Instant) -> bool {
        match &self.lease.row {
            None => true,
            Some(lease) => lease.holder == self.name || self.is_lease_over(self.attention.at(now)),
        }
    }

    /// What to write after what was seen: asked for at `asked`, and there by `now`. What has not changed was
    /// silent until it was asked for, what has may have done so only now: a round that takes long, or in
    /// which the node stood still, makes nobody look older.
    pub fn decide(&mut self, asked: Instant, now: Instant, seen: &Seen) -> Result<Writes, Ousted> {
        let own = seen.own.as_ref().ok_or(Ousted::Dead)?;
        if own.incarnation != self.incarnation {
            return Err(Ousted::Replaced);
        }
        if !own.is_alive() {
            return Err(Ousted::Dead);
        }
        let asked = self.attention.at(asked);
        self.attention.look(now);
        let now = self.attention.watched;
        self.lease.see(now, seen.lease.as_ref());
        let mut writes = Writes {
            beat: Some(BeatRecord {
                incarnation: self.incarnation,
                count: self.beats + 1,
            }),
            ..Writes::default()
        };
        if seen.members.is_empty() {
            return Ok(writes);
        }
        self.watch(now, &seen.members);
        if let Some(mut lease) = self.next_lease(asked, seen.lease.as_ref()) {
            self.rule(asked, seen, &mut writes);
            lease.view = writes.view_after(seen);
            writes.lease = Some(lease);
        }
        Ok(writes)
    }

    /// What was decided is durable.
    pub fn committed(&mut self, writes: &Writes) {
        if let Some(beat) = writes.beat {
            self.beats = beat.count;
        }
        if writes.lease.is_some() {
            self.lease
                .see(self.attention.watched, writes.lease.as_ref());
        }
    }

    fn watch(&mut self, now: Duration, members: &[Member]) {
        self.members
            .retain(|name, _| members.iter().any(|member| member.name == *name));
        for member in members {
            let watched = self.members.entry(member.name.clone()).or_default();
            let before = watched.since;
            watched.see(now, Some(&(member.node.incarnation, member.beat)));
            if watched.since != before {
                self.suspects.remove(&member.name);
            }
        }
    }

    /// The lease as this node takes or renews it; `None`: somebody else has it.
    fn next_lease(&self, now: Duration, lease: Option<&LeaseRecord>) -> Option<LeaseRecord> {
        let taken = |term| LeaseRecord {
            holder: self.name.clone(),
            incarnation: self.incarnation,
            term,
            count: 1,
            view: 0,
        };
        match lease {
            None => Some(taken(1)),
            Some(lease) if self.holds(lease) => Some(LeaseRecord {
                count: lease.count + 1,
                ..lease.clone()
            }),
            // The one that held it under this name is ousted by the join of this one.
            Some(lease) if lease.holder == self.name || self.is_lease_over(now) => {
                Some(taken(lease.term + 1))
            }
            Some(_) => None,
        }
    }

    fn holds(&self, lease: &LeaseRecord) -> bool {
        lease.holder == self.name && lease.incarnation == self.incarnation
    }

    fn is_lease_over(&self, now: Duration) -> bool {
        self.attention.age(now, &self.lease) >= self.timing.lease
    }

    /// Declares the silent dead, and plans for the others.
    fn rule(&self, now: Duration, seen: &Seen, writes: &mut Writes) {
        let mut candidates = Vec::with_capacity(seen.members.len());
        for member in &seen.members {
            if !member.node.is_alive() {
                continue;
            }
            if self.is_silent(now, member) {
                let dead = NodeRecord {
                    state: NodeState::Dead,
                    ..member.node.clone()
                };
                writes.dead.push((member.name.clone(), dead));
                continue;
            }
            candidates.push(Candidate {
                name: member.name.clone(),
                weight: member.node.share(),
            });
        }
        let Some(plan) = &seen.plan else { return };
        let next = plan.next(&candidates);
        if next != *plan {
            writes.plan = Some(next);
        }
    }

    /// Whether a node has been silent for too long. The one that lost its lease was already silent before
    /// this node began to watch all.
    fn is_silent(&self, now: Duration, member: &Member) -> bool {
        let name = member.name.as_str();
        if name == self.name {
            return false;
        }
        let own = self
            .members
            .get(name)
            .map_or(Duration::ZERO, |it| self.attention.age(now, it));
        let lease = self.lease.row.as_ref();
        let is_holder = lease.is_some_and(|lease| {
            lease.holder == name && lease.incarnation == member.node.incarnation
        });
        let as_holder = match is_holder {
            true => self.attention.age(now, &self.lease),
            false => Duration::ZERO,
        };
        let limit = match self.suspects.contains(name) {
            true => self.timing.dead_when_suspected,
            false => self.timing.dead,
        };
        own.max(as_holder) >= limit
    }
}

#[cfg(test)]
mod tests;
