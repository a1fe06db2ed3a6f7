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

use crate::membership::record::{BeatRecord, LeaseRecord, NodeRecord, NodeState, UNREACHABLE_MAX};
use crate::membership::view;
use crate::plan::{Candidate, Plan};

mod attention;
mod isolation;

use attention::{Attention, Watched};
use isolation::Voter;

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
    /// One that most others have not reached for so long, since they said so, gives up what it owns.
    pub isolated: Duration,
    /// Once they have reached it again for so long it gets its share.
    pub reached: Duration,
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
            // Two beats: a link that is only opened again shows for one. They say so after a second of silence.
            isolated: Duration::from_millis(500),
            // A link that comes and goes faster than this moves slots once.
            reached: Duration::from_millis(5_000),
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
    /// Cut off from the others, or reached again.
    pub isolated: Vec<(String, NodeRecord)>,
    pub plan: Option<Plan>,
}

impl Writes {
    /// The digest of the view once all this is written.
    fn view_after(&self, seen: &Seen) -> u64 {
        let plan = self.plan.as_ref().or(seen.plan.as_ref());
        let members = seen.members.iter().map(|member| {
            let mut changed = self.dead.iter().chain(&self.isolated);
            let changed = changed.find(|(name, _)| *name == member.name);
            let node = changed.map_or(&member.node, |(_, node)| node);
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
    /// Nodes that this one needs and cannot reach.
    unreachable: Vec<String>,
    /// By name and incarnation, whether most others could reach a node. Only the controller looks.
    cut_off: HashMap<String, Watched<(u64, bool)>>,
}

/// A sign of life: a beat, or a join before the first.
type Sign = (u64, Option<(u64, u64)>);

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
            unreachable: Vec::new(),
            cut_off: HashMap::new(),
        }
    }

    /// From now on these are the nodes that this one needs and cannot reach; its beats say so.
    pub fn report(&mut self, mut unreachable: Vec<String>) {
        unreachable.sort_unstable();
        unreachable.dedup();
        unreachable.truncate(UNREACHABLE_MAX);
        self.unreachable = unreachable;
    }

    /// A link to a node broke: unless that proves alive it is judged sooner, by this node.
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
                unreachable: self.unreachable.clone(),
            }),
            ..Writes::default()
        };
        if !seen.members.is_empty() {
            self.watch(now, &seen.members);
        }
        let lease = match seen.members.is_empty() {
            true => None,
            false => self.next_lease(asked, seen.lease.as_ref()),
        };
        match lease {
            Some(mut lease) => {
                lease.doubted = self.rule(asked, seen, &mut writes);
                lease.view = writes.view_after(seen);
                writes.lease = Some(lease);
            }
            // What it saw of others' links is old by the time at which it may have a say again.
            None => self.cut_off.clear(),
        }
        Ok(writes)
    }

    /// What was decided is durable.
    pub fn committed(&mut self, writes: &Writes) {
        if let Some(beat) = &writes.beat {
            self.beats = beat.count;
        }
        if writes.lease.is_some() {
            self.lease
                .see(self.attention.watched, writes.lease.as_ref());
        }
    }

    /// What was decided could not be written. Nobody else's beats may have been: a store that is full, or that is
    /// lost between read and commit, makes everybody look silent.
    pub fn failed(&mut self) {
        self.attention.disregard();
    }

    fn watch(&mut self, now: Duration, members: &[Member]) {
        self.members
            .retain(|name, _| members.iter().any(|member| member.name == *name));
        for member in members {
            let watched = self.members.entry(member.name.clone()).or_default();
            let before = watched.since;
            let beat = member.beat.as_ref();
            let beat = beat.map(|beat| (beat.incarnation, beat.count));
            watched.see(now, Some(&(member.node.incarnation, beat)));
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
            doubted: Vec::new(),
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

    /// Declares the silent dead, looks who is cut off, and plans for the others. Answers with the nodes that
    /// are to be looked at by all.
    fn rule(&mut self, now: Duration, seen: &Seen, writes: &mut Writes) -> Vec<String> {
        let reported = reported(&seen.members);
        let mut living = Vec::with_capacity(seen.members.len());
        for member in &seen.members {
            if !member.node.is_alive() {
                continue;
            }
            if self.is_silent(now, member, reported.contains(member.name.as_str())) {
                let dead = NodeRecord {
                    state: NodeState::Dead,
                    ..member.node.clone()
                };
                writes.dead.push((member.name.clone(), dead));
                continue;
            }
            living.push(member);
        }
        self.watch_links(&living);
        let is_owned = living.iter().any(|member| member.node.share() > 0);
        let mut candidates = Vec::with_capacity(living.len());
        let mut doubted = Vec::new();
        for member in living {
            let is_isolated = self.is_isolated(now, member, is_owned);
            let node = NodeRecord {
                is_isolated,
                ..member.node.clone()
            };
            candidates.push(Candidate {
                name: member.name.clone(),
                weight: node.share(),
            });
            let is_doubted = is_isolated || reported.contains(member.name.as_str());
            if is_doubted && doubted.len() < UNREACHABLE_MAX {
                doubted.push(member.name.clone());
            }
            if node != member.node {
                writes.isolated.push((member.name.clone(), node));
            }
        }
        if let Some(plan) = &seen.plan {
            let next = plan.next(&candidates);
            writes.plan = (next != *plan).then_some(next);
        }
        doubted
    }

    /// Sees which of the living most others cannot reach.
    fn watch_links(&mut self, living: &[&Member]) {
        let voters = living.iter().map(|member| Voter {
            name: &member.name,
            may_own: member.node.share_if_reached() > 0,
            is_judge: member.name == self.name,
            is_isolated: member.node.is_isolated,
            unreachable: member.unreachable(),
        });
        let cut_off = isolation::cut_off(voters.collect());
        self.cut_off
            .retain(|name, _| living.iter().any(|member| member.name == *name));
        for member in living {
            let is_cut_off = cut_off.contains(member.name.as_str());
            let watched = self.cut_off.entry(member.name.clone()).or_default();
            let seen = (member.node.incarnation, is_cut_off);
            watched.see(self.attention.watched, Some(&seen));
        }
    }

    /// Whether a node is to own nothing because others cannot reach it: what it is already changes only when the
    /// opposite was so for some time, or while nobody else may own anything.
    fn is_isolated(&self, now: Duration, member: &Member, is_owned: bool) -> bool {
        let was = member.node.is_isolated;
        let Some(watched) = self.cut_off.get(&member.name) else {
            return was;
        };
        let is = watched.row.is_some_and(|(_, is_cut_off)| is_cut_off);
        let limit = match (is, is_owned) {
            (true, _) => self.timing.isolated,
            (false, true) => self.timing.reached,
            (false, false) => Duration::ZERO,
        };
        match is != was && self.attention.age(now, watched) >= limit {
            true => is,
            false => was,
        }
    }

    /// Whether a node has been silent for too long. The one that lost its lease was already silent before
    /// this node began to watch all.
    fn is_silent(&self, now: Duration, member: &Member, is_reported: bool) -> bool {
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
        let limit = match is_reported || self.suspects.contains(name) {
            true => self.timing.dead_when_suspected,
            false => self.timing.dead,
        };
        own.max(as_holder) >= limit
    }
}

impl Member {
    /// What it says that it cannot reach, as what it is now.
    fn unreachable(&self) -> &[String] {
        match &self.beat {
            Some(beat) if beat.incarnation == self.node.incarnation => &beat.unreachable,
            Some(_) | None => &[],
        }
    }
}

/// Nodes that somebody who is there cannot reach.
fn reported(members: &[Member]) -> HashSet<&str> {
    let living = members.iter().filter(|member| member.node.is_alive());
    let reported = living.flat_map(Member::unreachable);
    reported.map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
