//! Which node owns which slot: a pure function of the plan before and the nodes that may own.
//!
//! The controller computes plans and publishes them under a number; everybody else reads them. Ownership is
//! safe by the fence of each slot, whatever a plan says.
//!
//! Each node has a quota, its share by weight rounded up or down. A slot stays where it is while
//! its owner is there and within its quota; only what has to move does, and where it goes is decided by
//! rendezvous hashing (Thaler and Ravishankar 1998) among the nodes with room. So the spread is exact to
//! one slot, which hashing alone is not, and no plan with that spread moves less.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Who owns what, as published under a number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Raised with each plan; 0 is none.
    pub number: u64,
    /// The nodes that own slots, by name.
    nodes: Vec<String>,
    /// For each slot the place of its owner in `nodes`, or [`NOBODY`].
    owners: Vec<u16>,
}

/// A node that may own slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub name: String,
    /// Its share, in proportion to the others'. With 0 it owns nothing.
    pub weight: u32,
}

impl Plan {
    /// The plan of a cluster of `slots` that nobody owns yet.
    pub fn empty(slots: u16) -> Self {
        Self {
            number: 0,
            nodes: Vec::new(),
            owners: vec![NOBODY; usize::from(slots)],
        }
    }

    /// The plan after this one, for these nodes: the same if nothing has to move. Candidates with a name
    /// that was there before, and those past the first 65,535, are left out.
    #[must_use]
    pub fn next(&self, candidates: &[Candidate]) -> Self {
        let nodes = owning(candidates);
        let quotas = quotas(&nodes, &self.held(&nodes), self.owners.len());
        let mut owners = vec![NOBODY; self.owners.len()];
        let mut room = quotas;
        let mut homeless = Vec::new();
        let places = self.places_in(&nodes);
        for slot in keepers_first(&self.owners, &places, &nodes) {
            let place = self.place_of(slot, &places);
            match place.filter(|place| room[usize::from(*place)] > 0) {
                Some(place) => {
                    room[usize::from(place)] -= 1;
                    owners[slot] = place;
                }
                None => homeless.push(slot),
            }
        }
        settle(&mut owners, &homeless, room, &nodes);
        let nodes: Vec<String> = nodes.into_iter().map(|node| node.name.clone()).collect();
        let is_same = nodes == self.nodes && owners == self.owners;
        Self {
            number: self.number + u64::from(!is_same),
            nodes,
            owners,
        }
    }

    /// The owner of a slot; `None`: nobody, or there is no such slot.
    pub fn owner(&self, slot: u16) -> Option<&str> {
        let place = *self.owners.get(usize::from(slot))?;
        self.nodes.get(usize::from(place)).map(String::as_str)
    }

    /// The slots of a node, ascending.
    pub fn slots_of(&self, node: &str) -> impl Iterator<Item = u16> {
        let place = self.nodes.iter().position(|name| name == node);
        let place = place.and_then(|place| u16::try_from(place).ok());
        (0..)
            .zip(&self.owners)
            .filter(move |(_, owner)| Some(**owner) == place)
            .map(|(slot, _)| slot)
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there are none: no plan of a cluster.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The nodes that own slots, or may, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(String::as_str)
    }

    /// For each place of this plan the node's place in another list.
    fn places_in(&self, nodes: &[&Candidate]) -> Vec<Option<u16>> {
        let places: HashMap<&str, u16> = (0..)
            .zip(nodes)
            .map(|(place, node)| (node.name.as_str(), place))
            .collect();
        let names = self.nodes.iter();
        names
            .map(|name| places.get(name.as_str()).copied())
            .collect()
    }

    fn place_of(&self, slot: usize, places: &[Option<u16>]) -> Option<u16> {
        places
            .get(usize::from(self.owners[slot]))
            .copied()
            .flatten()
    }

    /// How many slots each of these has.
    fn held(&self, nodes: &[&Candidate]) -> Vec<usize> {
        let places = self.places_in(nodes);
        let mut held = vec![0; nodes.len()];
        for slot in 0..self.owners.len() {
            if let Some(place) = self.place_of(slot, &places) {
                held[usize::from(place)] += 1;
            }
        }
        held
    }
}

/// The candidates that can own something, by name, each name once.
fn owning(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut nodes: Vec<&Candidate> = candidates.iter().filter(|node| node.weight > 0).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    nodes.truncate(usize::from(NOBODY));
    nodes
}

/// How many slots each node is to have: its share by weight, rounded so that the sum is right. Up go those
/// that hold more than their share already, which moves least, then those with the largest remainders
/// (Hamilton), then the first by name.
fn quotas(nodes: &[&Candidate], held: &[usize], slots: usize) -> Vec<usize> {
    let sum: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    if sum == 0 {
        return Vec::new();
    }
    let slots = slots as u64;
    let mut quotas = Vec::with_capacity(nodes.len());
    let mut remainders = Vec::with_capacity(nodes.len());
    for (place, node) in nodes.iter().enumerate() {
        let share = u64::from(node.weight) * slots;
        quotas.push(usize::try_from(share / sum).unwrap_or(usize::MAX));
        let has_more = !share.is_multiple_of(sum) && held[place] > quotas[place];
        remainders.push((Reverse(has_more), Reverse(share % sum), place));
    }
    let given: usize = quotas.iter().sum();
    let left = usize::try_from(slots).unwrap_or(usize::MAX) - given;
    remainders.sort_unstable();
    for (_, _, place) in remainders.into_iter().take(left) {
        quotas[place] += 1;
    }
    quotas
}

/// All slots, in an order in which those that fit their owner best come first: the others are the ones that
/// go when it has too many.
fn keepers_first(owners: &[u16], places: &[Option<u16>], nodes: &[&Candidate]) -> Vec<usize> {
    let seeds: Vec<u64> = nodes.iter().map(|node| seed(&node.name)).collect();
    let fit = |slot: &usize| {
        let place = places.get(usize::from(owners[*slot])).copied().flatten();
        Reverse(place.map(|place| score(*slot, seeds[usize::from(place)])))
    };
    let mut slots: Vec<usize> = (0..owners.len()).collect();
    slots.sort_by_cached_key(fit);
    slots
}

/// Gives each homeless slot to the node with room that fits it best.
fn settle(owners: &mut [u16], homeless: &[usize], mut room: Vec<usize>, nodes: &[&Candidate]) {
    // Those with room, close together: this loop is nearly all that a plan costs.
    let mut open: Vec<(u64, u16)> = (0..)
        .zip(nodes)
        .filter(|(place, _)| room[usize::from(*place)] > 0)
        .map(|(place, node)| (seed(&node.name), place))
        .collect();
    for slot in homeless {
        let mut best: Option<(u64, usize)> = None;
        for (at, (seed, _)) in open.iter().enumerate() {
            let score = score(*slot, *seed);
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, at));
            }
        }
        let Some((_, at)) = best else { return };
        let place = open[at].1;
        owners[*slot] = place;
        room[usize::from(place)] -= 1;
        if room[usize::from(place)] == 0 {
            open.swap_remove(at);
        }
    }
}

fn seed(node: &str) -> u64 {
    xxh3_64(node.as_bytes())
}

/// How well a slot and a node fit: the same on every node and with every binary. The finaliser of
/// SplitMix64 (Steele, Lea and Flood 2014).
const fn score(slot: usize, seed: u64) -> u64 {
    let mut z = seed ^ (slot as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The place of no node.
const NOBODY: u16 = u16::MAX;

#[cfg(test)]
mod tests;
