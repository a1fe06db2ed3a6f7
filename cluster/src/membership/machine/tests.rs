//! Whole clusters in simulated time: nodes die, stand still in the middle of a round, come back, and break
//! their links, by seed. Whoever beats stays, whoever does not is out in time, and nothing is decided twice.

use proptest::prelude::*;

use super::*;

mod cluster;

use cluster::{Cluster, SLOTS, STEP, name};

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

/// All see that nothing changes, and cannot say that they are alive.
#[test]
fn nobody_dies_of_a_store_that_takes_no_writes() {
    for (step, ms) in (0..25).flat_map(|step| [800, 5_000, 60_000].map(|ms| (step, ms))) {
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND + step * STEP);
        let (controller, plan) = (cluster.controllers(), cluster.plan().number);
        cluster.is_full = true;
        cluster.run(Duration::from_millis(ms));
        cluster.is_full = false;
        cluster.run(10 * SECOND);
        assert_eq!(cluster.deaths, [], "{step} {ms}");
        assert_eq!(
            (cluster.controllers(), cluster.plan().number),
            (controller, plan)
        );
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
    other.beat = other.beat.take().map(|beat| BeatRecord {
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

/// For what is said of links to be heard and acted on: the reports, the controller's look, its judgement, and
/// the commits.
fn heard(timing: Timing) -> Duration {
    SECOND + timing.isolated + 3 * (timing.beat + STEP) + 4 * STEP
}

#[test]
fn one_that_others_cannot_reach_owns_nothing_until_they_can() {
    for (number, idle) in
        (0..3).flat_map(|number| [(number, None), (number, Some((number + 1) % 3))])
    {
        let mut cluster = Cluster::new(3);
        cluster.idle.extend(idle);
        cluster.run(5 * SECOND);
        let before = cluster.plan().number;
        cluster.isolate(number);
        // One that needs nothing there hears by the lease that somebody does.
        let heard = heard(cluster.timing) + idle.map_or(0, |_| 2) * cluster.timing.beat;
        cluster.run(heard);
        assert_eq!(cluster.counts()[number], 0, "{number} {idle:?}");
        assert!(cluster.rows.nodes[&name(number)].1.is_isolated);
        cluster.run(30 * SECOND);
        assert_eq!(cluster.plan().number, before + 1, "and nothing else moves");
        cluster.cut.clear();
        cluster.run(cluster.timing.reached + 3 * cluster.timing.beat);
        assert!(
            cluster.counts().iter().all(|count| *count > 20),
            "{:?}",
            cluster.counts()
        );
        assert_eq!(cluster.plan().number, before + 2);
        assert!(cluster.deaths.is_empty() && cluster.ousted == 0);
    }
}

#[test]
fn of_a_link_that_works_one_way_both_ends_say_so_or_one_does() {
    for number in 0..3 {
        // Only it complains of the others: it is one of three.
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND);
        (0..3)
            .filter(|other| *other != number)
            .for_each(|other| cluster.cut(number, other));
        let before = cluster.plan().number;
        cluster.run(30 * SECOND);
        assert_eq!(cluster.plan().number, before);
        // Only the others complain of it.
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND);
        (0..3)
            .filter(|other| *other != number)
            .for_each(|other| cluster.cut(other, number));
        cluster.run(heard(cluster.timing));
        assert_eq!(cluster.counts()[number], 0);
        // A single link between two of three: either is reached by most.
        let mut cluster = Cluster::new(3);
        cluster.run(5 * SECOND);
        cluster.cut(number, (number + 1) % 3);
        cluster.cut((number + 1) % 3, number);
        cluster.run(30 * SECOND);
        assert!(cluster.counts().iter().all(|count| *count > 20));
    }
}

#[test]
fn of_two_nodes_without_a_link_the_controller_goes_on() {
    let mut cluster = Cluster::new(2);
    cluster.run(5 * SECOND);
    let controller = cluster.controllers()[0];
    cluster.isolate(0);
    cluster.run(heard(cluster.timing));
    let number = cluster.plan().number;
    cluster.run(60 * SECOND);
    assert_eq!(cluster.counts()[controller], usize::from(SLOTS));
    assert_eq!(cluster.plan().number, number);
    // It dies: the other one has nobody left to be cut off from.
    cluster.kill(controller);
    let Timing { beat, dead, .. } = cluster.timing;
    cluster.run(dead + 3 * (beat + STEP) + 4 * STEP);
    assert_eq!(cluster.counts()[1 - controller], usize::from(SLOTS));
}

#[test]
fn a_link_that_comes_and_goes_moves_slots_once() {
    let mut cluster = Cluster::new(3);
    cluster.run(5 * SECOND);
    let before = cluster.plan().number;
    for _ in 0..20 {
        cluster.isolate(2);
        cluster.run(2 * SECOND);
        cluster.cut.clear();
        cluster.run(3 * SECOND);
    }
    assert_eq!(cluster.plan().number, before + 1);
    cluster.run(cluster.timing.reached);
    assert_eq!(cluster.plan().number, before + 2);
    // One that is gone for a moment only moves nothing.
    for _ in 0..20 {
        cluster.isolate(2);
        cluster.run(SECOND + cluster.timing.beat);
        cluster.cut.clear();
        cluster.run(SECOND);
    }
    assert_eq!(cluster.plan().number, before + 2);
}

#[test]
fn who_is_cut_off_stays_so_under_the_next_controller() {
    let mut cluster = Cluster::new(4);
    cluster.run(5 * SECOND);
    let controller = cluster.controllers()[0];
    let isolated = (controller + 1) % 4;
    cluster.isolate(isolated);
    cluster.run(heard(cluster.timing));
    assert_eq!(cluster.counts()[isolated], 0);
    cluster.kill(controller);
    for _ in 0..100 {
        cluster.run(cluster.timing.beat);
        assert_eq!(cluster.counts()[isolated], 0);
    }
    assert_eq!(cluster.deaths.len(), 1);
    // As another incarnation it begins anew, and is found again.
    cluster.kill(isolated);
    cluster.run(3 * SECOND);
    cluster.join(isolated);
    cluster.run(heard(cluster.timing));
    assert_eq!(cluster.counts()[isolated], 0);
}

#[test]
fn one_that_is_silent_and_cannot_be_reached_is_dead_sooner() {
    let mut cluster = Cluster::new(3);
    cluster.run(5 * SECOND);
    let controller = cluster.controllers()[0];
    let [dies, says] = [1, 2].map(|of| (controller + of) % 3);
    cluster.cut(says, dies);
    cluster.run(3 * SECOND);
    cluster.kill(dies);
    let Timing {
        beat,
        dead_when_suspected,
        ..
    } = cluster.timing;
    cluster.run(dead_when_suspected + 2 * (beat + STEP) + 4 * STEP);
    assert_eq!(cluster.deaths.len(), 1);
    assert!(cluster.deaths[0].1 < cluster.timing.dead + beat);
}

#[derive(Debug, Clone)]
enum Act {
    Kill(usize),
    Join(usize),
    Stop(usize, u64),
    Suspect(usize, usize),
    Cut(usize, usize),
    Isolate(usize),
    Heal,
    Run(u64),
}

fn act(nodes: usize) -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => (0..nodes).prop_map(Act::Kill),
        2 => (0..nodes).prop_map(Act::Join),
        2 => (0..nodes, 10..4_000_u64).prop_map(|(node, ms)| Act::Stop(node, ms)),
        1 => (0..nodes, 0..nodes).prop_map(|(by, of)| Act::Suspect(by, of)),
        2 => (0..nodes, 0..nodes).prop_map(|(by, of)| Act::Cut(by, of)),
        1 => (0..nodes).prop_map(Act::Isolate),
        1 => Just(Act::Heal),
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
            Act::Cut(by, of) => self.cut(by, of),
            Act::Isolate(node) => self.isolate(node),
            Act::Heal => self.cut.clear(),
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
        // Without links between them as well, something is planned for those that live.
        cluster.run(20 * SECOND);
        let is_living = cluster.nodes.iter().any(|node| node.machine.is_some());
        if is_living && cluster.rows.plan.is_some() {
            prop_assert_eq!(cluster.counts().iter().sum::<usize>(), usize::from(SLOTS));
        }
        cluster.cut.clear();
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
