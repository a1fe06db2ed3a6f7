//! Whole clusters in one thread, on simulated time, network and store: real memberships, ownership, hosts, forwards
//! and QUIC between them, under whatever a seed does to them. The same seed gives the same log.
//!
//! `SELVEDGE_SIMULATION_SEEDS=100..200` runs these seeds instead of the usual few, and prints the log of one that
//! fails to its end. A seed alone prints its log in any case.

mod client;
mod dice;
mod faults;
mod history;
mod judge;
mod life;
mod log;
mod network;
mod node;
mod run;
mod subscriber;
mod way;
mod world;

use run::{Outcome, run};

/// The same seed gives the same log.
#[test]
fn the_same_seed_gives_the_same_log() {
    // Of these, the logs have differed before each of several causes was found.
    for seed in [5, 16, 24] {
        let (one, other) = (run(seed), run(seed));
        let mut lines = one.log.iter().zip(&other.log).enumerate();
        if let Some((at, (left, right))) = lines.find(|(_, (left, right))| left != right) {
            let before = one.log[at.saturating_sub(20)..at].join("\n");
            panic!("seed {seed}: the logs differ after\n{before}\none:   {left}\nother: {right}");
        }
        assert_eq!(one.log.len(), other.log.len(), "seed {seed}");
    }
}

#[test]
fn clusters_do_what_they_promise_whatever_happens_to_them() {
    let seeds = seeds();
    let is_one = seeds.len() == 1;
    let mut failed = Vec::new();
    for seed in seeds {
        let outcome = run(seed);
        let is_failed = !outcome.violations.is_empty();
        if is_failed || is_one {
            tell(seed, &outcome, is_one);
        }
        if is_failed {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?} failed");
}

fn tell(seed: u64, outcome: &Outcome, is_whole: bool) {
    let lines = &outcome.log;
    let from = match is_whole {
        true => 0,
        false => lines.len().saturating_sub(TAIL),
    };
    println!("{}", lines[from..].join("\n"));
    for violation in &outcome.violations {
        println!("seed {seed}: {violation}");
    }
}

fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("SELVEDGE_SIMULATION_SEEDS") else {
        return (1..=SEEDS).chain(FAILED_ONCE).collect();
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    match text.split_once("..") {
        Some((from, to)) => (number(from)..number(to)).collect(),
        None => vec![number(&text)],
    }
}

/// As many as a busy machine runs in some seconds.
const SEEDS: u64 = 10;
/// 80: a commit that came later than what the store remembers, after its slot was given up and before the next
/// owner took it.
const FAILED_ONCE: [u64; 1] = [80];
/// Lines of a log that are told.
const TAIL: usize = 200;
