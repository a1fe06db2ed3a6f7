//! The query `wait`: answered when the operation is final, or after a while with what it is then.
//!
//! [`super::Operations`] parks the query here first and asks the operation second, so that an operation
//! that ends in between is not missed; the kind wakes whoever is parked once a final status is committed.
//! Nothing here is durable: a client whose query is lost asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use selvedge_cluster::actor::{AnswerSink, Host, ReplyTo, ScopedAddress};
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::Instant;

use crate::operation::service::get;

/// How long a query may wait before it is answered with what there is: below the 60 s after which much
/// of the internet's equipment forgets a flow that says nothing.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How often queries are looked at that have waited long enough.
const SWEEP: Duration = Duration::from_secs(5);

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
}

/// One parked query. Whoever takes the reply answers it.
#[derive(Debug)]
struct Query {
    reply: Mutex<Option<ReplyTo>>,
    until: Instant,
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
        if self.0.count.load(Ordering::Relaxed) >= WAITING_MAX {
            let message = "too many queries are waiting; ask again in a moment";
            return reply.answer(Outcome::Failure(Failure::new(
                ErrorCode::Overloaded,
                message,
            )));
        }
        let latest = Instant::now() + WAIT_MAX;
        let query = Arc::new(Query {
            reply: Mutex::new(Some(reply)),
            until: deadline.map_or(latest, |deadline| deadline.min(latest)),
        });
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0
            .queries
            .entry(actor.clone())
            .or_default()
            .push(Arc::clone(&query));
        let first_look = Arc::new(FirstLook {
            waiters: self.clone(),
            actor: actor.clone(),
            query,
        });
        host.query(
            get(actor, FINAL.to_owned(), Bytes::new()),
            ReplyTo::new(first_look, 0),
        );
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

    /// Answers what has waited long enough, for as long as the host lives.
    pub(crate) async fn run(self, host: Host) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            sweep.tick().await;
            let now = Instant::now();
            let mut due = Vec::new();
            self.0.queries.retain(|actor, queries| {
                let before = queries.len();
                queries.retain(|query| {
                    let mut reply = query.reply.lock();
                    if reply.is_some() && query.until <= now {
                        due.extend(reply.take().map(|reply| (actor.clone(), reply)));
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

/// Takes the operation's first answer: unless it goes on, that is the answer to the client.
struct FirstLook {
    waiters: Waiters,
    actor: ScopedAddress,
    query: Arc<Query>,
}

impl AnswerSink for FirstLook {
    fn answer(&self, _token: u64, outcome: Outcome) {
        if matches!(&outcome, Outcome::Success(success) if success.body.is_empty()) {
            return;
        }
        let reply = self.query.reply.lock().take();
        if let Some(reply) = reply {
            self.waiters.forget(&self.actor, &self.query);
            reply.answer(outcome);
        }
    }
}
