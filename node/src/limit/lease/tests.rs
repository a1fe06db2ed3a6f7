//! Leases alone, and all nodes of a cluster with the owners of a limit in simulated time: answers get lost and late,
//! owners change, nodes start again.

use proptest::prelude::*;

use super::*;
use crate::limit::bucket::Bucket;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn lease(rate: Rate) -> Lease {
    let lease = Lease::default();
    lease.set(Some(rate));
    lease
}

#[test]
fn without_a_limit_nothing_is_counted() {
    let lease = Lease::default();
    assert_eq!(lease.take(), Taken::Free);
    assert_eq!(lease.charge(1 << 40), Taken::Free);
    assert!(!lease.is_overdrawn());
    assert!(lease.is_settled());
    assert_eq!(lease.rate(), None);
}

#[test]
fn a_batch_is_let_through_and_then_what_was_paid() {
    let lease = lease(rate("50/s"));
    assert_eq!(lease.take(), Taken::GrantedTend);
    for _ in 0..4 {
        assert_eq!(lease.take(), Taken::Granted);
    }
    assert_eq!(lease.take(), Taken::Refused);
    assert_eq!((lease.to_tell(), lease.remaining()), (Some(5), 0));
    lease.paid(2, 0, 7 * MS);
    assert_eq!((lease.remaining(), lease.wait_ns(MS)), (2, 6 * MS));
    assert_eq!(lease.take(), Taken::Granted);
    assert_eq!(lease.take(), Taken::Granted);
    assert_eq!(lease.take(), Taken::Refused);
    // Said twice, it is not paid below nothing.
    lease.paid(5, 0, 0);
    lease.paid(5, 0, 0);
    assert_eq!((lease.to_tell(), lease.remaining()), (None, 5));
    assert!(lease.is_settled());
    assert_eq!(lease.take(), Taken::GrantedTend);
}

#[test]
fn slow_limits_let_one_through_at_a_time() {
    let lease = lease(rate("1/h"));
    assert_eq!(lease.take(), Taken::GrantedTend);
    assert_eq!(lease.take(), Taken::Refused);
    lease.paid(0, 0, 3_600 * SECOND);
    assert_eq!(lease.take(), Taken::Refused);
    assert_eq!(lease.wait_ns(SECOND), 3_599 * SECOND);
    lease.paid(1, 0, 0);
    assert_eq!(lease.take(), Taken::Granted);
}

#[test]
fn an_owner_that_is_away_lets_no_more_than_the_batch_through() {
    let lease = lease(rate("50/s"));
    assert_eq!(lease.take(), Taken::GrantedTend);
    lease.cut_off(0, 100 * MS);
    let granted = (0..100).filter(|_| lease.take() == Taken::Granted);
    assert_eq!(granted.count(), 4);
    assert!(lease.is_cut_off());
    assert_eq!(lease.wait_ns(40 * MS), 60 * MS);
    lease.paid(5, 0, 0);
    assert!(!lease.is_cut_off());
    assert_eq!(lease.take(), Taken::Granted);
}

#[test]
fn a_change_keeps_what_is_owed_and_the_end_of_a_limit_does_not() {
    let lease = lease(rate("50/s"));
    for _ in 0..5 {
        lease.take();
    }
    lease.set(Some(rate("100/s")));
    let granted = (0..100).filter(|_| lease.take() == Taken::Granted);
    assert_eq!(granted.count(), 5);
    lease.set(Some(rate("10/s")));
    assert_eq!((lease.take(), lease.remaining()), (Taken::Refused, 0));
    lease.set(None);
    assert_eq!((lease.take(), lease.to_tell()), (Taken::Free, None));
}

#[test]
fn what_is_charged_may_be_over_and_is_then_owed() {
    let lease = lease(rate("1000/s"));
    assert_eq!(lease.charge(100), Taken::GrantedTend);
    assert!(!lease.is_overdrawn());
    assert_eq!(lease.charge(1), Taken::Granted);
    assert!(lease.is_overdrawn());
    lease.paid(1, 0, 0);
    assert!(!lease.is_overdrawn());
    lease.give_back();
    assert_eq!(lease.remaining(), 1);
}

#[tokio::test]
async fn half_a_batch_is_worth_telling() {
    let lease = lease(rate("100/s"));
    for _ in 0..4 {
        lease.take();
    }
    {
        let waiting = lease.worth_telling();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        lease.take();
        assert!(futures::poll!(&mut waiting).is_ready());
    }
    lease.paid(5, 0, 0);
    let waiting = lease.worth_telling();
    tokio::pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    lease.set(None);
    assert!(futures::poll!(&mut waiting).is_ready());
}

/// What happens, each after the one before.
#[derive(Debug, Clone)]
enum Happening {
    Passes(u64),
    /// Requests come to a node.
    Requests {
        node: usize,
        count: u64,
    },
    /// A node asks the owner. The answer is on its way for so long, or lost.
    Asks {
        node: usize,
        late: Option<u64>,
    },
    /// What was owned is owned by another, who has its bucket from its first question on.
    OwnerChanges,
    /// The former owner makes an answer, and finds that it is the owner no more.
    FormerAsked {
        node: usize,
    },
    Restarts {
        node: usize,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let node = 0..NODES;
    prop_oneof![
        4 => (0..300 * MS).prop_map(Happening::Passes),
        6 => (node.clone(), 1_u64..40).prop_map(|(node, count)| Happening::Requests { node, count }),
        6 => (node.clone(), prop_oneof![3 => (0..200 * MS).prop_map(Some), 1 => Just(None)])
            .prop_map(|(node, late)| Happening::Asks { node, late }),
        1 => Just(Happening::OwnerChanges),
        1 => node.clone().prop_map(|node| Happening::FormerAsked { node }),
        1 => node.prop_map(|node| Happening::Restarts { node }),
    ]
}

const NODES: usize = 3;

struct Node {
    life: u64,
    lease: Lease,
    /// An answer on its way: when it comes, and what it says was taken.
    answer: Option<(u64, u64)>,
}

struct Cluster {
    rate: Rate,
    now: u64,
    lives: u64,
    nodes: Vec<Node>,
    owner: Option<Bucket>,
    former: Option<Bucket>,
    /// When, and by which life of a node.
    accepted: Vec<(u64, u64)>,
}

impl Cluster {
    fn new(rate: Rate) -> Self {
        let node = |life| Node {
            life,
            lease: lease(rate),
            answer: None,
        };
        Self {
            rate,
            now: SECOND,
            lives: NODES as u64,
            nodes: (0..NODES as u64).map(node).collect(),
            owner: None,
            former: None,
            accepted: Vec::new(),
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Passes(ns) => self.now += ns,
            Happening::Requests { node, count } => {
                let node = &self.nodes[node];
                let let_through = (0..count).filter(|_| node.lease.take() != Taken::Refused);
                let count = let_through.count();
                let accepted = std::iter::repeat_n((self.now, node.life), count);
                self.accepted.extend(accepted);
            }
            Happening::Asks { node, late } => {
                let node = &mut self.nodes[node];
                // One at a time.
                if node.answer.is_none()
                    && let Some(owed) = node.lease.to_tell()
                {
                    let (rate, now) = (self.rate, self.now);
                    let bucket = self.owner.get_or_insert_with(|| Bucket::empty(rate, now));
                    let charged = bucket.charge(now, owed);
                    node.answer = late.map(|late| (now + late, charged.tokens));
                }
            }
            Happening::OwnerChanges => self.former = self.owner.take(),
            Happening::FormerAsked { node } => {
                if let (Some(bucket), Some(owed)) =
                    (&mut self.former, self.nodes[node].lease.to_tell())
                {
                    // Not told.
                    bucket.charge(self.now, owed);
                }
            }
            Happening::Restarts { node } => {
                self.nodes[node] = Node {
                    life: self.lives,
                    lease: lease(self.rate),
                    answer: None,
                };
                self.lives += 1;
            }
        }
        for node in &mut self.nodes {
            if let Some((at, tokens)) = node.answer
                && at <= self.now
            {
                node.answer = None;
                node.lease.paid(tokens, self.now, 0);
            }
        }
    }

    /// That each window is within the bound; where there are many, those that begin at some hundred of them.
    fn check(&self) -> Result<(), TestCaseError> {
        let rate = self.rate;
        let step = self.accepted.len() / 500 + 1;
        for (at, (first, _)) in self.accepted.iter().enumerate().step_by(step) {
            let mut lives = std::collections::BTreeSet::new();
            for (count, (last, life)) in (1_u128..).zip(&self.accepted[at..]) {
                lives.insert(life);
                let bound =
                    u128::from(rate.burst()) + lives.len() as u128 * u128::from(rate.batch());
                let over = count.saturating_sub(bound);
                let came = u128::from(last - first) * u128::from(rate.tokens());
                prop_assert!(
                    over * u128::from(rate.period_ns()) <= came,
                    "{count} in {} ms of {rate}, burst {}, {} nodes",
                    (last - first) / MS,
                    rate.burst(),
                    lives.len()
                );
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_window_of_a_cluster_is_over_the_bound(
        tokens in prop_oneof![1_u64..10, 10_u64..500],
        burst in 1_u64..60,
        happenings in proptest::collection::vec(happening(), 1..150),
    ) {
        let rate = rate(&format!("{tokens}/s")).with_burst(burst).unwrap();
        let mut cluster = Cluster::new(rate);
        for happening in happenings {
            cluster.happens(happening);
        }
        cluster.check()?;
    }
}

/// All that comes is let through as long as it is below the limit, and what is let through above it comes near the limit.
#[test]
fn a_limit_that_is_asked_for_is_used() {
    for (text, offered) in [("50/s", 30), ("50/s", 500), ("2/s", 40), ("1000/s", 3_000)] {
        let rate = rate(text);
        let mut cluster = Cluster::new(rate);
        let seconds = 20;
        for tick in 0..seconds * 1_000 {
            let come = (tick + 1) * offered / 1_000 - tick * offered / 1_000;
            for _ in 0..come {
                let node = usize::try_from(tick).unwrap() % NODES;
                cluster.happens(Happening::Requests { node, count: 1 });
            }
            cluster.happens(Happening::Passes(MS));
            for node in 0..NODES {
                let late = Some(3 * MS);
                cluster.happens(Happening::Asks { node, late });
            }
        }
        cluster.check().unwrap();
        let least = seconds * rate.tokens().min(offered) * 95 / 100;
        let accepted = cluster.accepted.len() as u64;
        assert!(accepted >= least, "{text}: {accepted} of {least}");
    }
}

/// The first owner has saved a burst, which is used up again and again while owners follow each other.
#[test]
fn owners_that_follow_each_other_have_no_burst_each() {
    let rate = rate("10/s").with_burst(50).unwrap();
    let mut cluster = Cluster::new(rate);
    let ask = |cluster: &mut Cluster, node| {
        cluster.happens(Happening::Requests { node, count: 1 });
        cluster.happens(Happening::Asks {
            node,
            late: Some(0),
        });
    };
    ask(&mut cluster, 0);
    cluster.happens(Happening::Passes(10 * SECOND));
    for _ in 0..5 {
        for round in 0..300 {
            ask(&mut cluster, round % NODES);
        }
        cluster.happens(Happening::OwnerChanges);
    }
    cluster.check().unwrap();
    assert!(cluster.accepted.len() > 50, "{}", cluster.accepted.len());
}
