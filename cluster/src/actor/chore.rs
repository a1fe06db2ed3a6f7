//! The chores of slots: due timers, the outbox, actors that shall be awake, and passivation. One loop
//! per node looks what is due; each run of a chore is a task of its own, one per slot and chore.
//!
//! A chore only reads what is durable and sends commands, so it may run twice, late or again after a
//! crash: the machine's timers and the receivers' memory of ids make each take effect once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use selvedge_protocol::CommandId;
use selvedge_protocol::frame::{Outcome, Success};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::actor::core::Core;
use crate::actor::kind::{MESSAGE_REFUSED, Origin, RefusedMessage, json};
use crate::actor::letter::{Letter, Request};
use crate::actor::load::epoch;
use crate::actor::record::{OutboxRecord, Stored, TimerRecord};
use crate::actor::request::{CommandRequest, Identity, ReplyTo, ScopedAddress, asked};
use crate::metrics;
use crate::slot::{Chore, NEVER, Slot};
use crate::store::keys::{ActorPath, Key, KeyRange, SlotFamily};
use crate::store::{self, Isolation};

/// Rows of a chore that a slot has in memory.
const PAGE_MAX: usize = 64;
/// Rows of a chore in work at once, over all slots. Half of what an operation's pool runs at a time: what
/// wakes after a night finds its place there as it comes, where all at once would have to be let go and
/// looked for again.
const IN_WORK_MAX: usize = 64;
/// The longest sleep while a timer is set: a clock that jumped is noticed this late.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Rounds of passivation within the time after which an actor is idle: it ends at most a quarter late.
const PASSIVATION_ROUNDS: u64 = 4;

/// The chores of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    Timers,
    Outbox,
    Awake,
}

/// Permits for the rows that are in work.
#[derive(Debug)]
pub(crate) struct InWork {
    timers: Semaphore,
    outbox: Semaphore,
    awake: Semaphore,
}

impl Default for InWork {
    fn default() -> Self {
        Self {
            timers: Semaphore::new(IN_WORK_MAX),
            outbox: Semaphore::new(IN_WORK_MAX),
            awake: Semaphore::new(IN_WORK_MAX),
        }
    }
}

impl InWork {
    const fn of(&self, which: Which) -> &Semaphore {
        match which {
            Which::Timers => &self.timers,
            Which::Outbox => &self.outbox,
            Which::Awake => &self.awake,
        }
    }
}

impl Which {
    const ALL: [Self; 3] = [Self::Timers, Self::Outbox, Self::Awake];

    pub(crate) const fn of(self, slot: &Slot) -> &Chore {
        match self {
            Self::Timers => &slot.timers,
            Self::Outbox => &slot.outbox,
            Self::Awake => &slot.awake,
        }
    }
}

/// Runs what is due, for as long as the host lives.
pub(crate) async fn run(core: Arc<Core>) {
    let round = Duration::from_millis((core.config.idle_ms / PASSIVATION_ROUNDS).max(1));
    let mut passivation = tokio::time::interval(round);
    passivation.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now_ms = core.clock.wall_ms();
        let next_ms = start_due(&core, now_ms);
        let sleep = match next_ms {
            NEVER => Duration::MAX,
            due_ms => Duration::from_millis(due_ms.saturating_sub(now_ms)).min(LOOK_AGAIN),
        };
        tokio::select! {
            biased;
            _ = passivation.tick() => passivate(&core),
            () = core.chores.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Starts what is due. Answers when the next is.
fn start_due(core: &Arc<Core>, now_ms: u64) -> u64 {
    let mut next_ms = NEVER;
    for slot in &core.slots {
        for which in Which::ALL {
            let chore = which.of(slot);
            if chore.due_ms() <= now_ms && slot.is_open() && chore.begin(now_ms) {
                let work = work(Arc::clone(core), slot.number, which);
                tokio::spawn(work);
            }
            // One that is due while it runs is woken for by its own end.
            if chore.due_ms() > now_ms {
                next_ms = next_ms.min(chore.due_ms());
            }
        }
    }
    next_ms
}

fn passivate(core: &Core) {
    let tick = core.tick.fetch_add(1, Ordering::Relaxed);
    let Some(idle_since) = tick.checked_sub(PASSIVATION_ROUNDS) else {
        return;
    };
    let ended: usize = core
        .slots
        .iter()
        .map(|slot| slot.passivate(idle_since))
        .sum();
    metrics::passivated(ended);
}

async fn work(core: Arc<Core>, number: u16, which: Which) {
    let slot = &core.slots[usize::from(number)];
    let result = match which {
        Which::Timers => fire_timers(&core, slot).await,
        Which::Outbox => deliver_outbox(&core, slot).await,
        Which::Awake => wake(&core, slot).await,
    };
    match &result {
        Ok(_) => {}
        // All slots find it so.
        Err(store::Error::Unavailable(_)) if !core.may_tell_trouble() => {}
        Err(error) => {
            warn!(slot = number, chore = ?which, %error, "chore failed, it will be tried again");
        }
    }
    let finished = match result {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(()),
    };
    which.of(slot).finish(core.clock.wall_ms(), finished);
    core.chores.notify_one();
}

/// Fires all timers that are due. Answers whether all took effect.
async fn fire_timers(core: &Arc<Core>, slot: &Slot) -> Result<bool, store::Error> {
    let mut range = KeyRange::timers_due(slot.number, core.clock.wall_ms());
    let mut all_fired = true;
    loop {
        let rows = read(core, &range).await?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        range.begin = after(last);
        let mut answers = Vec::with_capacity(rows.len());
        for (key, value) in &rows {
            let Key::Timer {
                actor,
                due_ms,
                name,
            } = decode(key)?
            else {
                continue;
            };
            let body = TimerRecord::decode(value)?.body;
            answers.push(in_turn(core, Which::Timers, move |reply| {
                let letter = Letter::Fire {
                    actor: scoped(&actor),
                    name,
                    due_ms,
                    body,
                };
                core.send(letter, reply);
            }));
        }
        for outcome in join_all(answers).await {
            // A refusal by the kind's rules is an effect as well: the timer is gone.
            all_fired &= is_final(&outcome);
        }
    }
    // The next one that is not due yet, if any.
    let rest = KeyRange::slot(SlotFamily::Timer, slot.number);
    let mut transaction = core.store.begin();
    let next = transaction
        .range(
            KeyRange {
                begin: range.end,
                end: rest.end,
            }
            .read(1, Isolation::Snapshot),
        )
        .await?;
    if let Some((key, _)) = next.first() {
        core.schedule(&slot.timers, row(key)?.1);
    }
    Ok(all_fired)
}

/// Delivers what is in the outbox. Answers whether all of it was.
async fn deliver_outbox(core: &Arc<Core>, slot: &Slot) -> Result<bool, store::Error> {
    let mut range = KeyRange::slot(SlotFamily::Outbox, slot.number);
    let mut all_delivered = true;
    loop {
        let rows = read(core, &range).await?;
        let Some((last, _)) = rows.last() else {
            return Ok(all_delivered);
        };
        range.begin = after(last);
        let mut answers = Vec::with_capacity(rows.len());
        for (key, value) in &rows {
            let Key::Outbox { actor, seq } = decode(key)? else {
                continue;
            };
            let message = OutboxRecord::decode(value)?;
            answers.push(deliver(core, actor, seq, message));
        }
        let outcomes = join_all(answers).await;
        let delivered: Vec<&Bytes> = rows
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| is_final(outcome))
            .map(|((key, _), _)| key)
            .collect();
        all_delivered &= delivered.len() == rows.len();
        clear(core, slot, &delivered).await?;
    }
}

/// Delivers a message; one that is refused for good is let go once its sender knows.
async fn deliver(core: &Arc<Core>, from: ActorPath, seq: u64, message: OutboxRecord) -> Outcome {
    let address = message.to.clone();
    let name = message.name.clone();
    let to = ScopedAddress {
        tenant: from.tenant.clone(),
        address: message.to,
    };
    let request = CommandRequest {
        actor: to,
        principal: Arc::from(format!("actor:{}", from.address)),
        origin: Origin::Actor,
        identity: Identity::Id(message_id(&from, seq, "")),
        name: message.name,
        body: message.body,
        payload: None,
        if_version: None,
        deadline: None,
    };
    let outcome = in_turn(core, Which::Outbox, |reply| {
        core.send(Letter::Request(Request::Command(request)), reply);
    });
    let outcome = outcome.await;
    match &outcome {
        Outcome::Failure(failure) if is_final(&outcome) => {
            let refused = RefusedMessage {
                to: address,
                name,
                code: failure.code.to_string(),
                message: failure.message.clone(),
            };
            tell_refused(core, &from, seq, &refused).await
        }
        Outcome::Success(_) | Outcome::Failure(_) => outcome,
    }
}

/// Nobody waits for the answer to a message: a refusal shows here, and at its sender if that hears of it.
async fn tell_refused(
    core: &Arc<Core>,
    from: &ActorPath,
    seq: u64,
    refused: &RefusedMessage,
) -> Outcome {
    let sender = core.kinds.find(from.address.kind.as_str());
    if sender.is_some_and(|kind| kind.hears_refusals()) {
        let request = CommandRequest {
            actor: scoped(from),
            principal: Arc::from("node"),
            origin: Origin::Node,
            identity: Identity::Id(message_id(from, seq, "refused")),
            name: MESSAGE_REFUSED.to_owned(),
            body: json::encode(refused),
            payload: None,
            if_version: None,
            deadline: None,
        };
        let told = in_turn(core, Which::Outbox, |reply| {
            core.send(Letter::Request(Request::Command(request)), reply);
        });
        let told = told.await;
        if !is_final(&told) {
            return told;
        }
    }
    metrics::message_refused();
    let RefusedMessage {
        to,
        name,
        code,
        message,
    } = refused;
    warn!(tenant = %from.tenant, from = %from.address, %to, name, code, message, "message refused");
    Outcome::Success(Success {
        body: Bytes::new(),
        seq: 0,
        version: 0,
    })
}

/// The id of a message, or of what is `told` of it: the same at each delivery.
fn message_id(from: &ActorPath, seq: u64, told: &str) -> CommandId {
    // No tenant or kind contains a zero byte, so no two senders give the same text.
    let mut text = format!("{}\0{}\0{seq}", from.tenant, from.address);
    if !told.is_empty() {
        text.push('\0');
        text.push_str(told);
    }
    CommandId::from_text(&text)
}

/// Activates the actors that shall be awake.
async fn wake(core: &Arc<Core>, slot: &Slot) -> Result<bool, store::Error> {
    let mut range = KeyRange::slot(SlotFamily::Awake, slot.number);
    loop {
        let rows = read(core, &range).await?;
        let Some((last, _)) = rows.last() else {
            return Ok(true);
        };
        range.begin = after(last);
        let mut answers = Vec::with_capacity(rows.len());
        for (key, _) in &rows {
            let actor = scoped(&row(key)?.0);
            answers.push(in_turn(core, Which::Awake, move |reply| {
                core.send(Letter::Wake(actor), reply);
            }));
        }
        // Answered when activated, so that no more than a page is activated at once.
        for outcome in join_all(answers).await {
            if !is_final(&outcome) {
                return Ok(false);
            }
        }
    }
}

/// Sends what a row asks for when its turn comes, and waits for the answer.
async fn in_turn(core: &Core, which: Which, send: impl FnOnce(ReplyTo)) -> Outcome {
    // Never closed.
    let _permit = core.in_work.of(which).acquire().await.ok();
    let (reply, answer) = asked();
    send(reply);
    answer.await
}

async fn read(core: &Core, range: &KeyRange) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
    let mut transaction = core.store.begin();
    transaction
        .range(range.read(PAGE_MAX, Isolation::Snapshot))
        .await
}

/// Clears delivered messages, if the slot is still ours.
async fn clear(core: &Core, slot: &Slot, keys: &[&Bytes]) -> Result<(), store::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let ours = slot.epoch();
    let mut transaction = core.store.begin();
    let fence = transaction
        .get(&slot.fence_key, Isolation::Serializable)
        .await?;
    if epoch(fence.as_ref())? != ours {
        slot.lose(ours);
        return Ok(());
    }
    for key in keys {
        transaction.clear(key);
    }
    transaction.commit().await.map(|_| ())
}

const fn is_final(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Success(_) => true,
        // A panicking receiver is not final either: a later binary may do better.
        Outcome::Failure(failure) => {
            !failure.code.may_be_retried()
                && !matches!(
                    failure.code,
                    selvedge_protocol::ErrorCode::Internal
                        | selvedge_protocol::ErrorCode::UnknownKind
                )
        }
    }
}

/// The least key after `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Bytes::from(next)
}

fn scoped(path: &ActorPath) -> ScopedAddress {
    ScopedAddress {
        tenant: path.tenant.clone(),
        address: path.address.clone(),
    }
}

fn decode(key: &[u8]) -> Result<Key, store::Error> {
    Key::decode(key).map_err(|error| store::Error::Record {
        key: error.key,
        reason: error.reason,
    })
}

/// The actor of a chore's row, and when the row is due.
pub(crate) fn row(key: &[u8]) -> Result<(ActorPath, u64), store::Error> {
    match decode(key)? {
        Key::Timer { actor, due_ms, .. } => Ok((actor, due_ms)),
        Key::Outbox { actor, .. } | Key::Awake { actor } => Ok((actor, 0)),
        other => Err(store::Error::Record {
            key: format!("{other:?}"),
            reason: "it is no chore".to_owned(),
        }),
    }
}
