//! What happens by chance in a run, from its seed. Each part of the simulation has dice of its own, so that none
//! depends on how often another one throws.

use std::time::Duration;

use selvedge_cluster::Clock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Debug, Clone)]
pub(super) struct Dice(Clock);

impl Dice {
    /// The dice of a part of a run.
    pub(super) fn of(seed: u64, part: &str) -> Self {
        Self(Clock::manual(0, xxh3_64_with_seed(part.as_bytes(), seed)))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.random()
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// So often in a hundred.
    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn ms(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// One of several; there must be some.
    pub(super) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}
