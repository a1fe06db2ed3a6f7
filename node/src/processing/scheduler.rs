//! What of a pool's queue starts next: a pure machine, without clock, tasks or channels.
//!
//! Each tenant has a queue of its own, by priority and then by arrival; tenants take turns, one start
//! each. What a limit holds back stays where it is while others pass: the pool's concurrency and rate, a
//! tenant's own share of both, and a circuit breaker. What only finds no place here may be lent to another
//! node, which holds it to its own limits. The pool's actor is the one that changes it; views read how it
//! stands.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use selvedge_protocol::Tenant;
use tokio::time::Instant;

use crate::processing::breaker::{BreakerState, Verdict};
use crate::processing::gates::{Gates, Hold, Limits, Passes};

/// What waits in a queue.
pub(super) trait Entry {
    /// Nothing is left to run: limits do not hold it back.
    fn is_void(&self) -> bool;
    /// Whether it came from another node, which is lent nothing further.
    fn is_guest(&self) -> bool;
}

/// Whether anything may run on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Open,
    Closed,
}

/// Where an entry belongs.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) tenant: Tenant,
    /// Higher first.
    pub(super) priority: i32,
    /// Runnable since then.
    pub(super) since: Instant,
    /// Waits as long as it takes.
    pub(super) is_patient: bool,
    /// Only its end is to be noted: it is next, and limits other than the places do not hold it back.
    pub(super) is_ending: bool,
}

/// The right to run; given back with [`Scheduler::ended`].
#[derive(Debug)]
pub(super) struct Ticket {
    tenant: Tenant,
    passes: Passes,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Next<T> {
    Start(T, Ticket),
    /// Nothing, until somebody comes or ends, or until this time.
    Wait(Option<Instant>),
}

/// A change of a breaker's state: the pool's, or that of one tenant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BreakerChange {
    pub(super) tenant: Option<Tenant>,
    pub(super) state: BreakerState,
}

/// How an entry stands that waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Among those of its tenant, from 1.
    pub(super) position: usize,
    /// `None`: its turn.
    pub(super) hold: Option<Hold>,
}

#[derive(Debug)]
pub(super) struct Scheduler<T> {
    pool: Gates,
    /// Tenants with limits of their own.
    shares: HashMap<Tenant, Gates>,
    queues: HashMap<Tenant, Queue<T>>,
    /// Tenants that wait, the next one first.
    turns: VecDeque<Tenant>,
    ending: VecDeque<(Tenant, T)>,
    expiries: BTreeMap<(Instant, u64), (Tenant, Place)>,
    running: usize,
    arrivals: u64,
    changes: Vec<BreakerChange>,
    generations: u64,
}

/// By priority, then by arrival.
type Place = (Reverse<i32>, u64);

#[derive(Debug)]
struct Queue<T> {
    waiting: BTreeMap<Place, Waiting<T>>,
    /// Those that wait and came from other nodes.
    guests: usize,
    running: usize,
    /// Whether the tenant is among `turns`.
    is_listed: bool,
}

#[derive(Debug)]
struct Waiting<T> {
    entry: T,
    since: Instant,
    is_patient: bool,
    expires: Option<Instant>,
}

impl<T> Waiting<T> {
    /// When it will have waited for so long.
    fn expiry(&self, timeout: Option<Duration>) -> Option<Instant> {
        let timeout = timeout.filter(|_| !self.is_patient)?;
        self.since.checked_add(timeout)
    }
}

impl<T: Entry> Queue<T> {
    fn remove(&mut self, place: &Place) -> Option<Waiting<T>> {
        let waiting = self.waiting.remove(place)?;
        self.guests -= usize::from(waiting.entry.is_guest());
        Some(waiting)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            guests: 0,
            running: 0,
            is_listed: false,
        }
    }
}

impl<T: Entry> Scheduler<T> {
    /// An empty one under the limits of its pool.
    pub(super) fn new(pool: Limits) -> Self {
        Self {
            pool: Gates::new(pool, 0),
            shares: HashMap::new(),
            queues: HashMap::new(),
            turns: VecDeque::new(),
            ending: VecDeque::new(),
            expiries: BTreeMap::new(),
            running: 0,
            arrivals: 0,
            changes: Vec::new(),
            generations: 0,
        }
    }

    /// Changes the limits of the pool.
    pub(super) fn limit_pool(&mut self, limits: Limits) {
        self.generations += 1 << 32;
        self.pool.set(limits, self.generations);
    }

    /// The limits of one tenant on top of the pool's; `None`: it has none of its own any more.
    pub(super) fn limit(&mut self, tenant: &Tenant, limits: Option<Limits>) {
        // A number that no breaker of this scheduler reaches by changing its state.
        self.generations += 1 << 32;
        match (limits, self.shares.get_mut(tenant)) {
            (None, _) => {
                self.shares.remove(tenant);
            }
            (Some(limits), Some(gates)) => gates.set(limits, self.generations),
            (Some(limits), None) => {
                let gates = Gates::new(limits, self.generations);
                self.shares.insert(tenant.clone(), gates);
            }
        }
        let timeout = self.queue_timeout(tenant);
        if let Some(queue) = self.queues.get_mut(tenant) {
            for (place, waiting) in &mut queue.waiting {
                if let Some(expires) = waiting.expires.take() {
                    self.expiries.remove(&(expires, place.1));
                }
                waiting.expires = waiting.expiry(timeout);
                if let Some(expires) = waiting.expires {
                    let key = (expires, place.1);
                    self.expiries.insert(key, (tenant.clone(), *place));
                }
            }
        }
    }

    /// Takes an entry in.
    pub(super) fn push(&mut self, order: Order, entry: T) {
        let Order {
            tenant,
            priority,
            since,
            is_patient,
            is_ending,
        } = order;
        if is_ending {
            return self.ending.push_back((tenant, entry));
        }
        self.arrivals += 1;
        let place = (Reverse(priority), self.arrivals);
        let mut waiting = Waiting {
            entry,
            since,
            is_patient,
            expires: None,
        };
        waiting.expires = waiting.expiry(self.queue_timeout(&tenant));
        if let Some(expires) = waiting.expires {
            let key = (expires, self.arrivals);
            self.expiries.insert(key, (tenant.clone(), place));
        }
        let queue = self.queues.entry(tenant.clone()).or_default();
        queue.guests += usize::from(waiting.entry.is_guest());
        queue.waiting.insert(place, waiting);
        if !queue.is_listed {
            queue.is_listed = true;
            self.turns.push_back(tenant);
        }
    }

    /// Takes out what has waited too long by now. Asked before [`Self::next`].
    pub(super) fn expired(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(first) = self.expiries.first_entry()
            && first.key().0 <= now
        {
            let (tenant, place) = first.remove();
            let queue = self.queues.get_mut(&tenant);
            let waiting = queue.and_then(|queue| queue.remove(&place));
            expired.extend(waiting.map(|waiting| waiting.entry));
        }
        expired
    }

    /// When the next of those that wait has waited too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries
            .first_key_value()
            .map(|((expires, _), _)| *expires)
    }

    /// What starts now. Looks at each tenant that waits at most once.
    pub(super) fn next(&mut self, now: Instant) -> Next<T> {
        if !self.pool.has_place(self.running) {
            return Next::Wait(None);
        }
        if let Some((tenant, entry)) = self.ending.pop_front() {
            return self.started(tenant, entry, Passes::default());
        }
        let mut until: Option<Instant> = None;
        for _ in 0..self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else {
                break;
            };
            let Some(is_void) = self.first_of(&tenant).map(Entry::is_void) else {
                self.unlist(&tenant);
                continue;
            };
            let passes = if is_void {
                Passes::default()
            } else if let Some(hold) = self.hold(now, &tenant) {
                until = [until, hold.until()].into_iter().flatten().min();
                self.turns.push_back(tenant);
                continue;
            } else {
                self.pass(now, &tenant)
            };
            if let Some(entry) = self.pop(&tenant) {
                return self.started(tenant, entry, passes);
            }
        }
        Next::Wait(until)
    }

    /// What starts though nobody can run anything: what only has to end.
    pub(super) fn next_over(&mut self) -> Next<T> {
        if let Some((tenant, entry)) = self.ending.pop_front() {
            return self.started(tenant, entry, Passes::default());
        }
        for _ in 0..self.turns.len() {
            let Some(tenant) = self.turns.pop_front() else {
                break;
            };
            match self.first_of(&tenant).map(Entry::is_void) {
                None => self.unlist(&tenant),
                Some(false) => self.turns.push_back(tenant),
                Some(true) => {
                    if let Some(entry) = self.pop(&tenant) {
                        return self.started(tenant, entry, Passes::default());
                    }
                }
            }
        }
        Next::Wait(None)
    }

    /// The right to run for one that does not queue, if nothing holds it back.
    pub(super) fn begin(&mut self, now: Instant, tenant: &Tenant) -> Option<Ticket> {
        if !self.pool.has_place(self.running) || self.hold(now, tenant).is_some() {
            return None;
        }
        let passes = self.pass(now, tenant);
        Some(self.count(tenant.clone(), passes))
    }

    /// Whether one of a tenant that waits here would wait for a place, and for nothing else.
    pub(super) fn would_wait_for_a_place(&self, now: Instant, tenant: &Tenant) -> bool {
        let hold = self.hold(now, tenant);
        matches!(hold, None | Some(Hold::Concurrency { .. }))
    }

    /// Which tenants have something that only lacks a place here, each with the priority of its first: at most
    /// `max` in all, in turn, without those for which a place elsewhere is `sought` already.
    pub(super) fn wanting(
        &self,
        now: Instant,
        here: Here,
        sought: &HashMap<Tenant, usize>,
        max: usize,
    ) -> Vec<(Tenant, i32)> {
        let is_full = here == Here::Closed || !self.pool.has_place(self.running);
        let mut wanting = Vec::new();
        for tenant in self.turns.iter().take(TURNS_LOOKED_AT) {
            let Some(queue) = self.queues.get(tenant) else {
                continue;
            };
            let lacks_a_place = match self.hold(now, tenant) {
                None => is_full,
                Some(Hold::Concurrency { .. }) => true,
                // These hold here what another node would hold as well; a node that runs nothing has none.
                Some(Hold::Rate { .. } | Hold::Breaker { .. }) => here == Here::Closed,
            };
            let own = queue.waiting.len() - queue.guests;
            let left = own.saturating_sub(sought.get(tenant).copied().unwrap_or(0));
            if let Some(((Reverse(priority), _), _)) = queue.waiting.first_key_value()
                && lacks_a_place
                && left > 0
            {
                wanting.push((tenant, *priority, left));
            }
        }
        let mut turns = Vec::new();
        while turns.len() < max && !wanting.is_empty() {
            wanting.retain_mut(|(tenant, priority, left)| {
                if turns.len() < max {
                    turns.push(((*tenant).clone(), *priority));
                    *left -= 1;
                }
                *left > 0
            });
        }
        turns
    }

    /// Takes out the first of a tenant that may run on another node. It counts nowhere here.
    pub(super) fn lend(&mut self, tenant: &Tenant) -> Option<T> {
        let queue = self.queues.get_mut(tenant)?;
        let mut waiting = queue.waiting.iter();
        let (place, _) = waiting.find(|(_, waiting)| !waiting.entry.is_guest())?;
        let place = *place;
        let lent = queue.remove(&place)?;
        if let Some(expires) = lent.expires {
            self.expiries.remove(&(expires, place.1));
        }
        // It has had its turn.
        if let Some(at) = self.turns.iter().position(|one| one == tenant)
            && let Some(tenant) = self.turns.remove(at)
        {
            self.turns.push_back(tenant);
        }
        Some(lent.entry)
    }

    /// How many run, and how many wait.
    pub(super) fn load(&self) -> (usize, usize) {
        let waiting = self.queues.values().map(|queue| queue.waiting.len());
        (self.running, waiting.sum::<usize>() + self.ending.len())
    }

    /// What was started has ended.
    pub(super) fn ended(&mut self, now: Instant, ticket: Ticket, verdict: Verdict) {
        let Ticket { tenant, passes } = ticket;
        assert!(self.running > 0, "{tenant} ends what nobody started");
        self.running -= 1;
        let Passes { own, shared } = passes;
        if let Some(pass) = shared
            && let Some(state) = self.pool.end(now, pass, verdict)
        {
            self.changes.push(BreakerChange {
                tenant: None,
                state,
            });
        }
        if let Some(pass) = own
            && let Some(share) = self.shares.get_mut(&tenant)
            && let Some(state) = share.end(now, pass, verdict)
        {
            let tenant = Some(tenant.clone());
            self.changes.push(BreakerChange { tenant, state });
        }
        if let Some(queue) = self.queues.get_mut(&tenant) {
            queue.running = queue.running.saturating_sub(1);
            self.forget_idle(&tenant);
        }
    }

    /// The changes of breakers since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<BreakerChange> {
        std::mem::take(&mut self.changes)
    }

    /// How the first entry of a tenant that `is_it` finds stands. Looks through all of its tenant's.
    pub(super) fn standing(
        &self,
        now: Instant,
        tenant: &Tenant,
        is_it: impl Fn(&T) -> bool,
    ) -> Option<Standing> {
        let queue = self.queues.get(tenant)?;
        let mut waiting = queue.waiting.values();
        let ahead = waiting.position(|waiting| is_it(&waiting.entry))?;
        let is_full = !self.pool.has_place(self.running);
        let places = || is_full.then(|| self.pool.places()).flatten();
        Some(Standing {
            position: ahead + 1,
            hold: self.hold(now, tenant).or_else(places),
        })
    }

    /// How the breaker stands that a tenant's operations meet, and until when it is open; `None`: there
    /// is none.
    pub(super) fn breaker(
        &self,
        now: Instant,
        tenant: &Tenant,
    ) -> Option<(BreakerState, Option<Instant>)> {
        let own = self.shares.get(tenant);
        own.and_then(|share| share.breaker(now))
            .or_else(|| self.pool.breaker(now))
    }

    /// What holds a tenant's first entry back, apart from the places of the pool.
    fn hold(&self, now: Instant, tenant: &Tenant) -> Option<Hold> {
        let running = self.queues.get(tenant).map_or(0, |queue| queue.running);
        let own = self.shares.get(tenant);
        let guard = own.filter(|share| share.has_breaker());
        guard
            .unwrap_or(&self.pool)
            .hold_breaker(now)
            .or_else(|| own.and_then(|share| share.hold_places(running)))
            .or_else(|| own.and_then(|share| share.hold_rate(now)))
            .or_else(|| self.pool.hold_rate(now))
    }

    /// Lets one through that nothing holds back.
    fn pass(&mut self, now: Instant, tenant: &Tenant) -> Passes {
        self.pool.take_token(now);
        let mut passes = Passes::default();
        let own = self.shares.get_mut(tenant);
        let (begun, of) = match own {
            Some(share) => {
                share.take_token(now);
                match share.begin(now) {
                    Some(begun) => (Some(begun), Some(tenant.clone())),
                    None => (self.pool.begin(now), None),
                }
            }
            None => (self.pool.begin(now), None),
        };
        if let Some((pass, change)) = begun {
            if let Some(state) = change {
                let tenant = of.clone();
                self.changes.push(BreakerChange { tenant, state });
            }
            let place = match of {
                Some(_) => &mut passes.own,
                None => &mut passes.shared,
            };
            *place = Some(pass);
        }
        passes
    }

    fn started(&mut self, tenant: Tenant, entry: T, passes: Passes) -> Next<T> {
        let ticket = self.count(tenant, passes);
        Next::Start(entry, ticket)
    }

    fn count(&mut self, tenant: Tenant, passes: Passes) -> Ticket {
        self.running += 1;
        self.queues.entry(tenant.clone()).or_default().running += 1;
        Ticket { tenant, passes }
    }

    fn first_of(&self, tenant: &Tenant) -> Option<&T> {
        let queue = self.queues.get(tenant)?;
        let (_, first) = queue.waiting.first_key_value()?;
        Some(&first.entry)
    }

    /// Takes a tenant's first entry out, and sends the tenant to the end of the line.
    fn pop(&mut self, tenant: &Tenant) -> Option<T> {
        let queue = self.queues.get_mut(tenant)?;
        let (place, _) = queue.waiting.first_key_value()?;
        let place = *place;
        let first = queue.remove(&place)?;
        if let Some(expires) = first.expires {
            self.expiries.remove(&(expires, place.1));
        }
        queue.is_listed = !queue.waiting.is_empty();
        if queue.is_listed {
            self.turns.push_back(tenant.clone());
        }
        Some(first.entry)
    }

    /// A tenant has nothing left that waits.
    fn unlist(&mut self, tenant: &Tenant) {
        if let Some(queue) = self.queues.get_mut(tenant) {
            queue.is_listed = false;
            self.forget_idle(tenant);
        }
    }

    fn forget_idle(&mut self, tenant: &Tenant) {
        let is_idle = self.queues.get(tenant).is_some_and(|queue| {
            queue.running == 0 && !queue.is_listed && queue.waiting.is_empty()
        });
        if is_idle {
            self.queues.remove(tenant);
        }
    }

    fn queue_timeout(&self, tenant: &Tenant) -> Option<Duration> {
        let gates = self.shares.get(tenant).unwrap_or(&self.pool);
        gates.limits().queue_timeout
    }
}

/// Tenants that are looked at for what could run elsewhere: many more than places are sought for at a time.
const TURNS_LOOKED_AT: usize = 256;

#[cfg(test)]
mod tests;
