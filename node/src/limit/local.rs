//! What one node takes of a connection and of a principal, whatever is set for the cluster: generous, and never nothing.
//! The configuration says it, or these defaults do.

use crate::limit::meter::Pace;
use crate::limit::name::LimitName;
use crate::limit::rate::Rate;

/// A rate for each thing that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalRates([Rate; LimitName::COUNT]);

/// Those of a connection and those of a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalLimits {
    /// Of one connection.
    pub connection: LocalRates,
    /// Of all connections and requests of one principal, at one node.
    pub principal: LocalRates,
}

/// The same as paces.
#[derive(Debug)]
pub(super) struct Paces {
    pub(super) connection: [Pace; LimitName::COUNT],
    pub(super) principal: [Pace; LimitName::COUNT],
}

impl LocalRates {
    pub const fn of(&self, name: LimitName) -> Rate {
        self.0[name as usize]
    }

    /// The same but for one of them.
    #[must_use]
    pub fn with(mut self, name: LimitName, rate: Rate) -> Self {
        self.0[name as usize] = rate;
        self
    }
}

impl Default for LocalLimits {
    fn default() -> Self {
        let per_second = |rates: [u64; LimitName::COUNT]| LocalRates(rates.map(Rate::per_second));
        Self {
            // In the order of the names. What one connection can do at its fastest on a machine of 2025: a pipelined
            // stream carries 350,000 small frames, or a gigabyte, in a second. What is over it is no client.
            connection: per_second([
                1_000_000_000, // bytes
                400_000,       // frames
                400_000,       // commands
                400_000,       // queries
                100_000,       // submissions
                100_000,       // subscriptions: a session has 1,000 at a time
                400_000,       // datagrams
            ]),
            // Principals stand for whole fleets of devices, on as many connections: what a node can do at all.
            principal: per_second([
                1_000_000_000, // bytes: of a network card of 10 Gbit/s
                1_000_000,     // frames
                1_000_000,     // commands
                1_000_000,     // queries
                1_000_000,     // submissions
                1_000_000,     // subscriptions
                1_000_000,     // datagrams
            ]),
        }
    }
}

impl Paces {
    pub(super) fn of(limits: &LocalLimits) -> Self {
        Self {
            connection: limits.connection.0.map(Pace::of),
            principal: limits.principal.0.map(Pace::of),
        }
    }
}
