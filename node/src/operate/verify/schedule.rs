//! Which fault happens when, to whom and for how long: pure, from what is wanted and a seed.

use std::time::Duration;

use serde::Serialize;

use crate::operate::verify::run::Choices;

/// How many faults of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) kill: u32,
    pub(super) stop: u32,
    pub(super) partition: u32,
    pub(super) storage_kill: u32,
    pub(super) drain: u32,
    pub(super) join: u32,
}

/// What there is for faults to happen to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub(super) nodes: usize,
    pub(super) store: Store,
}

/// What the nodes share.
#[derive(Debug, Clone, Copy)]
pub(super) enum Store {
    /// A storage node, which each can be cut off from.
    Node,
    /// A FoundationDB, which none can be cut off from, and so many servers of it that can be killed.
    FoundationDb { servers: usize },
}

/// A fault to come. Times are from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) begin: Duration,
    /// When it is to be undone: a process is started again or goes on, a link is healed.
    pub(super) end: Duration,
    pub(super) what: What,
}

/// What happens, and to which node, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// SIGKILL, and a restart.
    Kill { node: usize },
    /// SIGSTOP, and SIGCONT.
    Stop { node: usize },
    /// Others cannot be reached, or are not heard.
    Partition { node: usize, cut: Cut },
    /// SIGKILL of the storage node, and a restart.
    StorageKill,
    /// SIGKILL of a server of FoundationDB, from 0, and a restart.
    ServerKill { server: usize },
    /// SIGTERM, and a restart.
    Drain { node: usize },
    /// Another node comes, and leaves by SIGTERM.
    Join,
}

/// What a partition separates a node from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) from: From,
    pub(super) way: Way,
}

/// The other side of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum From {
    Store,
    Peers,
    Clients,
    All,
    /// All that it can be cut off from where the store is a FoundationDB.
    PeersAndClients,
}

/// Which datagrams are lost, as the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Way {
    Both,
    /// What others send to it: it is heard, and hears nothing.
    Inbound,
    /// What it sends.
    Outbound,
}

/// A fault without its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Kill,
    Stop,
    Partition,
    StorageKill,
    Drain,
    Join,
}

/// Kills of a node that is alone: once in each of equal parts of the run, and started again at once.
pub(super) fn kills(count: u32, run: Duration, choices: &Choices) -> Vec<Planned> {
    let part = run / count.max(1);
    let moment = |number| {
        let moment = part * number + below(choices, part);
        Planned {
            begin: moment,
            end: moment,
            what: What::Kill { node: 0 },
        }
    };
    (0..count).map(moment).collect()
}

/// The faults of a cluster, by the time they begin: in an order of chance, one at a time and now and then two, each
/// with time to recover before the next. With the same arguments it is the same.
pub(super) fn plan(
    wanted: &Wanted,
    stage: Stage,
    run: Duration,
    choices: &Choices,
) -> Vec<Planned> {
    let mut sorts = wanted.sorts();
    shuffle(&mut sorts, choices);
    let part = run / u32::try_from(sorts.len()).unwrap_or(u32::MAX).max(1);
    let mut planned = Vec::with_capacity(sorts.len());
    let mut begin = Duration::ZERO;
    let mut rest = &sorts[..];
    while let Some((&first, after)) = rest.split_first() {
        let other = after.first().copied();
        let other =
            other.filter(|&other| may_meet(stage.nodes, first, other) && choices.below(4) == 0);
        let span = part * (1 + u32::from(other.is_some()));
        let mut taken = None;
        for sort in [Some(first), other].into_iter().flatten() {
            let what = what(sort, stage, taken, choices);
            taken = what.node();
            planned.push(within(begin, span, what, choices));
        }
        begin += span;
        rest = &after[usize::from(other.is_some())..];
    }
    planned.sort_by_key(|it| it.begin);
    planned
}

impl Wanted {
    pub(super) const fn total(&self) -> u32 {
        let Self {
            kill,
            stop,
            partition,
            storage_kill,
            drain,
            join,
        } = *self;
        kill + stop + partition + storage_kill + drain + join
    }

    fn sorts(&self) -> Vec<Sort> {
        let counts = [
            (Sort::Kill, self.kill),
            (Sort::Stop, self.stop),
            (Sort::Partition, self.partition),
            (Sort::StorageKill, self.storage_kill),
            (Sort::Drain, self.drain),
            (Sort::Join, self.join),
        ];
        let each = |(sort, count)| (0..count).map(move |_| sort);
        counts.into_iter().flat_map(each).collect()
    }
}

impl What {
    /// The node that it happens to; what happens to another does not meet it.
    pub(super) const fn node(self) -> Option<usize> {
        match self {
            Self::Kill { node }
            | Self::Stop { node }
            | Self::Partition { node, .. }
            | Self::Drain { node } => Some(node),
            Self::StorageKill | Self::ServerKill { .. } | Self::Join => None,
        }
    }

    /// The shortest that shows anything, and the longest that a run has time for.
    const fn lasts_ms(self) -> (u64, u64) {
        match self {
            // From before the others know of it until long after.
            Self::Kill { .. } => (200, 4_000),
            Self::Stop { .. } => (500, 10_000),
            Self::Partition { .. } => (500, 5_000),
            Self::StorageKill => (100, 1_500),
            // From before the others know of it until long after they have recovered without it.
            Self::ServerKill { .. } => (200, 4_000),
            // The drain itself comes before.
            Self::Drain { .. } => (500, 3_000),
            Self::Join => (500, 5_000),
        }
    }
}

/// Whether two faults can be told apart: not on one node, and not both by the one node that joins.
const fn may_meet(nodes: usize, first: Sort, other: Sort) -> bool {
    match (first, other) {
        (Sort::StorageKill, Sort::StorageKill) | (Sort::Join, Sort::Join) => false,
        (Sort::StorageKill | Sort::Join, _) | (_, Sort::StorageKill | Sort::Join) => true,
        (
            Sort::Kill | Sort::Stop | Sort::Partition | Sort::Drain,
            Sort::Kill | Sort::Stop | Sort::Partition | Sort::Drain,
        ) => nodes > 1,
    }
}

fn what(sort: Sort, stage: Stage, taken: Option<usize>, choices: &Choices) -> What {
    let nodes = stage.nodes;
    let node = match taken {
        // One of the others.
        Some(taken) => (taken + 1 + choices.index(nodes.saturating_sub(1))) % nodes.max(1),
        None => choices.index(nodes),
    };
    match sort {
        Sort::Kill => What::Kill { node },
        Sort::Stop => What::Stop { node },
        Sort::Partition => What::Partition {
            node,
            cut: Cut::by_chance(stage, choices),
        },
        Sort::StorageKill => match stage.store {
            Store::Node => What::StorageKill,
            Store::FoundationDb { servers } => What::ServerKill {
                server: choices.index(servers),
            },
        },
        Sort::Drain => What::Drain { node },
        Sort::Join => What::Join,
    }
}

impl Cut {
    fn by_chance(stage: Stage, choices: &Choices) -> Self {
        let from = match (stage.store, choices.below(4)) {
            (Store::Node, 0) => From::Store,
            (_, 1) => From::Clients,
            (_, 2) if stage.nodes > 1 => From::Peers,
            (Store::Node, _) => From::All,
            (Store::FoundationDb { .. }, _) => From::PeersAndClients,
        };
        let way = match choices.below(4) {
            0 => Way::Inbound,
            1 => Way::Outbound,
            _ => Way::Both,
        };
        Self { from, way }
    }
}

impl From {
    /// Whether who is cut off from these is cut off from the others as well.
    pub(super) fn includes(self, other: Self) -> bool {
        match self {
            Self::Store | Self::Peers | Self::Clients => self == other,
            Self::All => true,
            Self::PeersAndClients => matches!(other, Self::Peers | Self::Clients),
        }
    }
}

/// A moment in the first third of a span, and an end that leaves the last quarter of it to recover.
fn within(begin: Duration, span: Duration, what: What, choices: &Choices) -> Planned {
    let offset = below(choices, span * 3 / 10);
    let (shortest_ms, longest_ms) = what.lasts_ms();
    let longest = Duration::from_millis(longest_ms).min(span * 3 / 4 - offset);
    let shortest = Duration::from_millis(shortest_ms).min(longest);
    let chosen = shortest + below(choices, longest - shortest);
    // Every other one lasts as long as it may.
    let lasts = match choices.below(2) {
        0 => longest,
        _ => chosen,
    };
    Planned {
        begin: begin + offset,
        end: begin + offset + lasts,
        what,
    }
}

fn shuffle(sorts: &mut [Sort], choices: &Choices) {
    for last in (1..sorts.len()).rev() {
        sorts.swap(last, choices.index(last + 1));
    }
}

fn below(choices: &Choices, end: Duration) -> Duration {
    let end_us = u64::try_from(end.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(choices.below(end_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wanted = Wanted {
        kill: 3,
        stop: 2,
        partition: 4,
        storage_kill: 1,
        drain: 2,
        join: 2,
    };
    const RUN: Duration = Duration::from_secs(60);

    fn planned(seed: u64, nodes: usize) -> Vec<Planned> {
        let store = Store::Node;
        plan(&ALL, Stage { nodes, store }, RUN, &Choices::new(seed, 1))
    }

    fn is_over(first: &Planned, second: &Planned) -> bool {
        first.end <= second.begin
    }

    #[test]
    fn a_seed_decides_all_of_it() {
        assert_eq!(planned(5, 3), planned(5, 3));
        assert_ne!(planned(5, 3), planned(6, 3));
    }

    #[test]
    fn as_many_as_wanted_happen_in_time_and_last_as_they_may() {
        for seed in 0..200 {
            let planned = planned(seed, 3);
            assert_eq!(planned.len(), 14, "seed {seed}");
            let count = |is: fn(&What) -> bool| planned.iter().filter(|it| is(&it.what)).count();
            assert_eq!(count(|it| matches!(it, What::Kill { .. })), 3);
            assert_eq!(count(|it| matches!(it, What::Partition { .. })), 4);
            assert_eq!(count(|it| matches!(it, What::Join)), 2);
            for it in &planned {
                let (_, longest_ms) = it.what.lasts_ms();
                let lasts = it.end - it.begin;
                assert!(lasts <= Duration::from_millis(longest_ms), "{it:?}");
                assert!(it.begin < it.end && it.end < RUN, "seed {seed}: {it:?}");
                assert!(it.what.node().is_none_or(|node| node < 3), "{it:?}");
            }
        }
    }

    #[test]
    fn two_at_a_time_are_the_exception_and_never_on_one_node() {
        let mut pairs = 0;
        for seed in 0..200 {
            let planned = planned(seed, 3);
            for (index, first) in planned.iter().enumerate() {
                let meets: Vec<_> = planned[index + 1..]
                    .iter()
                    .filter(|second| !is_over(first, second))
                    .collect();
                assert!(meets.len() <= 1, "seed {seed}: {first:?} meets {meets:?}");
                for second in meets {
                    pairs += 1;
                    let node = first.what.node();
                    assert!(node.is_none() || node != second.what.node(), "seed {seed}");
                }
            }
        }
        // A quarter of the faults that could; most of them overlap.
        assert!((100..600).contains(&pairs), "{pairs} of 2,800");
    }

    #[test]
    fn a_node_that_is_alone_meets_one_fault_at_a_time_and_has_no_peers() {
        for seed in 0..100 {
            let planned = planned(seed, 1);
            let of_node: Vec<_> = planned
                .iter()
                .filter(|it| it.what.node().is_some())
                .collect();
            assert!(of_node.windows(2).all(|two| is_over(two[0], two[1])));
            let from_peers = |it: &&Planned| match it.what {
                What::Partition { cut, .. } => cut.from == From::Peers,
                _ => false,
            };
            assert!(!planned.iter().any(|it| from_peers(&it)), "seed {seed}");
        }
    }

    #[test]
    fn all_partitions_come_up() {
        let mut cuts = Vec::new();
        for seed in 0..200 {
            for it in planned(seed, 3) {
                if let What::Partition { cut, .. } = it.what
                    && !cuts.contains(&cut)
                {
                    cuts.push(cut);
                }
            }
        }
        assert_eq!(cuts.len(), 12, "four sides, three ways each: {cuts:?}");
    }

    #[test]
    fn on_foundationdb_each_server_is_killed_and_no_node_loses_the_way_to_it() {
        let stage = Stage {
            nodes: 3,
            store: Store::FoundationDb { servers: 3 },
        };
        let (mut servers, mut cuts) = ([0; 3], Vec::new());
        for seed in 0..200 {
            for it in plan(&ALL, stage, RUN, &Choices::new(seed, 1)) {
                match it.what {
                    What::ServerKill { server } => servers[server] += 1,
                    What::Partition { cut, .. } => {
                        assert!(!cut.from.includes(From::Store), "seed {seed}: {cut:?}");
                        if !cuts.contains(&cut) {
                            cuts.push(cut);
                        }
                    }
                    What::StorageKill => panic!("seed {seed}: there is no storage node"),
                    What::Kill { .. } | What::Stop { .. } | What::Drain { .. } | What::Join => {}
                }
            }
        }
        assert!(servers.iter().all(|count| *count > 30), "{servers:?}");
        assert_eq!(cuts.len(), 9, "three sides, three ways each: {cuts:?}");
    }

    #[test]
    fn a_crowded_plan_still_leaves_time_to_recover() {
        let wanted = Wanted {
            kill: 5,
            ..Wanted::default()
        };
        let run = Duration::from_secs(10);
        for seed in 0..100 {
            let stage = Stage {
                nodes: 1,
                store: Store::Node,
            };
            let planned = plan(&wanted, stage, run, &Choices::new(seed, 0));
            for two in planned.windows(2) {
                let rest = two[1].begin - two[0].end;
                assert!(rest >= Duration::from_millis(500), "seed {seed}: {two:?}");
            }
        }
    }

    #[test]
    fn kills_of_one_node_come_one_in_each_part() {
        let kills = kills(3, Duration::from_secs(6), &Choices::new(42, 1));
        for (number, kill) in (0..).zip(&kills) {
            let part = Duration::from_secs(2) * number;
            assert!(kill.begin >= part && kill.begin < part + Duration::from_secs(2));
            assert_eq!(kill.begin, kill.end);
        }
        assert_eq!(kills.len(), 3);
    }
}
