//! A whole cluster in simulated time: rows as in the store, and nodes that read, decide and commit by them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::membership::record::Versions;

pub(super) const SLOTS: u16 = 64;
/// The step of simulated time.
pub(super) const STEP: Duration = Duration::from_millis(10);

/// The rows, each with the number of the commit that wrote it last.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) commits: u64,
    pub(super) nodes: BTreeMap<String, (u64, NodeRecord)>,
    pub(super) beats: BTreeMap<String, (u64, BeatRecord)>,
    pub(super) lease: Option<(u64, LeaseRecord)>,
    pub(super) plan: Option<(u64, Plan)>,
}

/// A round between its read and its commit.
pub(super) struct Pending {
    pub(super) read_at: u64,
    pub(super) writes: Writes,
    pub(super) commit_at: Instant,
}

pub(super) struct Node {
    pub(super) name: String,
    /// `None`: it is down.
    pub(super) machine: Option<Machine>,
    pub(super) next: Instant,
    pub(super) pending: Option<Pending>,
    /// It stands still until then.
    pub(super) stopped_until: Option<Instant>,
    /// When it last joined or beat.
    pub(super) beat_at: Instant,
}

pub(super) struct Cluster {
    pub(super) now: Instant,
    pub(super) timing: Timing,
    pub(super) rows: Rows,
    pub(super) nodes: Vec<Node>,
    /// Deaths that were declared: whose, after how long a silence.
    pub(super) deaths: Vec<(String, Duration)>,
    pub(super) ousted: usize,
    /// Since when a node does not reach another one.
    pub(super) cut: BTreeMap<(usize, usize), Instant>,
    /// Its store takes no writes.
    pub(super) is_full: bool,
    /// Nodes that need no other: they only look at those that are doubted.
    pub(super) idle: BTreeSet<usize>,
}

pub(super) fn name(number: usize) -> String {
    format!("node-{number}")
}

impl Cluster {
    pub(super) fn new(count: usize) -> Self {
        let now = Instant::now();
        let mut cluster = Self {
            now,
            timing: Timing::default(),
            rows: Rows::default(),
            nodes: Vec::new(),
            deaths: Vec::new(),
            ousted: 0,
            cut: BTreeMap::new(),
            is_full: false,
            idle: BTreeSet::new(),
        };
        for number in 0..count {
            cluster.nodes.push(Node {
                name: name(number),
                machine: None,
                next: now,
                pending: None,
                stopped_until: None,
                beat_at: now,
            });
            cluster.join(number);
        }
        cluster
    }

    pub(super) fn join(&mut self, number: usize) {
        let name = name(number);
        self.rows.commits += 1;
        let before = self.rows.nodes.get(&name);
        let incarnation = before.map_or(1, |(_, node)| node.incarnation + 1);
        let node = NodeRecord {
            incarnation,
            state: NodeState::Serving,
            is_drained: false,
            is_isolated: false,
            weight: 1,
            roles: Vec::new(),
            peer: String::new(),
            quic: None,
            http: None,
            operations: Vec::new(),
            versions: Versions {
                binary: String::new(),
                protocol: 1,
                schema: 1,
            },
        };
        let row = (self.rows.commits, node);
        self.rows.nodes.insert(name.clone(), row);
        let node = &mut self.nodes[number];
        node.machine = Some(Machine::new(name, incarnation, self.timing));
        (node.next, node.pending) = (self.now, None);
        (node.stopped_until, node.beat_at) = (None, self.now);
    }

    pub(super) fn kill(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        (node.machine, node.pending) = (None, None);
    }

    pub(super) fn seen(&self, number: usize) -> Seen {
        let node = &self.nodes[number];
        let all = node.machine.as_ref().unwrap().wants_all(self.now);
        let member = |(name, (_, node)): (&String, &(u64, NodeRecord))| Member {
            name: name.clone(),
            node: node.clone(),
            beat: self.rows.beats.get(name).map(|(_, beat)| beat.clone()),
        };
        let plan = self.rows.plan.as_ref().map(|(_, plan)| plan.clone());
        Seen {
            own: self
                .rows
                .nodes
                .get(&node.name)
                .map(|(_, node)| node.clone()),
            lease: self.rows.lease.as_ref().map(|(_, lease)| lease.clone()),
            members: match all {
                true => self.rows.nodes.iter().map(member).collect(),
                false => Vec::new(),
            },
            plan: all.then(|| plan.unwrap_or_else(|| Plan::empty(SLOTS))),
        }
    }

    /// Reads and decides; the commit follows `delay` later.
    pub(super) fn begin(&mut self, number: usize, delay: Duration) {
        let seen = self.seen(number);
        let (now, read_at) = (self.now, self.rows.commits);
        let unreachable = self.unreachable(number);
        let node = &mut self.nodes[number];
        node.next = now + self.timing.beat;
        node.machine.as_mut().unwrap().report(unreachable);
        match node.machine.as_mut().unwrap().decide(now, now, &seen) {
            Ok(writes) => {
                node.pending = Some(Pending {
                    read_at,
                    writes,
                    commit_at: now + delay,
                });
            }
            Err(Ousted::Dead | Ousted::Replaced) => {
                self.ousted += 1;
                self.join(number);
            }
        }
    }

    /// What a node finds that it cannot reach, a second after that is so.
    pub(super) fn unreachable(&self, by: usize) -> Vec<String> {
        let lease = self.rows.lease.as_ref();
        let is_looked_at = |of: &usize| {
            let is_doubted = |(_, lease): &(u64, LeaseRecord)| lease.doubted.contains(&name(*of));
            !self.idle.contains(&by) || lease.is_some_and(is_doubted)
        };
        let is_cut = |of: &usize| {
            let since = self.cut.get(&(by, *of));
            since.is_some_and(|since| self.now - *since >= SECOND)
        };
        let others = (0..self.nodes.len()).filter(|of| *of != by);
        others
            .filter(is_looked_at)
            .filter(is_cut)
            .map(name)
            .collect()
    }

    /// From now on one does not reach the other.
    pub(super) fn cut(&mut self, by: usize, of: usize) {
        self.cut.entry((by, of)).or_insert(self.now);
    }

    /// From now on nobody reaches a node, nor it anybody.
    pub(super) fn isolate(&mut self, number: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != number) {
            self.cut(number, other);
            self.cut(other, number);
        }
    }

    /// How many slots each node has.
    pub(super) fn counts(&self) -> Vec<usize> {
        let nodes = 0..self.nodes.len();
        nodes
            .map(|n| self.plan().slots_of(&name(n)).count())
            .collect()
    }

    pub(super) fn commit(&mut self, number: usize) {
        let Some(pending) = self.nodes[number].pending.take() else {
            return;
        };
        if self.is_full {
            return self.nodes[number].machine.as_mut().unwrap().failed();
        }
        let (own, writes) = (self.nodes[number].name.clone(), pending.writes);
        let is_newer = |at: Option<u64>| at.is_some_and(|at| at > pending.read_at);
        let rows = &mut self.rows;
        let mut conflicts = is_newer(rows.nodes.get(&own).map(|it| it.0));
        conflicts |= writes.lease.is_some() && is_newer(rows.lease.as_ref().map(|it| it.0));
        for (dead, _) in &writes.dead {
            conflicts |= is_newer(rows.nodes.get(dead).map(|it| it.0));
            conflicts |= is_newer(rows.beats.get(dead).map(|it| it.0));
        }
        for (name, _) in &writes.isolated {
            conflicts |= is_newer(rows.nodes.get(name).map(|it| it.0));
        }
        if conflicts {
            return;
        }
        rows.commits += 1;
        let at = rows.commits;
        if let Some(beat) = &writes.beat {
            rows.beats.insert(own, (at, beat.clone()));
        }
        if let Some(lease) = &writes.lease {
            rows.lease = Some((at, lease.clone()));
        }
        for (name, dead) in &writes.dead {
            rows.nodes.insert(name.clone(), (at, dead.clone()));
            let node = self.nodes.iter().find(|node| node.name == *name).unwrap();
            self.deaths.push((name.clone(), self.now - node.beat_at));
        }
        for (name, node) in &writes.isolated {
            rows.nodes.insert(name.clone(), (at, node.clone()));
        }
        if let Some(plan) = &writes.plan {
            let before = rows.plan.as_ref().map_or(0, |(_, plan)| plan.number);
            assert_eq!(plan.number, before + 1, "a plan was decided twice");
            assert!(writes.lease.is_some(), "only a controller plans");
            rows.plan = Some((at, plan.clone()));
        }
        self.nodes[number].beat_at = self.now;
        let machine = self.nodes[number].machine.as_mut().unwrap();
        machine.committed(&writes);
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            for number in 0..self.nodes.len() {
                let node = &mut self.nodes[number];
                if node.machine.is_none() || node.stopped_until.is_some_and(|it| it > self.now) {
                    continue;
                }
                let is_due = node.next <= self.now;
                if node
                    .pending
                    .as_ref()
                    .is_some_and(|it| it.commit_at <= self.now)
                {
                    self.commit(number);
                } else if is_due && node.pending.is_none() {
                    self.begin(number, STEP);
                }
            }
        }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.rows.plan.as_ref().unwrap().1
    }

    pub(super) fn controllers(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|number| {
                let machine = self.nodes[*number].machine.as_ref();
                machine.is_some_and(Machine::is_controller)
            })
            .collect()
    }
}
