//! How long calls to actors found no success because of a fault: pure, from the history.

use std::ops::Range;

use serde::Serialize;

use crate::operate::verify::check::actor::Record;
use crate::operate::verify::check::history::Outcome;
use crate::operate::verify::report::Fault;

/// Over all faults and actors, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Recovery {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

/// Notes with each fault the longest time that an actor had no success, and sums them up. None without faults that
/// have an effect on calls.
pub(super) fn measure(faults: &mut [Fault], records: &[Record]) -> Option<Recovery> {
    let successes: Vec<_> = records.iter().map(successes).collect();
    let spans: Vec<_> = faults.iter().map(|it| (it.at_ms, it.end_ms())).collect();
    let mut all = Vec::new();
    for (index, fault) in faults.iter_mut().enumerate() {
        if fault.kind.is_lasting() {
            continue;
        }
        let (at_ms, end_ms) = spans[index];
        // What comes after the next fault began is its doing.
        let next = spans.iter().map(|(next_ms, _)| *next_ms);
        let next = next.filter(|next_ms| *next_ms > end_ms).min();
        let next_ms = next.unwrap_or(u64::MAX);
        let until_ms = (end_ms + AFTERMATH_MS).min(next_ms);
        let gaps = successes.iter();
        let gaps = gaps.map(|of| gap_ms(of, at_ms..until_ms, next_ms));
        let gaps: Vec<_> = gaps.collect();
        fault.recovery_ms = gaps.iter().copied().max();
        all.extend(gaps);
    }
    all.sort_unstable();
    Some(Recovery {
        p50: part(&all, 50)?,
        p99: part(&all, 99)?,
        max: part(&all, 100)?,
    })
}

/// The moments of an actor's successes, in microseconds, in order.
fn successes(record: &Record) -> Vec<u64> {
    let at = record.recorded.iter().map(|it| match &it.call.outcome {
        Outcome::Answered { at_us, .. } => Some(*at_us),
        Outcome::Refused | Outcome::Unknown => None,
    });
    let mut at: Vec<_> = at.flatten().collect();
    at.sort_unstable();
    at
}

/// The longest time to the next success, of all that begin within a span: at its start, or with a success. None counts
/// past `end_ms`.
fn gap_ms(successes: &[u64], span_ms: Range<u64>, end_ms: u64) -> u64 {
    let us = |ms: u64| ms.saturating_mul(1_000);
    let (from, until, end) = (us(span_ms.start), us(span_ms.end), us(end_ms));
    let first = successes.partition_point(|at| *at < from);
    let mut longest = 0;
    let mut since = from;
    for &at in &successes[first..] {
        longest = longest.max(at.min(end).saturating_sub(since));
        since = at;
        if at >= until {
            break;
        }
    }
    longest / 1_000
}

/// The value that so many of a hundred do not exceed.
fn part(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Nodes that come back take their share again, and that is due to the fault as well.
const AFTERMATH_MS: u64 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    #[test]
    fn a_gap_counts_from_the_fault_to_the_next_success() {
        let every_10_ms: Vec<u64> = (0..100).map(|it| it * 10 * MS).collect();
        let to_next = |of: &[u64], span| gap_ms(of, span, u64::MAX);
        assert_eq!(to_next(&every_10_ms, 205..300), 10);
        let mut with_gap = every_10_ms;
        with_gap.retain(|at| !(300 * MS..700 * MS).contains(at));
        assert_eq!(to_next(&with_gap, 295..320), 405);
        assert_eq!(to_next(&with_gap, 0..320), 410, "it begins within");
        assert_eq!(to_next(&with_gap, 0..280), 10, "it begins later");
        assert_eq!(to_next(&with_gap, 400..500), 300, "what is left of it");
        let another = gap_ms(&with_gap, 0..295, 295);
        assert_eq!(another, 10, "the rest is the next one's");
    }

    #[test]
    fn without_a_success_there_is_nothing_to_measure() {
        assert_eq!(gap_ms(&[], 0..10, 10), 0);
        assert_eq!(gap_ms(&[5], 10..20, 20), 0);
        assert_eq!(measure(&mut [], &[]), None);
    }

    #[test]
    fn parts_are_of_those_that_there_are() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(part(&hundred, 50), Some(50));
        assert_eq!(part(&hundred, 99), Some(99));
        assert_eq!(part(&[7], 50), Some(7));
        assert_eq!(part(&[], 50), None);
    }
}
