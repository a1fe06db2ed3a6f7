//! The query `wait`: answered when the operation is final, or after a while with what it is then.
//!
//! [`super::Operations`] parks the query here first and asks the operation second, so that an operation
//! that ends in between is not missed; the kind wakes whoever is parked once a final status is committed.
//! Where another node owns the operation, that one parks the query as well, for some seconds at a time
//! ([`AWAIT`]): so nothing hangs on an owner that is lost or changes. Nothing here is durable: a client whose
//! query is lost asks again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use selvedge_cluster::actor::{AnswerSink, Host, QueryRequest, ReplyTo, ScopedAddress};
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use crate::operation::kind::is_operation;
use crate::operation::service::get;

/// How long a query may wait before it is answered with what there is: below the 60 s after which much
/// of the internet's equipment forgets a flow that says nothing.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How often queries are looked at that have waited long enough.
const SWEEP: Duration = Duration::from_secs(5);

/// How long a query of another node waits: one forwarded query every three seconds and wait is what waiting
/// elsewhere costs, and it stays well below the time that requests between nodes have.
const ROUND: Duration = Duration::from_secs(3);

/// How long that node waits for the answer.
const ROUND_MAX: Duration = Duration::from_secs(4);

/// How late a round ends, and how soon one that failed is followed by another.
const TICK: Duration = Duration::from_millis(250);

/// Times that another owner is looked for before a client hears that there is none: a failover.
const FAILURES_MAX: u32 = 12;

/// Queries waiting on a node. At about 150 bytes each no more than 150 MB.
const WAITING_MAX: usize = 1_000_000;

/// The parked queries of a node, by operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waiters(Arc<Parked>);

#[derive(Debug, Default)]
struct Parked {
    queries: DashMap<ScopedAddress, Vec<Arc<Query>>>,
    /// In all, those included that are answered but not swept yet.
    count: AtomicUsize,
    /// Those whose operations are to be asked.
    asked: Mutex<Vec<Waiting>>,
    asking: Notify,
    /// The same, with the next tick.
    later: Mutex<Vec<Waiting>>,
    /// Those of other nodes, as they came.
    rounds: Mutex<VecDeque<Waiting>>,
    /// Operations may have other owners.
    moved: Notify,
}

type Waiting = (ScopedAddress, Arc<Query>);

/// One parked query. Whoever takes the reply answers it.
#[derive(Debug)]
struct Query {
    reply: Mutex<Option<ReplyTo>>,
    until: Instant,
    of: Asker,
    /// The owner of the operation, another node, has been asked.
    is_asking: AtomicBool,
    /// Times in a row that it could not be asked.
    failures: AtomicU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Client,
    Node,
}

impl Waiters {
    /// Parks a query, then asks the operation whether it is final already.
    pub(super) fn wait(
        &self,
        host: &Host,
        actor: ScopedAddress,
        deadline: Option<Instant>,
        reply: ReplyTo,
    ) {
        let latest = Instant::now() + WAIT_MAX;
        let until = deadline.map_or(latest, |deadline| deadline.min(latest));
        if let Some(query) = self.park(&actor, until, Asker::Client, reply) {
            self.ask(host, actor, query);
        }
    }

    /// Takes the query of another node that waits for an operation, or hands back what is none.
    pub(crate) fn take(
        &self,
        request: QueryRequest,
        reply: ReplyTo,
    ) -> Option<(QueryRequest, ReplyTo)> {
        if request.name != AWAIT || !is_operation(&request.actor.address) {
            return Some((request, reply));
        }
        let until = Instant::now() + ROUND;
        if let Some(query) = self.park(&request.actor, until, Asker::Node, reply) {
            let waiting = (request.actor, query);
            self.0.rounds.lock().push_back(waiting.clone());
            self.0.asked.lock().push(waiting);
            self.0.asking.notify_one();
        }
        None
    }

    /// The operation is final: answers each query that waits for it with the operation as it is.
    pub(super) fn wake(&self, actor: &ScopedAddress, operation: impl FnOnce() -> Success) {
        if self.0.queries.is_empty() {
            return;
        }
        let Some((_, queries)) = self.0.queries.remove(actor) else {
            return;
        };
        self.0.count.fetch_sub(queries.len(), Ordering::Relaxed);
        let answer = operation();
        for query in queries {
            if let Some(reply) = query.reply.lock().take() {
                reply.answer(Outcome::Success(answer.clone()));
            }
        }
    }

    /// Operations may have other owners than before.
    pub(crate) fn look(&self) {
        self.0.moved.notify_one();
    }

    /// Asks for those that wait and answers what has waited long enough, for as long as the host lives.
    pub(crate) async fn run(self, host: Host) {
        let mut sweep = tokio::time::interval(SWEEP);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.0.asking.notified() => {}
                _ = tick.tick(), if self.has_rounds() => {
                    self.end_rounds(Instant::now());
                    let later = std::mem::take(&mut *self.0.later.lock());
                    self.0.asked.lock().extend(later);
                }
                () = self.0.moved.notified() => self.sweep(&host, Instant::now()),
                _ = sweep.tick() => self.sweep(&host, Instant::now()),
            }
            let asked = std::mem::take(&mut *self.0.asked.lock());
            for (actor, query) in asked {
                self.ask(&host, actor, query);
            }
        }
    }

    /// Whether anything has to be done with the next tick.
    fn has_rounds(&self) -> bool {
        !self.0.rounds.lock().is_empty() || !self.0.later.lock().is_empty()
    }

    fn park(
        &self,
        actor: &ScopedAddress,
        until: Instant,
        of: Asker,
        reply: ReplyTo,
    ) -> Option<Arc<Query>> {
        if self.0.count.load(Ordering::Relaxed) >= WAITING_MAX {
            let message = "too many queries are waiting; ask again in a moment";
            reply.answer(Outcome::Failure(Failure::new(
                ErrorCode::Overloaded,
                message,
            )));
            return None;
        }
        let query = Arc::new(Query {
            reply: Mutex::new(Some(reply)),
            until,
            of,
            is_asking: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        });
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0
            .queries
            .entry(actor.clone())
            .or_default()
            .push(Arc::clone(&query));
        Some(query)
    }

    /// Asks the operation, wherever it is: here whether it is final, elsewhere to say so once it is.
    fn ask(&self, host: &Host, actor: ScopedAddress, query: Arc<Query>) {
        if query.reply.lock().is_none() {
            return;
        }
        let is_here = host.owns(&actor);
        if !is_here && query.of == Asker::Node {
            // Nothing is forwarded twice: the node that asked finds out who owns it.
            return self.end_round(&actor, &query);
        }
        if !is_here && query.is_asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let name = if is_here { FINAL } else { AWAIT };
        let mut request = get(actor.clone(), name.to_owned(), Bytes::new());
        if !is_here {
            request.deadline = Some(Instant::now() + ROUND_MAX);
        }
        let look = Look {
            waiters: self.clone(),
            actor,
            query,
            is_here,
        };
        host.query(request, ReplyTo::new(Arc::new(look), 0));
    }

    /// Answers what has waited long enough, and asks other nodes for what was here before.
    fn sweep(&self, host: &Host, now: Instant) {
        let mut due = Vec::new();
        let mut left = Vec::new();
        self.0.queries.retain(|actor, queries| {
            let before = queries.len();
            let is_here = host.owns(actor);
            queries.retain(|query| {
                let mut reply = query.reply.lock();
                if reply.is_some() && query.until <= now && query.of == Asker::Client {
                    due.extend(reply.take().map(|reply| (actor.clone(), reply)));
                } else if reply.is_some() && !is_here {
                    left.push((actor.clone(), Arc::clone(query)));
                }
                reply.is_some()
            });
            self.0
                .count
                .fetch_sub(before - queries.len(), Ordering::Relaxed);
            !queries.is_empty()
        });
        for (actor, reply) in due {
            host.query(get(actor, "get".to_owned(), Bytes::new()), reply);
        }
        self.0.asked.lock().extend(left);
    }

    /// Says to other nodes whose queries have waited for a round that their operations go on.
    fn end_rounds(&self, now: Instant) {
        let mut rounds = self.0.rounds.lock();
        let is_due = |(_, query): &Waiting| query.until <= now;
        let count = rounds.iter().take_while(|round| is_due(round)).count();
        let due: Vec<_> = rounds.drain(..count).collect();
        drop(rounds);
        for (actor, query) in due {
            self.end_round(&actor, &query);
        }
    }

    fn end_round(&self, actor: &ScopedAddress, query: &Arc<Query>) {
        let reply = query.reply.lock().take();
        if let Some(reply) = reply {
            self.forget(actor, query);
            reply.answer(Outcome::Success(Success {
                body: Bytes::new(),
                seq: 0,
                version: 0,
            }));
        }
    }

    /// Takes one query back that was answered otherwise.
    fn forget(&self, actor: &ScopedAddress, query: &Arc<Query>) {
        let mut is_empty = false;
        if let Some(mut queries) = self.0.queries.get_mut(actor) {
            let before = queries.len();
            queries.retain(|parked| !Arc::ptr_eq(parked, query));
            self.0
                .count
                .fetch_sub(before - queries.len(), Ordering::Relaxed);
            is_empty = queries.is_empty();
        }
        if is_empty {
            self.0
                .queries
                .remove_if(actor, |_, queries| queries.is_empty());
        }
    }
}

/// The query that an operation answers with nothing while it goes on. Never comes from clients.
pub(super) const FINAL: &str = "final";

/// The same from another node: its owner waits for some seconds before it answers so.
pub(super) const AWAIT: &str = "await";

/// Takes the operation's answer: unless it goes on, that is the answer to whoever asks.
struct Look {
    waiters: Waiters,
    actor: ScopedAddress,
    query: Arc<Query>,
    is_here: bool,
}

impl AnswerSink for Look {
    fn answer(&self, _token: u64, outcome: Outcome) {
        self.query.is_asking.store(false, Ordering::Release);
        let parked = &self.waiters.0;
        let waiting = || (self.actor.clone(), Arc::clone(&self.query));
        match &outcome {
            Outcome::Success(success) if success.body.is_empty() => {
                if !self.is_here {
                    self.query.failures.store(0, Ordering::Relaxed);
                    parked.asked.lock().push(waiting());
                    parked.asking.notify_one();
                }
                return;
            }
            // Its owner is gone, or not there yet.
            Outcome::Failure(failure)
                if !self.is_here
                    && failure.code == ErrorCode::Unavailable
                    && self.query.failures.fetch_add(1, Ordering::Relaxed) < FAILURES_MAX =>
            {
                parked.later.lock().push(waiting());
                parked.asking.notify_one();
                return;
            }
            Outcome::Success(_) | Outcome::Failure(_) => {}
        }
        let reply = self.query.reply.lock().take();
        if let Some(reply) = reply {
            self.waiters.forget(&self.actor, &self.query);
            reply.answer(outcome);
        }
    }
}
