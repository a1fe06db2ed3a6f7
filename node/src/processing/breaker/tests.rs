//! The breaker step by step, and against a model that remembers everything.

use std::time::Duration;

use proptest::prelude::*;
use selvedge_cluster::Clock;

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const POLICY: BreakerPolicy = BreakerPolicy {
    failures: 3,
    window: Duration::from_secs(10),
    open: Duration::from_secs(5),
    probes: 2,
};

/// One whole attempt.
fn attempt(breaker: &mut Breaker, now: Instant, verdict: Verdict) -> Option<BreakerState> {
    let (pass, _) = breaker.begin(now);
    breaker.end(now, pass, verdict)
}

fn opened(start: Instant) -> Breaker {
    let mut breaker = Breaker::new(POLICY, 0);
    assert_eq!(attempt(&mut breaker, start, Verdict::Failure), None);
    assert_eq!(attempt(&mut breaker, start, Verdict::Failure), None);
    assert_eq!(
        attempt(&mut breaker, start, Verdict::Failure),
        Some(BreakerState::Open)
    );
    breaker
}

#[test]
fn it_opens_refuses_half_opens_and_closes() {
    let start = Clock::system().monotonic();
    let mut breaker = opened(start);
    let until = Some(start + seconds(5));
    assert_eq!(breaker.check(start + seconds(4)), Err(Refused { until }));
    let later = start + seconds(5);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    let (one, change) = breaker.begin(later);
    assert_eq!(change, Some(BreakerState::HalfOpen));
    let (two, change) = breaker.begin(later);
    assert_eq!(change, None);
    // No more than its probes, until one of them has ended.
    assert_eq!(breaker.check(later), Err(Refused { until: None }));
    assert_eq!(breaker.end(later, one, Verdict::Neutral), None);
    assert_eq!(breaker.check(later), Ok(()));
    assert_eq!(
        breaker.end(later, two, Verdict::Success),
        Some(BreakerState::Closed)
    );
    assert_eq!(breaker.state(later), BreakerState::Closed);
}

#[test]
fn a_probe_that_fails_opens_it_again() {
    let start = Clock::system().monotonic();
    let mut breaker = opened(start);
    let later = start + seconds(6);
    assert_eq!(
        attempt(&mut breaker, later, Verdict::Failure),
        Some(BreakerState::Open)
    );
    let until = Some(later + seconds(5));
    assert_eq!(breaker.check(start + seconds(7)), Err(Refused { until }));
}

#[test]
fn failures_far_apart_and_neutral_ends_do_not_open_it() {
    let mut now = Clock::system().monotonic();
    let mut breaker = Breaker::new(POLICY, 0);
    for _ in 0..20 {
        assert_eq!(attempt(&mut breaker, now, Verdict::Failure), None);
        assert_eq!(attempt(&mut breaker, now, Verdict::Neutral), None);
        now += seconds(5);
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
}

#[test]
fn an_attempt_from_before_says_nothing_about_after() {
    let start = Clock::system().monotonic();
    let mut breaker = Breaker::new(POLICY, 0);
    let (early, _) = breaker.begin(start);
    for _ in 0..3 {
        attempt(&mut breaker, start, Verdict::Failure);
    }
    let later = start + seconds(6);
    let (probe, _) = breaker.begin(later);
    assert_eq!(breaker.end(later, early, Verdict::Success), None);
    assert_eq!(breaker.state(later), BreakerState::HalfOpen);
    assert_eq!(
        breaker.end(later, probe, Verdict::Success),
        Some(BreakerState::Closed)
    );
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Success),
        Just(Verdict::Failure),
        Just(Verdict::Neutral)
    ]
}

proptest! {
    /// While closed it has at most `failures - 1` failures in any window, and it never lets more through
    /// than its state allows.
    #[test]
    fn it_is_open_exactly_when_it_should_be(
        script in proptest::collection::vec((0_u64..4, any::<bool>(), verdicts()), 0..200),
    ) {
        let mut now = Clock::system().monotonic();
        let mut breaker = Breaker::new(POLICY, 0);
        let mut passes = Vec::new();
        let mut failed: Vec<Instant> = Vec::new();
        let mut open_until = None;
        for (wait, begins, verdict) in script {
            now += seconds(wait);
            let is_open = open_until.is_some_and(|until| now < until);
            prop_assert_eq!(breaker.state(now) == BreakerState::Open, is_open);
            if begins {
                if breaker.check(now).is_ok() {
                    prop_assert!(!is_open);
                    passes.push(breaker.begin(now).0);
                }
                continue;
            }
            let Some(pass) = passes.pop() else { continue };
            let is_present = pass.generation == breaker.generation;
            let was_closed = breaker.state(now) == BreakerState::Closed;
            let change = breaker.end(now, pass, verdict);
            if !is_present {
                prop_assert_eq!(change, None);
                continue;
            }
            if verdict == Verdict::Failure {
                failed.push(now);
            }
            let recent = failed.iter().filter(|at| now.duration_since(**at) < POLICY.window);
            let opens = verdict == Verdict::Failure && (!was_closed || recent.count() >= 3);
            prop_assert_eq!(change == Some(BreakerState::Open), opens);
            if change.is_some() {
                failed.clear();
                open_until = opens.then_some(now + POLICY.open);
            }
        }
    }
}
