//! More requests for other nodes than a node has room for.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_cluster::actor::{AnswerSink, ReplyTo};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::FORWARDED_MAX;
use tokio::sync::Notify;

use super::world::*;
use crate::actor::world::*;

/// What became of many requests.
#[derive(Default)]
struct Count {
    successes: usize,
    codes: BTreeMap<&'static str, usize>,
}

#[derive(Default)]
struct Counting {
    count: Mutex<Count>,
    changed: Notify,
}

impl AnswerSink for Counting {
    fn answer(&self, _token: u64, outcome: Outcome) {
        {
            let mut count = self.count.lock();
            match outcome {
                Outcome::Success(_) => count.successes += 1,
                Outcome::Failure(failure) => {
                    *count.codes.entry(failure.code.name()).or_default() += 1;
                }
            }
        }
        self.changed.notify_one();
    }
}

impl Counting {
    fn all(&self) -> usize {
        let count = self.count.lock();
        count.successes + count.codes.values().sum::<usize>()
    }

    fn of(&self, code: ErrorCode) -> usize {
        let count = self.count.lock();
        count.codes.get(code.name()).copied().unwrap_or(0)
    }

    fn successes(&self) -> usize {
        self.count.lock().successes
    }

    async fn reached(&self, answers: usize) {
        while self.all() < answers {
            self.changed.notified().await;
        }
    }
}

/// Asks until there is no room any more. Answers how often.
fn fill(node: &Node, counting: &Arc<Counting>) -> usize {
    let mut asked = 0;
    while counting.of(ErrorCode::Overloaded) == 0 {
        let sink = Arc::clone(counting) as Arc<dyn AnswerSink>;
        let request = query(&format!("{}", asked % 64), "sum");
        node.host.query(request, ReplyTo::new(sink, 0));
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_peers_are_silent_refuses_what_it_has_no_room_for_and_recovers() {
    let mut cluster = Cluster::new().await;
    let mut silent = cluster.scripted("silent");
    let (owner, other) = (cluster.node("owner").await, cluster.node("other").await);
    cluster.give_all_to("silent");
    cluster.tell(&other);
    // On a machine that is very busy the first may have been given up before the last is asked.
    let counting = Arc::<Counting>::default();
    let asked = fill(&other, &counting);
    assert!(asked > FORWARDED_MAX);
    let stream = silent.stream().await;
    // In time all of them are given up, and none of them is forgotten.
    soon(counting.reached(asked)).await;
    assert_eq!((counting.all(), counting.successes()), (asked, 0));
    // Then all of the room is there again.
    let counting = Arc::<Counting>::default();
    let asked = fill(&other, &counting);
    assert!(asked > FORWARDED_MAX);
    // As it is for an owner that answers.
    cluster.give_all_to("owner");
    cluster.take(&owner).await;
    cluster.tell(&owner);
    cluster.tell(&other);
    drop((stream, silent));
    soon(counting.reached(asked)).await;
    assert_eq!(counting.all(), asked);
    assert_eq!(soon(add_surely(&other.host, "a", 1)).await, 1);
}
