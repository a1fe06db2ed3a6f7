//! The scheduler step by step.

use std::collections::HashMap;

use selvedge_cluster::Clock;

use super::*;
use crate::processing::policy::{BreakerPolicy, Rate};

mod model;

/// An operation: whose, its priority, its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    tenant: usize,
    priority: i32,
    number: usize,
    is_void: bool,
    is_guest: bool,
}

impl Entry for Job {
    fn is_void(&self) -> bool {
        self.is_void
    }

    fn is_guest(&self) -> bool {
        self.is_guest
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn tenant(number: usize) -> Tenant {
    Tenant::new(format!("tenant-{number}")).unwrap()
}

fn places(limit: usize) -> Limits {
    Limits {
        concurrency: Some(limit),
        ..Limits::default()
    }
}

fn job(tenant: usize, number: usize) -> Job {
    Job {
        tenant,
        priority: 0,
        number,
        is_void: false,
        is_guest: false,
    }
}

fn push(scheduler: &mut Scheduler<Job>, now: Instant, job: Job) {
    let order = Order {
        tenant: tenant(job.tenant),
        priority: job.priority,
        since: now,
        is_patient: false,
        is_ending: false,
    };
    scheduler.push(order, job);
}

/// Starts all that may.
fn start(scheduler: &mut Scheduler<Job>, now: Instant) -> Vec<(Job, Ticket)> {
    let mut started = Vec::new();
    while let Next::Start(job, ticket) = scheduler.next(now) {
        started.push((job, ticket));
    }
    started
}

fn start_one(scheduler: &mut Scheduler<Job>, now: Instant) -> (Job, Ticket) {
    match scheduler.next(now) {
        Next::Start(job, ticket) => (job, ticket),
        Next::Wait(until) => panic!("nothing starts before {until:?}"),
    }
}

#[test]
fn two_tenants_at_ten_to_one_share_one_to_one() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(places(1));
    for number in 0..1_100 {
        push(
            &mut scheduler,
            now,
            job(usize::from(number % 11 == 0), number),
        );
    }
    let mut starts = [0_usize; 2];
    for round in 1..=100 {
        for _ in 0..2 {
            let (job, ticket) = start_one(&mut scheduler, now);
            starts[job.tenant] += 1;
            scheduler.ended(now, ticket, Verdict::Success);
        }
        assert_eq!(starts, [round, round]);
    }
}

#[test]
fn a_tenants_own_limit_holds_it_back_and_no_other() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(places(10));
    scheduler.limit(&tenant(0), Some(places(2)));
    for number in 0..5 {
        push(&mut scheduler, now, job(0, number));
        push(&mut scheduler, now, job(1, number));
    }
    let mut started = start(&mut scheduler, now);
    let of_first = started.iter().filter(|(job, _)| job.tenant == 0);
    assert_eq!((started.len(), of_first.count()), (7, 2));
    let found = scheduler.standing(now, &tenant(0), |job| job.number == 3);
    let hold = Some(Hold::Concurrency { limit: 2 });
    assert_eq!(found, Some(Standing { position: 2, hold }));
    // A change of the limit is in force at once.
    scheduler.limit(&tenant(0), Some(places(3)));
    started.extend(start(&mut scheduler, now));
    assert_eq!(started.len(), 8);
    scheduler.limit(&tenant(0), None);
    assert_eq!(start(&mut scheduler, now).len(), 2);
}

#[test]
fn a_rate_says_when_the_next_may_start() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(Limits {
        rate: Some(Rate {
            operations: 2,
            period: ms(100),
        }),
        ..places(10)
    });
    for number in 0..4 {
        push(&mut scheduler, now, job(0, number));
    }
    assert_eq!(start(&mut scheduler, now).len(), 2);
    let Next::Wait(Some(until)) = scheduler.next(now) else {
        panic!("a token comes");
    };
    assert_eq!(until, now + ms(50));
    assert_eq!(start(&mut scheduler, until).len(), 1);
}

#[test]
fn a_breaker_holds_back_until_a_probe_succeeds() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(Limits {
        breaker: Some(BreakerPolicy {
            failures: 2,
            window: ms(1_000),
            open: ms(500),
            probes: 1,
        }),
        ..places(10)
    });
    for number in 0..6 {
        push(&mut scheduler, now, job(number % 2, number));
    }
    for _ in 0..2 {
        let (_, ticket) = start_one(&mut scheduler, now);
        scheduler.ended(now, ticket, Verdict::Failure);
    }
    let Next::Wait(Some(until)) = scheduler.next(now) else {
        panic!("the breaker opens");
    };
    assert_eq!(until, now + ms(500));
    let found = scheduler.standing(now, &tenant(0), |_| true).unwrap();
    assert_eq!(found.hold, Some(Hold::Breaker { until: Some(until) }));
    let mut probes = start(&mut scheduler, until);
    assert_eq!(probes.len(), 1);
    let (_, probe) = probes.pop().unwrap();
    scheduler.ended(until, probe, Verdict::Success);
    assert_eq!(start(&mut scheduler, until).len(), 3);
    let states: Vec<_> = scheduler.take_changes();
    let states: Vec<_> = states.iter().map(|change| change.state).collect();
    assert_eq!(
        states,
        [
            BreakerState::Open,
            BreakerState::HalfOpen,
            BreakerState::Closed
        ]
    );
}

#[test]
fn a_tenants_own_breaker_stands_in_for_the_pools() {
    let now = Clock::system().monotonic();
    let breaker = |failures| {
        Some(BreakerPolicy {
            failures,
            window: ms(1_000),
            open: ms(500),
            probes: 1,
        })
    };
    let mut scheduler = Scheduler::new(Limits {
        breaker: breaker(1),
        ..places(10)
    });
    let own = Limits {
        breaker: breaker(100),
        ..Limits::default()
    };
    scheduler.limit(&tenant(0), Some(own));
    for number in 0..4 {
        push(&mut scheduler, now, job(number % 2, number));
    }
    for expected in [0, 1] {
        let (job, ticket) = start_one(&mut scheduler, now);
        assert_eq!(job.tenant, expected);
        scheduler.ended(now, ticket, Verdict::Failure);
    }
    let rest = start(&mut scheduler, now);
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].0.tenant, 0);
    assert_eq!(
        scheduler.breaker(now, &tenant(0)),
        Some((BreakerState::Closed, None))
    );
}

#[test]
fn what_waits_too_long_is_handed_back() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(Limits {
        queue_timeout: Some(ms(100)),
        ..places(1)
    });
    for number in 0..3 {
        push(&mut scheduler, now + ms(10 * number as u64), job(0, number));
    }
    let patient = Order {
        tenant: tenant(1),
        priority: 0,
        since: now,
        is_patient: true,
        is_ending: false,
    };
    scheduler.push(patient, job(1, 3));
    let (_, ticket) = start_one(&mut scheduler, now);
    assert_eq!(scheduler.next_expiry(), Some(now + ms(110)));
    assert_eq!(scheduler.expired(now + ms(109)), []);
    assert_eq!(scheduler.expired(now + ms(110)), [job(0, 1)]);
    // Another time for the tenant counts for what waits already.
    let patient = Limits {
        queue_timeout: Some(ms(1_000)),
        ..Limits::default()
    };
    scheduler.limit(&tenant(0), Some(patient));
    assert_eq!(scheduler.expired(now + ms(500)), []);
    scheduler.limit(&tenant(0), None);
    assert_eq!(scheduler.expired(now + ms(500)), [job(0, 2)]);
    scheduler.ended(now, ticket, Verdict::Success);
    let (last, ticket) = start_one(&mut scheduler, now + ms(500));
    assert_eq!(last, job(1, 3));
    scheduler.ended(now, ticket, Verdict::Success);
    assert!(matches!(scheduler.next(now), Next::Wait(None)));
    assert!(scheduler.queues.is_empty() && scheduler.expiries.is_empty());
}

#[test]
fn what_only_ends_passes_all_but_the_places() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(Limits {
        rate: Some(Rate {
            operations: 1,
            period: ms(1_000),
        }),
        ..places(2)
    });
    push(&mut scheduler, now, job(0, 0));
    push(&mut scheduler, now, job(0, 1));
    let (_, ticket) = start_one(&mut scheduler, now);
    assert!(matches!(scheduler.next(now), Next::Wait(Some(_))));
    let order = Order {
        tenant: tenant(0),
        priority: 0,
        since: now,
        is_patient: false,
        is_ending: true,
    };
    scheduler.push(order.clone(), job(0, 2));
    scheduler.push(order, job(0, 3));
    assert_eq!(start_one(&mut scheduler, now).0, job(0, 2));
    assert!(matches!(scheduler.next(now), Next::Wait(None)));
    scheduler.ended(now, ticket, Verdict::Neutral);
    assert_eq!(start_one(&mut scheduler, now).0, job(0, 3));
}

fn wanting(scheduler: &Scheduler<Job>, now: Instant, here: Here, max: usize) -> Vec<Tenant> {
    let wanting = scheduler.wanting(now, here, &HashMap::new(), max);
    wanting.into_iter().map(|(tenant, _)| tenant).collect()
}

#[test]
fn what_only_lacks_a_place_may_be_lent_in_turn() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(places(1));
    for number in 0..3 {
        push(&mut scheduler, now, job(1, number));
        push(&mut scheduler, now, job(2, number));
    }
    // As long as there is a place here, nothing is.
    assert_eq!(wanting(&scheduler, now, Here::Open, 9), []);
    let (first, ticket) = start_one(&mut scheduler, now);
    assert_eq!((first.tenant, first.number), (1, 0));
    assert_eq!(
        wanting(&scheduler, now, Here::Open, 3),
        [tenant(2), tenant(1), tenant(2)]
    );
    assert_eq!(wanting(&scheduler, now, Here::Open, 9).len(), 5);
    // One for which a place is sought already is not counted again.
    let sought = HashMap::from([(tenant(1), 2), (tenant(2), 1)]);
    assert_eq!(scheduler.wanting(now, Here::Open, &sought, 9).len(), 2);
    // What is lent counts nowhere here, and has had its turn.
    assert_eq!(scheduler.lend(&tenant(2)).unwrap().number, 0);
    assert_eq!(scheduler.load(), (1, 4));
    scheduler.ended(now, ticket, Verdict::Success);
    let (next, _ticket) = start_one(&mut scheduler, now);
    assert_eq!(next.tenant, 1);
}

#[test]
fn what_a_rate_or_a_breaker_holds_back_is_not_lent() {
    let now = Clock::system().monotonic();
    let rate = Limits {
        rate: Some(Rate {
            operations: 1,
            period: ms(1_000),
        }),
        ..places(9)
    };
    let mut scheduler = Scheduler::new(rate);
    for number in 0..3 {
        push(&mut scheduler, now, job(1, number));
    }
    let (_, _ticket) = start_one(&mut scheduler, now);
    assert_eq!(wanting(&scheduler, now, Here::Open, 9), []);
    // A node that runs nothing holds nothing back: who runs it does.
    assert_eq!(wanting(&scheduler, now, Here::Closed, 9).len(), 2);
}

#[test]
fn what_came_from_another_node_is_not_lent_again() {
    let now = Clock::system().monotonic();
    let mut scheduler = Scheduler::new(places(1));
    let (_, _ticket) = {
        push(&mut scheduler, now, job(1, 0));
        start_one(&mut scheduler, now)
    };
    let guest = Job {
        is_guest: true,
        ..job(1, 1)
    };
    push(&mut scheduler, now, guest);
    assert_eq!(wanting(&scheduler, now, Here::Open, 9), []);
    assert_eq!(scheduler.lend(&tenant(1)), None);
    push(&mut scheduler, now, job(1, 2));
    assert_eq!(scheduler.lend(&tenant(1)).unwrap().number, 2);
}

#[test]
fn a_guest_has_a_place_at_once_or_waits_as_others_do() {
    let now = Clock::system().monotonic();
    let mut scheduler: Scheduler<Job> = Scheduler::new(places(1));
    let ticket = scheduler.begin(now, &tenant(1)).unwrap();
    assert!(scheduler.begin(now, &tenant(2)).is_none());
    assert!(scheduler.would_wait_for_a_place(now, &tenant(2)));
    scheduler.ended(now, ticket, Verdict::Neutral);
    assert!(scheduler.begin(now, &tenant(2)).is_some());
    // Limits of the pool that change while it runs.
    scheduler.limit_pool(places(2));
    assert!(scheduler.begin(now, &tenant(2)).is_some());
}
