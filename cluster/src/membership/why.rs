//! Why a cluster is not at rest, in words: from two looks at its rows, without a guess. A pure function.

use std::fmt::Write;
use std::time::Duration;

use selvedge_protocol::time;

use crate::membership::record::{DeathRecord, NodeRecord, NodeState, Role};
use crate::membership::snapshot::{Move, Snapshot, runs};
use crate::plan::Candidate;

/// What a cluster, or a node of it, waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Why {
    pub reasons: Vec<Reason>,
}

/// One of the things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: Code,
    /// The node it is about, if it is about one.
    pub node: Option<String>,
    /// For a person.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No plan was published yet.
    NoPlan,
    /// No node decides.
    NoController,
    /// The one that decides did nothing meanwhile.
    ControllerSilent,
    /// No node may own slots.
    NobodyOwns,
    /// The plan is not that of these nodes.
    PlanOutdated,
    /// The node was declared dead.
    Dead,
    /// It gave no sign of life meanwhile.
    Silent,
    /// It is about to end, and has slots.
    Leaving,
    /// It is to own nothing, and has slots.
    Draining,
    /// Most others cannot reach it, so it is to own nothing.
    Isolated,
    /// Slots are not where the plan has them.
    Moving,
    /// It has ended in order.
    Left,
    /// It is to own nothing, and owns nothing.
    Drained,
    /// It owns nothing by what it is.
    NoShare,
}

impl Why {
    /// Whether everything is as it shall be.
    pub fn is_at_rest(&self) -> bool {
        self.reasons.iter().all(|reason| reason.code.is_at_rest())
    }
}

impl Code {
    /// Whether it tells of something that nobody waits for.
    pub const fn is_at_rest(self) -> bool {
        match self {
            Self::Left | Self::Drained | Self::NoShare => true,
            Self::NoPlan
            | Self::NoController
            | Self::ControllerSilent
            | Self::NobodyOwns
            | Self::PlanOutdated
            | Self::Dead
            | Self::Silent
            | Self::Leaving
            | Self::Draining
            | Self::Isolated
            | Self::Moving => false,
        }
    }

    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPlan => "no_plan",
            Self::NoController => "no_controller",
            Self::ControllerSilent => "controller_silent",
            Self::NobodyOwns => "nobody_owns",
            Self::PlanOutdated => "plan_outdated",
            Self::Dead => "dead",
            Self::Silent => "silent",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
            Self::Isolated => "isolated",
            Self::Moving => "moving",
            Self::Left => "left",
            Self::Drained => "drained",
            Self::NoShare => "no_share",
        }
    }
}

/// Two looks at a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    pub before: &'a Snapshot,
    pub after: &'a Snapshot,
    /// The time between the two.
    pub observed: Duration,
}

impl Observed<'_> {
    /// What all wait for, or what one node waits for and others for it. `node` is one of the cluster.
    pub fn why(&self, node: Option<&str>) -> Why {
        let mut reasons = Vec::new();
        self.of_controller(&mut reasons);
        for (name, record) in &self.after.members {
            self.of_node(name, record, node.is_some(), &mut reasons);
        }
        self.of_plan(&mut reasons);
        let about = |reason: &Reason| match (node, &reason.node) {
            (Some(node), Some(about)) => node == about,
            // What concerns all concerns each.
            (None, _) | (_, None) => true,
        };
        reasons.retain(about);
        let moves = self.after.moves();
        let moves = moves.iter().filter(|it| {
            let ends = [it.from.as_deref(), it.to.as_deref()];
            node.is_none() || ends.contains(&node)
        });
        reasons.extend(moves.filter_map(|it| self.of_move(it)));
        Why { reasons }
    }

    fn of_controller(&self, reasons: &mut Vec<Reason>) {
        let (before, after) = (&self.before.lease, &self.after.lease);
        let Some(name) = self.after.controller() else {
            let of = match after {
                Some(lease) => format!("{} was it last", lease.holder),
                None => "there never was one".to_owned(),
            };
            return reasons.push(Reason::of_all(
                Code::NoController,
                format!(
                    "no node decides of deaths and plans ({of}): one that serves takes that on within some \
                     seconds"
                ),
            ));
        };
        if before == after {
            let ms = self.observed.as_millis();
            reasons.push(Reason::of_all(
                Code::ControllerSilent,
                format!(
                    "{name}, which decides of deaths and plans, has done nothing for {ms} ms: if that goes \
                     on, another node takes its place within some seconds"
                ),
            ));
        }
    }

    fn of_node(&self, name: &str, node: &NodeRecord, is_asked: bool, reasons: &mut Vec<Reason>) {
        let held = self.after.held(name);
        let mut tell = |code, message| {
            reasons.push(Reason {
                code,
                node: Some(name.to_owned()),
                message,
            });
        };
        let beats = [self.before, self.after].map(|it| it.beats.get(name));
        if node.is_alive() && beats[0] == beats[1] {
            let ms = self.observed.as_millis();
            tell(
                Code::Silent,
                format!(
                    "{name} gave no sign of life for {ms} ms: if that goes on it is declared dead"
                ),
            );
        }
        if node.is_alive() && node.is_isolated {
            tell(
                Code::Isolated,
                format!(
                    "{name} is alive, and most other nodes cannot reach it at {}: others have its slots until \
                     they can; look at the network between them",
                    node.peer
                ),
            );
        }
        match (node.state, node.is_drained) {
            (NodeState::Dead, _) => tell(
                Code::Dead,
                format!(
                    "{name} is dead, as far as others can tell: it said nothing for too long{}, and others take \
                     its slots; start it again, or `selvedge cluster remove {name}`",
                    self.since(name)
                ),
            ),
            (NodeState::Leaving, _) => tell(
                Code::Leaving,
                format!("{name} is about to end: {held} slots left to hand over"),
            ),
            (NodeState::Left, _) if is_asked => tell(
                Code::Left,
                format!(
                    "{name} has ended in order: it joins again when it is started, or `selvedge cluster remove \
                     {name}`"
                ),
            ),
            (NodeState::Serving, true) if held > 0 => tell(
                Code::Draining,
                format!("{name} is drained: {held} slots left to hand over"),
            ),
            (NodeState::Serving, true) if is_asked => tell(
                Code::Drained,
                format!(
                    "{name} is drained and owns nothing, until `selvedge cluster undrain {name}`"
                ),
            ),
            (NodeState::Serving, false) if is_asked => {
                if let Some(because) = unable(node) {
                    tell(Code::NoShare, format!("{name} owns no slots: it {because}"));
                }
            }
            (NodeState::Left | NodeState::Serving, _) => {}
        }
    }

    /// Since when a node is dead. No age: that would be by another clock than the one which was there.
    fn since(&self, name: &str) -> String {
        match self.after.deaths.get(name) {
            Some(DeathRecord { by, at_ms }) => {
                let at = time::format(*at_ms);
                format!(", which {by} declared at {at} by its own clock")
            }
            // Declared by a node that did not write it down.
            None => String::new(),
        }
    }

    fn of_plan(&self, reasons: &mut Vec<Reason>) {
        let after = self.after;
        let candidates = after.members.iter().map(|(name, node)| Candidate {
            name: name.clone(),
            weight: node.share(),
        });
        let candidates: Vec<Candidate> = candidates.collect();
        if candidates.iter().all(|candidate| candidate.weight == 0) {
            let nodes = after.members.iter().filter_map(|(name, node)| {
                let because = unable(node)?;
                Some(format!("{name} {because}"))
            });
            let nodes: Vec<String> = nodes.collect();
            return reasons.push(Reason::of_all(
                Code::NobodyOwns,
                format!(
                    "no node can own slots, so no actor and no operation goes on: {}; start or undrain one",
                    nodes.join(", ")
                ),
            ));
        }
        if after.plan.number == 0 {
            return reasons.push(Reason::of_all(
                Code::NoPlan,
                "there is no plan yet: the controller publishes one within a second".to_owned(),
            ));
        }
        if after.plan.next(&candidates) != after.plan {
            let number = after.plan.number;
            reasons.push(Reason::of_all(
                Code::PlanOutdated,
                format!(
                    "plan {number} is not that of the nodes there are: the controller publishes another \
                     within a second"
                ),
            ));
        }
    }

    /// What nobody shall have is told by why there is nobody.
    fn of_move(&self, it: &Move) -> Option<Reason> {
        let to = it.to.as_deref()?;
        let slots = in_words(&it.slots);
        let message = match it.from.as_deref() {
            None => format!("{slots} wait for {to} to take them; nobody has them"),
            Some(from) if self.after.is_alive(from) => {
                format!("{slots} wait for {from} to give them up to {to}")
            }
            Some(from) => {
                format!("{slots} wait for {to} to take them; {from} is not there any more")
            }
        };
        Some(Reason {
            code: Code::Moving,
            node: Some(to.to_owned()),
            message,
        })
    }
}

impl Reason {
    fn of_all(code: Code, message: String) -> Self {
        Self {
            code,
            node: None,
            message,
        }
    }
}

/// Why a node may not own slots; `None`: it may.
pub(super) fn unable(node: &NodeRecord) -> Option<&'static str> {
    match (node.state, node.is_drained) {
        (NodeState::Serving, true) => Some("is drained"),
        (NodeState::Serving, false) if node.is_isolated => Some("cannot be reached by most others"),
        (NodeState::Serving, false) if node.weight > 0 => None,
        (NodeState::Serving, false) if !node.has(Role::Core) => Some("has no role core"),
        (NodeState::Serving, false) => Some("has the weight 0"),
        (NodeState::Leaving, _) => Some("is about to end"),
        (NodeState::Left, _) => Some("has left"),
        (NodeState::Dead, _) => Some("is dead"),
    }
}

/// The slots of a list that is not empty, as many runs of them as anybody reads.
fn in_words(slots: &[u16]) -> String {
    const RUNS_MAX: usize = 6;
    let runs = runs(slots.iter().copied());
    let mut text = match slots.len() {
        1 => "slot ".to_owned(),
        count => format!("{count} slots, "),
    };
    for (at, (first, last)) in runs.iter().take(RUNS_MAX).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = match first == last {
            true => write!(text, "{comma}{first}"),
            false => write!(text, "{comma}{first}..{last}"),
        };
    }
    if runs.len() > RUNS_MAX {
        text.push_str(" and so on");
    }
    text
}

#[cfg(test)]
mod tests;
