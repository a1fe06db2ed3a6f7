//! The actor of a pool: gives what waits in its queue to runners, and looks for places on other nodes for
//! what finds none here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use selvedge_cluster::Clock;
use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{PROCESSING_LENT_MAX, PROCESSING_SOUGHT_MAX};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Message, Pool, Queue};
use crate::metrics;
use crate::processing::breaker::{BreakerState, Verdict};
use crate::processing::budget::Budget;
use crate::processing::elsewhere::{Granted, Guest};
use crate::processing::pools::PoolName;
use crate::processing::runner::{self, Job, Runner};
use crate::processing::scheduler::{BreakerChange, Next, Order, Scheduler, Ticket};

/// Crashes of runners that a pool bears in a short time. Panics of handlers do not count, the runner
/// contains them: what does is a defect of this crate.
const RUNNER_CRASHES_MAX: usize = 16;

/// The pause after a search that has found no place: nodes that are full are not asked all the time.
const SEEK_PAUSE: Duration = Duration::from_millis(100);

/// The actor of a pool, supervised by `processing`; its runners are its children.
pub(in crate::processing) struct PoolActor;

pub(in crate::processing) struct Arguments {
    pub(in crate::processing) name: PoolName,
    pub(in crate::processing) pool: Arc<Pool>,
    pub(in crate::processing) clock: Clock,
}

pub(in crate::processing) struct State {
    name: PoolName,
    pool: Arc<Pool>,
    clock: Clock,
    queue: Arc<Queue>,
    idle: Vec<ActorRef<Job>>,
    /// What the runners run that are not idle. Without a ticket, on another node.
    busy: HashMap<ActorId, Option<Ticket>>,
    /// Of those, the ones on this node.
    here: usize,
    /// Searches for places on other nodes.
    sought: HashMap<Tenant, usize>,
    /// None begins before.
    seek_after: Option<Instant>,
    /// Idle or not.
    runners: usize,
    /// When it looks at the queue again by itself.
    alarm: Option<Alarm>,
    budget: Budget,
}

struct Alarm {
    at: Instant,
    timer: AbortHandle,
}

impl Actor for PoolActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let pool = arguments.pool;
        let queue = Arc::new(Mutex::new(Scheduler::new(pool.limits())));
        *pool.queue.write() = Arc::downgrade(&queue);
        Ok(State {
            name: arguments.name,
            pool,
            clock: arguments.clock,
            queue,
            idle: Vec::new(),
            busy: HashMap::new(),
            here: 0,
            sought: HashMap::new(),
            seek_after: None,
            runners: 0,
            alarm: None,
            budget: Budget::new(RUNNER_CRASHES_MAX),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Offer(ready, order) => {
                state.queue.lock().push(order, Job::Own(ready));
            }
            Message::Guest {
                guest,
                order,
                waits,
            } => state.take_guest(&myself, guest, order, waits).await?,
            Message::Sought { tenant, granted } => {
                state.found(&myself, &tenant, granted).await?;
            }
            Message::Free { runner, verdict } => {
                state.ended(runner.get_id(), verdict);
                state.idle.push(runner);
            }
            Message::Limits(tenant) => {
                let limits = state.pool.limits_of(&tenant);
                state.queue.lock().limit(&tenant, limits);
            }
            Message::AllLimits => {
                let mut queue = state.queue.lock();
                queue.limit_pool(state.pool.limits());
                for tenant in state.pool.tenants() {
                    queue.limit(&tenant, state.pool.limits_of(&tenant));
                }
            }
            Message::Look => state.pool.is_looked_at.store(false, Ordering::Release),
            #[cfg(test)]
            Message::Panic => panic!("a defect on purpose"),
        }
        state.start(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let runner = match event {
            SupervisionEvent::ActorFailed(runner, error) => {
                tracing::error!(%error, "step runner crashed");
                runner
            }
            SupervisionEvent::ActorTerminated(runner, _, _) => runner,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        state.ended(runner.get_id(), Verdict::Neutral);
        // Only a crash ends a runner, and never an idle one. Its operation is looked for again.
        state.runners -= 1;
        state.budget.spend(state.clock.monotonic())?;
        state.start(&myself).await
    }
}

impl State {
    /// Gives operations that wait to runners that do not, as far as the limits let them.
    async fn start(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        let now = self.clock.monotonic();
        self.expire(now);
        let wait = loop {
            let next = {
                let mut queue = self.queue.lock();
                match self.pool.is_full(self.here) {
                    true => queue.next_over(),
                    false => queue.next(now),
                }
            };
            match next {
                Next::Start(job, ticket) => self.give(myself, job, Some(ticket)).await?,
                Next::Wait(until) => break until,
            }
        };
        let seek = self.seek(myself, now);
        let expiry = self.queue.lock().next_expiry();
        self.set_alarm(myself, [wait, expiry, seek].into_iter().flatten().min());
        let changes = self.queue.lock().take_changes();
        for change in changes {
            self.tell_change(&change);
        }
        Ok(())
    }

    /// Gives something to a runner that has nothing to do.
    async fn give(
        &mut self,
        myself: &ActorRef<Message>,
        job: Job,
        ticket: Option<Ticket>,
    ) -> Result<(), ActorProcessingErr> {
        let runner = match self.idle.pop() {
            Some(runner) => runner,
            None => {
                let pool = myself.clone();
                let spawned = Actor::spawn_linked(None, Runner, pool, myself.get_cell()).await;
                self.runners += 1;
                spawned?.0
            }
        };
        let id = runner.get_id();
        self.here += usize::from(ticket.is_some());
        self.busy.insert(id, ticket);
        if runner.send_message(job).is_err() {
            // It is gone: the offer is over, and the operation looked for again.
            self.ended(id, Verdict::Neutral);
        }
        Ok(())
    }

    /// A runner is not busy any more.
    fn ended(&mut self, runner: ActorId, verdict: Verdict) {
        if let Some(Some(ticket)) = self.busy.remove(&runner) {
            self.here -= 1;
            let now = self.clock.monotonic();
            self.queue.lock().ended(now, ticket, verdict);
        }
    }

    /// Another node asks for a place: it has one at once, waits for one, or hears that there is none.
    async fn take_guest(
        &mut self,
        myself: &ActorRef<Message>,
        guest: Box<Guest>,
        order: Order,
        waits: bool,
    ) -> Result<(), ActorProcessingErr> {
        let now = self.clock.monotonic();
        let begun = match self.pool.is_full(self.here) {
            true => None,
            false => self.queue.lock().begin(now, &order.tenant),
        };
        if let Some(ticket) = begun {
            return self.give(myself, Job::Guest(guest), Some(ticket)).await;
        }
        let mut queue = self.queue.lock();
        if waits && queue.would_wait_for_a_place(now, &order.tenant) {
            queue.push(order, Job::Guest(guest));
        } else {
            drop(queue);
            guest.turn_away();
        }
        Ok(())
    }

    /// Looks for places on other nodes for what has none here. Answers when to look again, if not now.
    fn seek(&mut self, myself: &ActorRef<Message>, now: Instant) -> Option<Instant> {
        let elsewhere = self.pool.elsewhere.get()?;
        let lent = self.busy.len() - self.here;
        let sought: usize = self.sought.values().sum();
        let max = PROCESSING_SOUGHT_MAX
            .saturating_sub(sought)
            .min(PROCESSING_LENT_MAX.saturating_sub(lent + sought));
        if max == 0 {
            return None;
        }
        let here = self.pool.here(self.here);
        let wanting = self.queue.lock().wanting(now, here, &self.sought, max);
        // Who comes later tells by a look.
        if wanting.is_empty() || !elsewhere.has_others(&self.name) {
            return None;
        }
        if let Some(after) = self.seek_after.filter(|after| *after > now) {
            return Some(after);
        }
        for (tenant, priority) in wanting {
            *self.sought.entry(tenant.clone()).or_default() += 1;
            let (elsewhere, name) = (elsewhere.clone(), self.name.clone());
            let myself = myself.clone();
            tokio::spawn(async move {
                let granted = elsewhere.seek(&name, &tenant, priority).await;
                let granted = granted.map(Box::new);
                // With a pool that has crashed its searches are over.
                drop(myself.send_message(Message::Sought { tenant, granted }));
            });
        }
        None
    }

    /// A search has ended: with a place, for what waits next.
    async fn found(
        &mut self,
        myself: &ActorRef<Message>,
        tenant: &Tenant,
        granted: Option<Box<Granted>>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(sought) = self.sought.get_mut(tenant) {
            *sought -= 1;
            if *sought == 0 {
                self.sought.remove(tenant);
            }
        }
        let Some(granted) = granted else {
            self.seek_after = Some(self.clock.monotonic() + SEEK_PAUSE);
            return Ok(());
        };
        self.seek_after = None;
        let lent = self.queue.lock().lend(tenant);
        match lent {
            Some(Job::Own(ready)) => self.give(myself, Job::Lent(ready, granted), None).await,
            // It has found its place here meanwhile.
            Some(Job::Lent(..) | Job::Guest(_)) | None => Ok(()),
        }
    }

    /// Fails what has waited too long. Not by a runner: all of them may be busy.
    fn expire(&self, now: Instant) {
        let expired = self.queue.lock().expired(now);
        for job in expired {
            let Job::Own(ready) = job else {
                continue;
            };
            metrics::queue_timed_out(&self.pool.name);
            let policy = self.pool.policy_for(&ready.held.actor.tenant);
            // As many at a time as the queue has places: each keeps its own to the end.
            tokio::spawn(runner::expire(*ready, policy));
        }
    }

    /// Looks at the queue again at this time, unless it does so earlier.
    fn set_alarm(&mut self, myself: &ActorRef<Message>, at: Option<Instant>) {
        let now = self.clock.monotonic();
        let is_set = self
            .alarm
            .as_ref()
            .is_some_and(|alarm| alarm.at > now && at.is_none_or(|at| alarm.at <= at));
        if is_set {
            return;
        }
        if let Some(alarm) = self.alarm.take() {
            alarm.timer.abort();
        }
        self.alarm = at.map(|at| {
            let timer = myself.send_after(at.saturating_duration_since(now), || Message::Look);
            let timer = timer.abort_handle();
            Alarm { at, timer }
        });
    }

    fn tell_change(&self, change: &BreakerChange) {
        let BreakerChange { tenant, state } = change;
        let pool = &self.pool.name;
        let tenant = tenant.as_ref().map(Tenant::as_str);
        metrics::breaker_changed(pool, *state);
        match state {
            BreakerState::Open => tracing::warn!(%pool, tenant, "breaker opened"),
            BreakerState::HalfOpen => tracing::info!(%pool, tenant, "breaker half open"),
            BreakerState::Closed => tracing::info!(%pool, tenant, "breaker closed"),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            alarm.timer.abort();
        }
    }
}
