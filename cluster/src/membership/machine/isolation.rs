//! Which nodes the others cannot reach, of those that are alive: a pure judgement of what all of them say.
//!
//! A link that is down says nothing of which end is at fault. The node that most others cannot reach is the one
//! that is cut off; without it, what it said of others does not count, and what the others say of one another is
//! looked at anew. So of a cluster that falls apart one part is kept, and of two halves the judge's.

use std::collections::{HashMap, HashSet};

/// A living node, and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voter<'a> {
    pub(super) name: &'a str,
    /// Whether it would own slots if it were reached.
    pub(super) may_own: bool,
    /// It judges: where both are as likely to be at fault, it is the other one.
    pub(super) is_judge: bool,
    /// It was found to be cut off before.
    pub(super) is_isolated: bool,
    pub(super) unreachable: &'a [String],
}

/// The nodes that more than half of the others cannot reach. Never all that may own something; and where two are
/// left, never the one that judges.
pub(super) fn cut_off<'a>(mut nodes: Vec<Voter<'a>>) -> HashSet<&'a str> {
    let mut cut_off = HashSet::new();
    while let Some(place) = worst(&nodes) {
        let node = nodes.remove(place);
        cut_off.insert(node.name);
    }
    cut_off
}

/// The place of the node that is cut off most clearly, if one is.
fn worst(nodes: &[Voter<'_>]) -> Option<usize> {
    if nodes.iter().all(|node| node.unreachable.is_empty()) {
        return None;
    }
    let judge = nodes.iter().find(|node| node.is_judge);
    let others = nodes.len().saturating_sub(1);
    let owning = nodes.iter().filter(|node| node.may_own).count();
    let reports = reports(nodes);
    let mut worst = None;
    for (place, node) in nodes.iter().enumerate() {
        let reports = reports.get(node.name).copied().unwrap_or_default();
        let is_last = owning == usize::from(node.may_own);
        let is_tie = node.is_judge && others == 1;
        if 2 * reports <= others || is_last || is_tie {
            continue;
        }
        let is_judges = judge.is_some_and(|judge| judge.cannot_reach(node));
        let rank = (reports, !node.is_judge, node.is_isolated, is_judges);
        if worst.is_none_or(|(highest, _)| rank > highest) {
            worst = Some((rank, place));
        }
    }
    worst.map(|(_, place)| place)
}

/// How many nodes cannot reach a node, by its name.
fn reports<'a>(nodes: &'a [Voter<'_>]) -> HashMap<&'a str, usize> {
    let mut reports = HashMap::new();
    for by in nodes {
        for (place, name) in by.unreachable.iter().enumerate() {
            if name != by.name && !by.unreachable[..place].contains(name) {
                *reports.entry(name.as_str()).or_default() += 1;
            }
        }
    }
    reports
}

impl Voter<'_> {
    fn cannot_reach(&self, node: &Voter<'_>) -> bool {
        self.name != node.name && self.unreachable.iter().any(|name| name == node.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Nodes a, b, c and so on; `a` judges. Each with the ones that it cannot reach.
    fn judged(said: &[&str]) -> String {
        let unreachable: Vec<Vec<String>> = said
            .iter()
            .map(|names| names.chars().map(String::from).collect())
            .collect();
        let names: Vec<String> = ('a'..).take(said.len()).map(String::from).collect();
        let voters = names.iter().zip(&unreachable);
        let voters = voters.map(|(name, unreachable)| Voter {
            name,
            may_own: true,
            is_judge: name == "a",
            is_isolated: false,
            unreachable,
        });
        let mut cut_off: Vec<&str> = cut_off(voters.collect()).into_iter().collect();
        cut_off.sort_unstable();
        cut_off.concat()
    }

    #[test]
    fn one_that_most_others_cannot_reach_is_cut_off_and_not_the_others() {
        assert_eq!(judged(&["", "", ""]), "");
        assert_eq!(judged(&["b", "ac", "b"]), "b");
        // Also if it is the judge, and if it says nothing itself.
        assert_eq!(judged(&["bc", "a", "a"]), "a");
        assert_eq!(judged(&["", "a", "a"]), "a");
        // One link of three, and one of which only half complain.
        assert_eq!(judged(&["", "c", "b"]), "");
        assert_eq!(judged(&["e", "e", "", "", ""]), "");
        assert_eq!(judged(&["e", "e", "e", "", ""]), "e");
    }

    #[test]
    fn of_two_the_judge_stays() {
        assert_eq!(judged(&["b", "a"]), "b");
        assert_eq!(judged(&["b", ""]), "b");
        assert_eq!(judged(&["", "a"]), "");
        assert_eq!(judged(&["a"]), "");
    }

    #[test]
    fn of_parts_the_larger_stays_and_of_halves_the_judges() {
        assert_eq!(judged(&["cde", "cde", "ab", "ab", "ab"]), "ab");
        assert_eq!(judged(&["de", "de", "de", "abc", "abc"]), "de");
        assert_eq!(judged(&["cd", "cd", "ab", "ab"]), "cd");
        // All on their own.
        assert_eq!(judged(&["bcd", "acd", "abd", "abc"]), "bcd");
    }

    #[test]
    fn one_stays_that_may_own_something() {
        let all = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let voter = |place: usize, may_own| Voter {
            name: &all[place],
            may_own,
            is_judge: place == 0,
            is_isolated: false,
            unreachable: &all,
        };
        let of = |may_own: [bool; 3]| cut_off((0..3).map(|it| voter(it, may_own[it])).collect());
        assert!(!of([false, true, false]).contains("b"));
        assert_eq!(of([false, true, true]).len(), 1);
        assert_eq!(of([true, true, false]).len(), 2);
    }

    proptest! {
        #[test]
        fn what_is_left_has_no_node_that_most_cannot_reach(
            said in prop::collection::vec(prop::collection::vec(0..9_usize, 0..9), 1..9),
        ) {
            let names: Vec<String> = (0..said.len()).map(|it| it.to_string()).collect();
            let unreachable: Vec<Vec<String>> = said
                .iter()
                .map(|of| of.iter().map(ToString::to_string).collect())
                .collect();
            let voters: Vec<Voter<'_>> = names
                .iter()
                .zip(&unreachable)
                .map(|(name, unreachable)| Voter {
                    name,
                    may_own: true,
                    is_judge: name == "0",
                    is_isolated: false,
                    unreachable,
                })
                .collect();
            let cut_off = cut_off(voters.clone());
            let kept: Vec<&Voter<'_>> =
                voters.iter().filter(|it| !cut_off.contains(it.name)).collect();
            prop_assert!(!kept.is_empty());
            for node in &kept {
                let reports = kept.iter().filter(|by| by.cannot_reach(node)).count();
                prop_assert!(2 * reports < kept.len() || node.is_judge, "{}", node.name);
            }
        }
    }
}
