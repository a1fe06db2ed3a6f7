//! The checkers of `selvedge verify`: pure functions from what clients saw to what is wrong with it. No I/O, no
//! clock, no randomness.

pub(crate) mod actor;
pub(crate) mod effects;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod linearizable;
pub(crate) mod model;
pub(crate) mod operations;
pub(crate) mod part;

use serde::Serialize;

/// Something that must not have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    pub(crate) check: Check,
    /// The actor or operation.
    pub(crate) of: String,
    pub(crate) message: String,
    /// The smallest part of the history that shows it, a line each.
    pub(crate) part: Vec<String>,
}

/// Which promise is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Check {
    /// Calls take effect at one moment between call and answer, in one order.
    Linearizability,
    /// A command takes effect at most once, and exactly once when that was acknowledged.
    Effects,
    /// Events come in order, without gap or repeat, and tell of the state.
    Events,
    /// Operations end, with their steps run once and the expected result.
    Operations,
    /// A node that is told to stop ends in order, and costs no call while others are there.
    Departure,
    /// Not broken as far as was seen: too large to decide, which is no pass.
    Undecided,
}

impl Violation {
    pub(crate) fn new(check: Check, of: &str, message: impl Into<String>) -> Self {
        Self {
            check,
            of: of.to_owned(),
            message: message.into(),
            part: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
