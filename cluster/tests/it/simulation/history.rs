//! What clients asked and heard of counters, judged as it comes: whether each has taken effect once, in an order that
//! fits the times at which it was asked and answered.

use std::collections::{BTreeMap, BTreeSet};

use super::log::Log;

/// All counters of a run.
#[derive(Debug)]
pub(super) struct History {
    log: Log,
    counters: BTreeMap<String, Counter>,
}

#[derive(Debug, Default)]
struct Counter {
    /// Additions of one that were begun: their own, and messages.
    begun: u64,
    /// The sum that each addition has come to: no two are the same.
    sums: BTreeSet<u64>,
    /// The highest sum that anybody has heard.
    heard: u64,
}

impl History {
    pub(super) fn new(log: Log) -> Self {
        Self {
            log,
            counters: BTreeMap::new(),
        }
    }

    fn counter(&mut self, key: &str) -> &mut Counter {
        self.counters.entry(key.to_owned()).or_default()
    }

    /// One is about to be added, once. Answers what is to be kept until the answer is there.
    pub(super) fn begin(&mut self, key: &str) -> u64 {
        let counter = self.counter(key);
        counter.begun += 1;
        counter.heard
    }

    /// A counter is about to be read. The same.
    pub(super) fn look(&mut self, key: &str) -> u64 {
        self.counter(key).heard
    }

    /// An addition that was begun is answered.
    pub(super) fn added(&mut self, key: &str, heard_before: u64, sum: u64) {
        let counter = self.counter(key);
        let is_new = counter.sums.insert(sum);
        let is_right = is_new && heard_before < sum && sum <= counter.begun;
        let begun = counter.begun;
        counter.heard = counter.heard.max(sum);
        if !is_right {
            self.log.violation(format_args!(
                "{key}: an addition came to {sum}, after {heard_before} was heard, of {begun} (new: {is_new})"
            ));
        }
    }

    /// A counter was read.
    pub(super) fn read(&mut self, key: &str, heard_before: u64, sum: u64) {
        let counter = self.counter(key);
        let is_right = heard_before <= sum && sum <= counter.begun;
        let begun = counter.begun;
        counter.heard = counter.heard.max(sum);
        if !is_right {
            self.log.violation(format_args!(
                "{key}: {sum} was read, after {heard_before} was heard, of {begun}"
            ));
        }
    }

    /// What each counter must be once all that was begun is answered.
    pub(super) fn totals(&self) -> Vec<(String, u64)> {
        let counters = self.counters.iter();
        counters
            .map(|(key, counter)| (key.clone(), counter.begun))
            .collect()
    }
}
