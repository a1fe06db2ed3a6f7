//! Requests for actors of other nodes: sent to the owner by the plan, once more if that was wrong, and held for
//! a moment while an actor has no owner.
//!
//! The host calls it for slots that are not its own, the peer port for what other nodes ask of it. Whoever is
//! asked by another node answers for itself or says who else does: nothing is forwarded twice. A request that
//! is sent again keeps its identity, so that it takes effect once.

#![expect(
    clippy::vec_box,
    reason = "parcels go from list to list, and back in errors: as boxes that is cheap"
)]

mod line;
mod outlet;
mod parcel;
mod pending;
mod server;
mod subscription;
mod wire;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::FORWARDED_MS_MAX;
use selvedge_protocol::peer::actors::{Elsewhere, Tell};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) use line::Line;
use line::Place;
pub(crate) use subscription::RemoteSubscription;

use crate::actor::core::{Core, failure};
use crate::actor::letter::{Letter, Request};
use crate::actor::request::{QueryRequest, ReplyTo, ScopedAddress, SubscriptionItem};
use crate::forward::outlet::Outlet;
use crate::forward::parcel::{AskedBy, Hint, Parcel, Room};
use crate::forward::pending::Reach;
use crate::forward::server::Turn;
use crate::membership::{NodeRecord, Owner, View};
use crate::peer::{Connection, Inbound, Links};
use crate::slot::Slot;

/// What is not as the view of the cluster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Another node knows a later plan.
    Plan,
    /// There is no connection to a node.
    Node(String),
}

/// What a forward is made of.
pub struct ForwardConfig {
    /// The cluster as this node sees it.
    pub views: watch::Receiver<Arc<View>>,
    pub links: Links,
    /// Called with what should be looked at. Must not wait.
    pub doubt: Box<dyn Fn(Doubt) + Send + Sync>,
}

/// Takes a query that another node asks of an actor of this one, or hands it back for the actor to answer.
/// Must not wait.
pub type Parking =
    Box<dyn Fn(QueryRequest, ReplyTo) -> Option<(QueryRequest, ReplyTo)> + Send + Sync>;

/// The way to the actors of other nodes. A cheap handle.
#[derive(Clone)]
pub struct Forward(Arc<Inner>);

struct Inner {
    core: Weak<Core>,
    config: ForwardConfig,
    /// By name, in order: what many of them do at once is done in the same order each time.
    outlets: Mutex<BTreeMap<String, Arc<Outlet>>>,
    /// Counts the outlets that ever were.
    outlets_opened: AtomicU64,
    /// What has no owner that could be asked.
    held: Mutex<Vec<Box<Parcel>>>,
    room: Arc<Room>,
    /// Something may have changed for what is held.
    changed: Notify,
    /// The same, for subscriptions that look for the owner.
    moved: Notify,
    /// There is another view. Whoever waits for one, waits here: they go on in the order in which they came, while
    /// those who wait for the view's own channel do so in any.
    viewed: Notify,
    task: Mutex<Option<JoinHandle<()>>>,
    parking: OnceLock<Parking>,
}

impl Forward {
    /// Begins to forward for a host. Needs a tokio runtime.
    pub(crate) fn start(core: &Arc<Core>, config: ForwardConfig) -> Self {
        let forward = Self(Arc::new(Inner {
            core: Arc::downgrade(core),
            config,
            outlets: Mutex::default(),
            outlets_opened: AtomicU64::new(0),
            held: Mutex::default(),
            room: Arc::default(),
            changed: Notify::new(),
            moved: Notify::new(),
            viewed: Notify::new(),
            task: Mutex::default(),
            parking: OnceLock::new(),
        }));
        let task = tokio::spawn(watch_over(Arc::downgrade(&forward.0)));
        *forward.0.task.lock() = Some(task);
        forward
    }

    /// The cluster as it is known here.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.0.config.views.borrow())
    }

    /// From now on queries of other nodes go here before they go to their actor. The first one stays.
    pub fn park(&self, parking: Parking) {
        let _ = self.0.parking.set(parking);
    }

    /// Serves a stream of another node. Boxed by the caller.
    pub async fn serve(self, inbound: Inbound) {
        let Inbound {
            stream,
            mut stopping,
            ..
        } = inbound;
        tokio::select! {
            biased;
            () = server::serve(self, stream) => {}
            // Its slots were given up before: nobody waits for anything here.
            () = stopping.begun() => {}
        }
    }

    /// Ends it: what is unanswered is answered with `unavailable`.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.0.task.lock().take() {
            task.abort();
        }
        let outlets = std::mem::take(&mut *self.0.outlets.lock());
        drop(outlets);
        let held = std::mem::take(&mut *self.0.held.lock());
        drop(held);
    }

    /// Sends a request to the owner of its actor, which is not this node, or not yet.
    pub(crate) fn send(&self, request: Request, reply: ReplyTo) {
        self.take_in(request, reply, None);
    }

    /// Something has changed: what is held may go on.
    fn look(&self) {
        self.0.changed.notify_one();
        self.0.moved.notify_waiters();
    }

    /// Completes when something may have changed for who looks for an owner.
    pub(crate) async fn moved(&self) {
        // Fails when the time is over, which is as good a reason to look.
        let _ = tokio::time::timeout(LOOK_AGAIN, self.0.moved.notified()).await;
    }

    /// Completes when the owner of a slot is not this node.
    pub(crate) async fn owner_is_not(&self, slot: u16, name: &str) {
        loop {
            let viewed = self.0.viewed.notified();
            let view = self.view();
            if !matches!(view.owner(slot), Owner::There { name: owner, .. } if owner == name) {
                return;
            }
            // It does not come when nobody follows the cluster any more: this node stops.
            viewed.await;
        }
    }

    /// The owner of a slot and a connection to it, if that is another node and there is one.
    pub(crate) fn connection(&self, slot: u16) -> Option<(Arc<str>, Connection)> {
        match self.view().owner(slot) {
            Owner::There { name, node } => {
                let connection = self.outlet(name, node).connection()?;
                Some((Arc::from(name), connection))
            }
            Owner::Here | Owner::Nobody => None,
        }
    }

    /// Passes an ephemeral message on. Lossy.
    pub(crate) fn tell(&self, tell: Tell) {
        let Some(core) = self.0.core.upgrade() else {
            return;
        };
        let slot = tell.actor.slot(&tell.tenant, core.config.slots);
        let view = self.view();
        if let Owner::There { name, node } = view.owner(slot) {
            self.outlet(name, node).tell(tell);
        }
    }

    /// Another node asks.
    fn asked(&self, request: Request, by: AskedBy) {
        let Some(core) = self.0.core.upgrade() else {
            return by.reply().answer(failure(ErrorCode::Unavailable, STOPPING));
        };
        let slot = core.slot_of(request.actor());
        match by.answers.turn(slot.number, by.plan) {
            Turn::Next => {}
            Turn::Held => {
                let reply = by.reply();
                return self.take_in(request, reply, Some(by));
            }
            Turn::SentAway => return self.send_after(slot.number, &by),
        }
        let request = match (request, self.0.parking.get()) {
            (Request::Query(query), Some(parking)) if slot.is_open() => {
                let Some((query, reply)) = parking(query, by.reply()) else {
                    return;
                };
                // The same as the one below.
                reply.dismiss();
                Request::Query(query)
            }
            (request, _) => request,
        };
        // Mostly it is asked by right.
        let Err(not_here) = core.send_here(Letter::Request(request), by.reply()) else {
            return;
        };
        let (request, reply) = not_here.into_request();
        self.take_in(request, reply, Some(by));
    }

    /// Sends a request after one that was sent elsewhere, though the actor may be here by now: it comes again behind
    /// that one.
    fn send_after(&self, slot: u16, by: &AskedBy) {
        let view = self.view();
        by.answers.elsewhere(Elsewhere {
            id: by.id,
            plan: view.plan.number,
            owner: view.plan.owner(slot).map(str::to_owned),
        });
    }

    /// Another node passes a message on.
    fn told(&self, tell: Tell) {
        let Some(core) = self.0.core.upgrade() else {
            return;
        };
        let actor = ScopedAddress {
            tenant: tell.tenant,
            address: tell.actor,
        };
        let item = SubscriptionItem::Ephemeral {
            from: tell.from,
            name: tell.name,
            data: tell.data,
        };
        core.slot_of(&actor).hub.tell(&actor, item);
    }

    fn take_in(&self, request: Request, reply: ReplyTo, asked_by: Option<AskedBy>) {
        let Some(core) = self.0.core.upgrade() else {
            return reply.answer(failure(ErrorCode::Unavailable, STOPPING));
        };
        let Some(permit) = self.0.room.permit(wire::bytes(&request)) else {
            let text = "too many requests wait for other nodes; come back later";
            return reply.answer(failure(ErrorCode::Overloaded, text));
        };
        let latest = Instant::now() + Duration::from_millis(FORWARDED_MS_MAX);
        let deadline = match &request {
            Request::Command(command) => command.deadline,
            Request::Query(query) => query.deadline,
        };
        let slot = core.slot_of(request.actor());
        let line = match &asked_by {
            None => Arc::clone(&slot.line),
            Some(by) => by.answers.line(slot.number),
        };
        let parcel = Box::new(Parcel {
            request,
            reply,
            asked_by,
            number: self.0.room.number(),
            until: deadline.map_or(latest, |deadline| deadline.min(latest)),
            line,
            flight: None,
            hint: Hint::default(),
            permit,
        });
        if parcel.is_ahead_of(self.view().plan.number) {
            self.doubt(Doubt::Plan);
        }
        if !parcel.line.is_held() {
            self.dispatch(&core, parcel, Place::Last);
            return;
        }
        // Behind those that came before, unless they have gone on in this moment.
        if self.hold(slot, parcel) {
            self.look();
        }
    }

    /// Sends a parcel where it belongs by now, or holds it. Answers whether it was sent.
    fn dispatch(&self, core: &Arc<Core>, parcel: Box<Parcel>, place: Place) -> bool {
        let is_next = match place {
            Place::First => parcel.line.is_home(),
            Place::Last => parcel.line.is_clear(),
        };
        let sent = match is_next {
            true => send_here(core, parcel),
            false => Err(parcel),
        };
        let Err(parcel) = sent else {
            return true;
        };
        let slot = core.slot_of(parcel.request.actor());
        let view = self.view();
        let Some(way) = parcel.way(&view, slot.number) else {
            self.hold(slot, parcel);
            return false;
        };
        let Some(mut parcel) = parcel.tell_elsewhere(view.plan.number, way.name) else {
            return true;
        };
        let outlet = self.outlet(way.name, way.node);
        parcel.flight = parcel.line.depart(outlet.number(), place);
        if parcel.flight.is_none() {
            let line = Arc::clone(&parcel.line);
            self.hold(slot, parcel);
            // Those that are elsewhere may have come back in this moment.
            if line.is_home() {
                self.look();
            }
            return false;
        }
        // It is followed once.
        parcel.hint.owner = None;
        match outlet.send(Instant::now(), way.plan, parcel) {
            Ok(()) => true,
            Err(parcel) => {
                self.hold(slot, parcel);
                false
            }
        }
    }

    /// Answers whether it is the only one of its line.
    fn hold(&self, slot: &Slot, parcel: Box<Parcel>) -> bool {
        let line = Arc::clone(&parcel.line);
        let is_first = line.hold();
        self.0.held.lock().push(parcel);
        // It may have become this node's in this moment.
        if slot.is_open() && line.is_home() {
            self.look();
        }
        is_first
    }

    /// The node that was asked has answered.
    fn answered(&self, parcel: Box<Parcel>, outcome: Outcome) {
        let Parcel {
            reply,
            line,
            flight,
            ..
        } = *parcel;
        drop(flight);
        if line.is_home() && line.is_held() {
            self.look();
        }
        reply.answer(outcome);
    }

    /// The node that was asked says who else owns the actor. The parcel goes on once all are back that are at that
    /// node: what it has taken of them comes first.
    fn elsewhere(&self, asked: &str, mut parcel: Box<Parcel>, said: Elsewhere) {
        let Some(core) = self.0.core.upgrade() else {
            return;
        };
        let view = self.view();
        let Elsewhere { plan, owner, .. } = said;
        if plan > view.plan.number {
            self.doubt(Doubt::Plan);
        }
        let slot = core.slot_of(parcel.request.actor());
        let hint = owner.filter(|owner| *owner != view.name);
        // One by a plan that is known here is no news.
        let is_news = hint.is_some() && plan > view.plan.number;
        let is_followed = is_news && !parcel.hint.is_given;
        parcel.hint = Hint {
            plan,
            owner: hint.filter(|_| is_followed),
            is_given: parcel.hint.is_given || is_followed,
        };
        self.hold(slot, parcel);
        let owner = view.owner(slot.number);
        let is_another = matches!(owner, Owner::There { name, .. } if name != asked);
        // Otherwise the next plan is waited for.
        if is_followed || is_another || slot.is_open() {
            self.look();
        }
    }

    fn doubt(&self, doubt: Doubt) {
        (self.0.config.doubt)(doubt);
    }

    fn outlet(&self, name: &str, node: &NodeRecord) -> Arc<Outlet> {
        let mut outlets = self.0.outlets.lock();
        // One of an earlier life of the node is closed.
        if let Some(outlet) = outlets.get(name)
            && outlet.incarnation() >= node.incarnation
        {
            return Arc::clone(outlet);
        }
        let link = self.0.config.links.to(name, &node.peer);
        let number = self.0.outlets_opened.fetch_add(1, Ordering::Relaxed);
        let opened = Outlet::open(
            self.clone(),
            name.to_owned(),
            number,
            node.incarnation,
            link,
        );
        let outlet = Arc::new(opened);
        if let Some(before) = outlets.insert(name.to_owned(), Arc::clone(&outlet)) {
            self.0.held.lock().extend(counted(before.close()));
            self.look();
        }
        outlet
    }

    /// Moves on what can, gives up what has waited too long.
    fn look_through(&self, core: &Arc<Core>, now: Instant) {
        let view = self.view();
        // Answered without the lock: who asked may well send the next request.
        let mut expired = Vec::new();
        let mut moved = Vec::new();
        self.0.outlets.lock().retain(|name, outlet| {
            let is_it =
                |node: &&NodeRecord| node.is_alive() && node.incarnation == outlet.incarnation();
            let Some(node) = view.members.get(name).filter(is_it) else {
                moved.extend(outlet.close());
                return false;
            };
            let has_moved = |parcel: &Parcel| {
                let slot = core.slot_of(parcel.request.actor()).number;
                !matches!(view.owner(slot), Owner::There { name: owner, .. } if owner == name)
            };
            let reach = match node.is_isolated {
                true => Reach::CutOff,
                false => Reach::Open,
            };
            let look = outlet.look(now, reach, has_moved);
            expired.extend(look.expired);
            moved.extend(look.moved);
            true
        });
        for parcel in expired {
            parcel.give_up();
        }
        let moved = counted(moved);
        let mut held = std::mem::take(&mut *self.0.held.lock());
        held.extend(moved);
        held.sort_unstable_by_key(|parcel| parcel.number);
        for parcel in &mut held {
            parcel.flight = None;
        }
        // Lines that cannot go on yet, though they might in this moment.
        let mut waiting = HashSet::new();
        for parcel in held {
            let slot = core.slot_of(parcel.request.actor());
            let line = Arc::clone(&parcel.line);
            if parcel.until <= now {
                parcel.give_up();
            } else if waiting.contains(&Arc::as_ptr(&line)) {
                self.hold(slot, parcel);
            } else if !self.dispatch(core, parcel, Place::First) {
                waiting.insert(Arc::as_ptr(&line));
            }
            // After it was sent, so that what comes meanwhile stays behind it.
            line.release();
        }
    }
}

/// Hands a parcel to its actor, if that is this node's.
fn send_here(core: &Arc<Core>, parcel: Box<Parcel>) -> Result<(), Box<Parcel>> {
    let slot = core.slot_of(parcel.request.actor());
    if !slot.is_open() {
        return Err(parcel);
    }
    let Parcel {
        request,
        reply,
        asked_by,
        number,
        until,
        line,
        flight,
        hint,
        permit,
    } = *parcel;
    let Err(not_here) = core.send_here(Letter::Request(request), reply) else {
        return Ok(());
    };
    let (request, reply) = not_here.into_request();
    Err(Box::new(Parcel {
        request,
        reply,
        asked_by,
        number,
        until,
        line,
        flight,
        hint,
        permit,
    }))
}

/// Parcels that are about to be held.
fn counted(parcels: Vec<Box<Parcel>>) -> Vec<Box<Parcel>> {
    for parcel in &parcels {
        parcel.line.hold();
    }
    parcels
}

/// Looks through what waits whenever something has changed, and from time to time.
async fn watch_over(forward: Weak<Inner>) {
    let Some(mut views) = forward.upgrade().map(|it| it.config.views.clone()) else {
        return;
    };
    let core = forward.upgrade().and_then(|it| it.core.upgrade());
    let Some(mut slots) = core.map(|core| core.changes.subscribe()) else {
        return;
    };
    let mut tick = tokio::time::interval(LOOK_AGAIN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Some(forward) = forward.upgrade().map(Forward) else {
            return;
        };
        let (is_viewed, is_moved) = tokio::select! {
            biased;
            Ok(()) = views.changed() => (true, true),
            Ok(()) = slots.changed() => (false, true),
            () = forward.0.changed.notified() => (false, false),
            _ = tick.tick() => (false, false),
        };
        // The node's ownership, which is woken by the same, acts first: what it does is seen in this look.
        tokio::task::yield_now().await;
        if is_viewed {
            forward.0.viewed.notify_waiters();
        }
        if is_moved {
            forward.0.moved.notify_waiters();
        }
        let Some(core) = forward.0.core.upgrade() else {
            return;
        };
        forward.look_through(&core, Instant::now());
    }
}

const STOPPING: &str = "this node is stopping";
/// How late a parcel is given up, and one is tried again that nothing has changed for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl fmt::Debug for ForwardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForwardConfig")
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({} held)", self.0.held.lock().len())
    }
}
