//! The scheduler under random scripts: never over a limit, nobody starves, order within a tenant, turns between
//! tenants.

use std::collections::HashMap;

use proptest::prelude::*;
use selvedge_cluster::Clock;

use super::*;

const TENANTS: usize = 4;

#[derive(Debug, Clone)]
enum Action {
    Push {
        tenant: usize,
        priority: i32,
        is_void: bool,
    },
    /// Starts one if one may start.
    Next,
    /// Ends one of those that run.
    End {
        which: usize,
        verdict: Verdict,
    },
    Wait {
        ms: u64,
    },
    Limit {
        tenant: usize,
        limit: Option<usize>,
    },
}

fn actions() -> impl Strategy<Value = Action> {
    let verdicts = prop_oneof![
        Just(Verdict::Success),
        Just(Verdict::Failure),
        Just(Verdict::Neutral)
    ];
    prop_oneof![
        4 => (0..TENANTS, -1_i32..2, prop::bool::weighted(0.1)).prop_map(
            |(tenant, priority, is_void)| Action::Push { tenant, priority, is_void }
        ),
        4 => Just(Action::Next),
        3 => (any::<usize>(), verdicts).prop_map(|(which, verdict)| Action::End { which, verdict }),
        1 => (0_u64..50).prop_map(|ms| Action::Wait { ms }),
        1 => (0..TENANTS, proptest::option::of(1_usize..4))
            .prop_map(|(tenant, limit)| Action::Limit { tenant, limit }),
    ]
}

/// What should be: remembers all and decides nothing.
#[derive(Default)]
struct Model {
    waiting: Vec<(Job, Instant)>,
    running: Vec<(Job, Ticket)>,
    limits: HashMap<usize, usize>,
    pushed: usize,
    handed_out: usize,
}

const CONCURRENCY: usize = 5;
const TIMEOUT_MS: u64 = 120;

impl Model {
    fn running_of(&self, tenant: usize) -> usize {
        let running = self.running.iter();
        running.filter(|(job, _)| job.tenant == tenant).count()
    }

    /// The one of a tenant that has to be next.
    fn first_of(&self, tenant: usize) -> Option<&Job> {
        let own = self.waiting.iter().map(|(job, _)| job);
        own.filter(|job| job.tenant == tenant)
            .min_by_key(|job| (Reverse(job.priority), job.number))
    }

    fn may_start(&self, job: &Job) -> bool {
        let limit = self.limits.get(&job.tenant);
        let fits = limit.is_none_or(|limit| self.running_of(job.tenant) < *limit);
        self.running.len() < CONCURRENCY && (job.is_void || fits)
    }

    fn check_start(&mut self, now: Instant, job: Job, ticket: Ticket) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            self.first_of(job.tenant),
            Some(&job),
            "order within a tenant"
        );
        prop_assert!(self.may_start(&job), "{:?} is over a limit", job);
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == job);
        let (_, since) = self.waiting.remove(at.unwrap());
        prop_assert!(now.duration_since(since) < ms(TIMEOUT_MS), "it had expired");
        self.running.push((job, ticket));
        self.handed_out += 1;
        Ok(())
    }
}

fn step(
    scheduler: &mut Scheduler<Job>,
    model: &mut Model,
    now: &mut Instant,
    action: Action,
) -> Result<(), TestCaseError> {
    match action {
        Action::Push {
            tenant,
            priority,
            is_void,
        } => {
            model.pushed += 1;
            let job = Job {
                tenant,
                priority,
                number: model.pushed,
                is_void,
                is_guest: false,
            };
            model.waiting.push((job, *now));
            push(scheduler, *now, job);
        }
        Action::Next => match scheduler.next(*now) {
            Next::Start(job, ticket) => model.check_start(*now, job, ticket)?,
            Next::Wait(_) => {
                let heads = (0..TENANTS).filter_map(|tenant| model.first_of(tenant));
                for head in heads {
                    prop_assert!(!model.may_start(head), "{:?} could start", head);
                }
            }
        },
        Action::End { which, verdict } => {
            if !model.running.is_empty() {
                let at = which % model.running.len();
                let (_, ticket) = model.running.swap_remove(at);
                scheduler.ended(*now, ticket, verdict);
            }
        }
        Action::Wait { ms: time } => {
            *now += ms(time);
            let mut expired = scheduler.expired(*now);
            let (late, rest) = std::mem::take(&mut model.waiting)
                .into_iter()
                .partition::<Vec<_>, _>(|(_, since)| now.duration_since(*since) >= ms(TIMEOUT_MS));
            model.waiting = rest;
            model.handed_out += late.len();
            let mut late: Vec<Job> = late.into_iter().map(|(job, _)| job).collect();
            expired.sort_by_key(|job| job.number);
            late.sort_by_key(|job| job.number);
            prop_assert_eq!(expired, late);
        }
        Action::Limit {
            tenant: number,
            limit,
        } => {
            let limits = limit.map(|limit| Limits {
                queue_timeout: Some(ms(TIMEOUT_MS)),
                ..places(limit)
            });
            scheduler.limit(&tenant(number), limits);
            match limit {
                Some(limit) => model.limits.insert(number, limit),
                None => model.limits.remove(&number),
            };
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn it_starts_exactly_what_may_start(script in prop::collection::vec(actions(), 1..300)) {
        let mut now = Clock::system().monotonic();
        let mut scheduler = Scheduler::new(Limits {
            queue_timeout: Some(ms(TIMEOUT_MS)),
            ..places(CONCURRENCY)
        });
        let mut model = Model::default();
        for action in script {
            step(&mut scheduler, &mut model, &mut now, action)?;
        }
        // Without limits, and with ends, nothing is left: nobody starves, nothing is lost.
        for tenant in 0..TENANTS {
            step(&mut scheduler, &mut model, &mut now, Action::Limit { tenant, limit: None })?;
        }
        while !model.waiting.is_empty() || !model.running.is_empty() {
            let verdict = Verdict::Success;
            step(&mut scheduler, &mut model, &mut now, Action::Next)?;
            step(&mut scheduler, &mut model, &mut now, Action::End { which: 0, verdict })?;
        }
        prop_assert!(matches!(scheduler.next(now), Next::Wait(None)));
        prop_assert_eq!(model.pushed, model.handed_out);
        prop_assert!(scheduler.queues.is_empty() && scheduler.turns.is_empty());
        prop_assert!(scheduler.expiries.is_empty() && scheduler.running == 0);
    }

    /// Between two starts of a tenant each other one that waits all the time has one.
    #[test]
    fn tenants_take_turns(counts in prop::collection::vec(1_usize..30, 2..8), limit in 1_usize..4) {
        let now = Clock::system().monotonic();
        let mut scheduler = Scheduler::new(places(limit));
        for (number, count) in counts.iter().enumerate() {
            for at in 0..*count {
                push(&mut scheduler, now, job(number, at));
            }
        }
        let mut left = counts;
        let mut since_last: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut running = VecDeque::new();
        while left.iter().any(|count| *count > 0) {
            while let Next::Start(job, ticket) = scheduler.next(now) {
                running.push_back(ticket);
                left[job.tenant] -= 1;
                if let Some(others) = since_last.insert(job.tenant, Vec::new()) {
                    for (other, count) in left.iter().enumerate() {
                        prop_assert!(
                            other == job.tenant || *count == 0 || others.contains(&other),
                            "{other} had no turn"
                        );
                    }
                }
                for others in since_last.values_mut() {
                    others.push(job.tenant);
                }
            }
            if let Some(ticket) = running.pop_front() {
                scheduler.ended(now, ticket, Verdict::Success);
            }
        }
    }
}
