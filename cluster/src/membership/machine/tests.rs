//! Whole clusters in simulated time: nodes die, stand still in the middle of a round, come back, and break
//! their links, by seed. Whoever beats stays, whoever does not is out in time, and nothing is decided twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::membership::record::Versions;

const SLOTS: u16 = 64;
/// The step of simulated time.
const STEP: Duration = Duration::from_millis(10);

/// The rows, each with the number of the commit that wrote it last.
#[derive(Default)]
struct Rows {
    commits: u64,
    nodes: BTreeMap<String, (u64, NodeRecord)>,
    beats: BTreeMap<String, (u64, BeatRecord)>,
    lease: Option<(u64, LeaseRecord)>,
    plan: Option<(u64, Plan)>,
}

/// A round between its read and its commit.
struct Pending {
    read_at: u64,
    writes: Writes,
    commit_at: Instant,
}

struct Node {
    name: String,
    /// `None`: it is down.
    machine: Option<Machine>,
    next: Instant,
    pending: Option<Pending>,
    /// It stands still until then.
    stopped_until: Option<Instant>,
    /// When it last joined or beat.
    beat_at: Instant,
}

struct Cluster {
    now: Instant,
    timing: Timing,
    rows: Rows,
    nodes: Vec<Node>,
    /// Deaths that were declared: whose, after how long a silence.
    deaths: Vec<(String, Duration)>,
    ousted: usize,
}

fn name(number: usize) -> String {
    format!("node-{number}")
}

impl Cluster {
    fn new(count: usize) -> Self {
        let now = Instant::now();
        let mut cluster = Self {
            now,
            timing: Timing::default(),
            rows: Rows::default(),
            nodes: Vec::new(),
            deaths: Vec::new(),
            ousted: 0,
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

    fn join(&mut self, number: usize) {
        let name = name(number);
        self.rows.commits += 1;
        let before = self.rows.nodes.get(&name);
        let incarnation = before.map_or(1, |(_, node)| node.incarnation + 1);
        let node = NodeRecord {
            incarnation,
            state: NodeState::Serving,
            is_drained: false,
            weight: 1,
            roles: Vec::new(),
            peer: String::new(),
            quic: None,
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

    fn kill(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        (node.machine, node.pending) = (None, None);
    }

    fn seen(&self, number: usize) -> Seen {
        let node = &self.nodes[number];
        let all = node.machine.as_ref().unwrap().wants_all(self.now);
        let member = |(name, (_, node)): (&String, &(u64, NodeRecord))| Member {
            name: name.clone(),
            node: node.clone(),
            beat: self.rows.beats.get(name).map(|(_, beat)| *beat),
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
    fn begin(&mut self, number: usize, delay: Duration) {
        let seen = self.seen(number);
        let (now, read_at) = (self.now, self.rows.commits);
        let node = &mut self.nodes[number];
        node.next = now + self.timing.beat;
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

    fn commit(&mut self, number: usize) {
        let Some(pending) = self.nodes[number].pending.take() else {
            return;
        };
        let (own, writes) = (self.nodes[number].name.clone(), pending.writes);
        let is_newer = |at: Option<u64>| at.is_some_and(|at| at > pending.read_at);
        let rows = &mut self.rows;
        let mut conflicts = is_newer(rows.nodes.get(&own).map(|it| it.0));
        conflicts |= writes.lease.is_some() && is_newer(rows.lease.as_ref().map(|it| it.0));
        for (dead, _) in &writes.dead {
            conflicts |= is_newer(rows.nodes.get(dead).map(|it| it.0));
            conflicts |= is_newer(rows.beats.get(dead).map(|it| it.0));
        }
        if conflicts {
            return;
        }
        rows.commits += 1;
        let at = rows.commits;
        if let Some(beat) = writes.beat {
            rows.beats.insert(own, (at, beat));
        }
        if let Some(lease) = &writes.lease {
            rows.lease = Some((at, lease.clone()));
        }
        for (name, dead) in &writes.dead {
            rows.nodes.insert(name.clone(), (at, dead.clone()));
            let node = self.nodes.iter().find(|node| node.name == *name).unwrap();
            self.deaths.push((name.clone(), self.now - node.beat_at));
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

    fn run(&mut self, time: Duration) {
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

    fn plan(&self) -> &Plan {
        &self.rows.plan.as_ref().unwrap().1
    }

    fn controllers(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|number| {
                let machine = self.nodes[*number].machine.as_ref();
                machine.is_some_and(Machine::is_controller)
            })
            .collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nodes_that_join_share_the_slots_under_one_controller() {
    let mut cluster = Cluster::new(3);
    cluster.run(2 * SECOND);
    assert_eq!(cluster.controllers().len(), 1);
    let counts: Vec<usize> = (0..3)
        .map(|n| cluster.plan().slots_of(&name(n)).count())
        .collect();
    assert!(
        counts.iter().all(|count| (21..=22).contains(count)),
        "{counts:?}"
    );
    let number = cluster.plan().number;
    cluster.run(60 * SECOND);
    assert_eq!(cluster.plan().number, number, "nothing moves by itself");
    assert!(cluster.deaths.is_empty());
}

#[test]
fn a_death_is_told_within_its_time_whoever_dies() {
    for number in 0..3 {
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND);
        cluster.kill(number);
        let Timing { beat, dead, .. } = cluster.timing;
        // Also when it was the controller: its silence counts from its last renewal.
        cluster.run(dead + 2 * (beat + STEP) + 4 * STEP);
        assert_eq!(
            cluster.plan().slots_of(&name(number)).count(),
            0,
            "{number}"
        );
        assert_eq!(cluster.deaths.len(), 1);
    }
}

#[test]
fn a_broken_link_makes_it_sooner_and_a_beat_clears_it() {
    let mut cluster = Cluster::new(3);
    cluster.run(5 * SECOND);
    let controller = cluster.controllers()[0];
    let other = (controller + 1) % 3;
    let suspect = |cluster: &mut Cluster| {
        let machine = cluster.nodes[controller].machine.as_mut();
        machine.unwrap().suspect(&name(other));
    };
    // One that only lost its link.
    suspect(&mut cluster);
    cluster.run(5 * SECOND);
    assert!(cluster.deaths.is_empty());
    cluster.kill(other);
    suspect(&mut cluster);
    let Timing {
        beat,
        dead_when_suspected,
        ..
    } = cluster.timing;
    cluster.run(dead_when_suspected + 2 * (beat + STEP) + 4 * STEP);
    assert_eq!(cluster.deaths.len(), 1);
}

#[test]
fn one_that_stood_still_is_ousted_and_comes_back_as_another() {
    for number in 0..3 {
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND);
        // In the middle of a round, its commit still to come.
        while cluster.nodes[number].pending.is_none() {
            cluster.run(STEP);
        }
        cluster.nodes[number].stopped_until = Some(cluster.now + 10 * SECOND);
        cluster.run(9 * SECOND);
        assert_eq!(cluster.plan().slots_of(&name(number)).count(), 0);
        let before = cluster.rows.plan.as_ref().unwrap().1.number;
        cluster.run(4 * SECOND);
        assert_eq!(cluster.ousted, 1);
        assert_eq!(cluster.rows.nodes[&name(number)].1.incarnation, 2);
        assert_eq!(cluster.plan().number, before + 1, "it has its share again");
        assert!(cluster.plan().slots_of(&name(number)).count() > 20);
    }
}

#[test]
fn nobody_dies_of_a_store_that_was_away_for_all() {
    // How long it was, and how much later than the one before each node has its connection again.
    let cases = [(800, 300), (5_000, 450), (60_000, 450)];
    // At each moment of a beat: it matters who looked last.
    for (step, (away, later)) in (0..25).flat_map(|step| cases.map(|case| (step, case))) {
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND + step * STEP);
        let controller = cluster.controllers();
        let until = cluster.now + Duration::from_millis(away);
        for (number, node) in (0..).zip(&mut cluster.nodes) {
            node.stopped_until = Some(until + Duration::from_millis(later) * number);
        }
        cluster.run(Duration::from_millis(away) + 10 * SECOND);
        assert_eq!(cluster.deaths, [], "{step} {away}");
        assert_eq!(cluster.controllers(), controller);
        // Who does not come back is still found.
        cluster.kill(2);
        cluster.run(3 * SECOND);
        assert_eq!(cluster.deaths.len(), 1);
    }
}

#[test]
fn a_round_that_stood_still_makes_nobody_look_older() {
    let mut cluster = Cluster::new(2);
    cluster.run(5 * SECOND);
    let controller = cluster.controllers()[0];
    // It asks, stands still, sees what the other did meanwhile, and asks again in the next moment.
    let (asked, now) = (cluster.now, cluster.now + 5 * SECOND);
    let mut seen = cluster.seen(controller);
    let other = &mut seen.members[1 - controller];
    other.beat = other.beat.map(|beat| BeatRecord {
        count: beat.count + 20,
        ..beat
    });
    let machine = cluster.nodes[controller].machine.as_mut().unwrap();
    for (asked, now) in [(asked, now), (now, now + STEP), (now + STEP, now + STEP)] {
        let writes = machine.decide(asked, now, &seen).unwrap();
        assert!(writes.lease.is_some());
        assert_eq!(writes.dead, []);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Kill(usize),
    Join(usize),
    Stop(usize, u64),
    Suspect(usize, usize),
    Run(u64),
}

fn act(nodes: usize) -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => (0..nodes).prop_map(Act::Kill),
        2 => (0..nodes).prop_map(Act::Join),
        2 => (0..nodes, 10..4_000_u64).prop_map(|(node, ms)| Act::Stop(node, ms)),
        1 => (0..nodes, 0..nodes).prop_map(|(by, of)| Act::Suspect(by, of)),
        6 => (10..3_000_u64).prop_map(Act::Run),
    ]
}

impl Cluster {
    fn perform(&mut self, act: &Act) {
        match *act {
            Act::Kill(node) => self.kill(node),
            Act::Join(node) if self.nodes[node].machine.is_none() => self.join(node),
            Act::Join(_) => {}
            Act::Stop(node, ms) => {
                self.nodes[node].stopped_until = Some(self.now + Duration::from_millis(ms));
            }
            Act::Suspect(by, of) => {
                if let Some(machine) = &mut self.nodes[by].machine {
                    machine.suspect(&name(of));
                }
            }
            Act::Run(ms) => self.run(Duration::from_millis(ms)),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_plan_ends_with_those_that_live(
        acts in prop::collection::vec(act(5), 1..60),
    ) {
        let mut cluster = Cluster::new(5);
        for act in &acts {
            let declared = cluster.deaths.len();
            cluster.perform(act);
            // Only the silent die.
            for (dead, silence) in &cluster.deaths[declared..] {
                prop_assert!(*silence >= cluster.timing.dead_when_suspected, "{} {:?}", dead, silence);
            }
        }
        cluster.run(20 * SECOND);
        let living: Vec<String> = cluster
            .nodes
            .iter()
            .filter(|node| node.machine.is_some())
            .map(|node| node.name.clone())
            .collect();
        prop_assert_eq!(cluster.controllers().len(), usize::from(!living.is_empty()));
        if let Some((_, plan)) = cluster.rows.plan.as_ref().filter(|_| !living.is_empty()) {
            let planned: Vec<&str> = plan.nodes().collect();
            prop_assert_eq!(planned, living);
        }
    }
}
