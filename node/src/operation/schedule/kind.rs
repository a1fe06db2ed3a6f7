//! The actor kind `schedule`: takes commands in and lets the machine decide.
//!
//! The host calls it. Everything of a schedule is in its record; its times are compiled again when it is
//! activated.

use bytes::Bytes;
use selvedge_cluster::actor::kind::{Urgency, json};
use selvedge_cluster::actor::{AuditEntry, Context, Effects, Incoming, Kind, Origin, Refusal};
use selvedge_protocol::{ErrorCode, Failure};
use serde::{Deserialize, Serialize};

use crate::operation::child::{CHILD_FINISHED, ChildFinished};
use crate::operation::schedule::definition::{Definition, check_note};
use crate::operation::schedule::machine::{Birth, Schedule, TIMER_NEXT};
use crate::operation::schedule::plan::Plan;
use crate::operation::schedule::record::Record;
use crate::operation::schedule::{view, why};

/// Hosts schedules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScheduleKind;

/// An activated schedule.
#[derive(Debug, Default)]
pub(crate) struct ScheduleState {
    /// How often this key was created: part of the ids of operations, so that a schedule that was deleted
    /// and created again does not meet those of before.
    incarnation: u64,
    /// `None` before the first create and after a delete.
    schedule: Option<Schedule>,
}

/// The same as it is stored.
#[derive(Serialize)]
struct Stored<'a> {
    incarnation: u64,
    record: Option<&'a Record>,
}

#[derive(Default, Deserialize)]
struct Loaded {
    incarnation: u64,
    record: Option<Record>,
}

/// The body of `pause`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    #[serde(default)]
    note: Option<String>,
}

/// The body of the verbs that say nothing more.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl ScheduleKind {
    fn create(
        state: &mut ScheduleState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        let (definition, plan) = defined(command)?;
        if let Some(schedule) = &state.schedule {
            return created_again(schedule, &definition);
        }
        plan.check_next(context.now_ms)?;
        let incarnation = state.incarnation + 1;
        let birth = Birth {
            address: context.address.clone(),
            incarnation,
            created_by: context.principal.to_owned(),
            now_ms: context.now_ms,
        };
        let (schedule, mut effects) = Schedule::create(definition, plan, birth);
        effects.reply = view::schedule(&schedule, Some(true));
        *state = ScheduleState {
            incarnation,
            schedule: Some(schedule),
        };
        Ok(effects)
    }

    /// A verb on a schedule that is there, answered with it as it is then.
    fn verb(
        state: &mut ScheduleState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        let now_ms = context.now_ms;
        let Some(schedule) = &mut state.schedule else {
            return Err(absent());
        };
        let mut effects = match command.name {
            "update" => {
                let (definition, plan) = defined(command)?;
                plan.check_next(now_ms)?;
                schedule.update(now_ms, definition, plan)
            }
            "pause" => {
                let pause: Pause = read(command)?;
                check_note("note", pause.note.as_deref())?;
                schedule.pause(now_ms, pause.note)
            }
            "resume" => {
                read::<Nothing>(command)?;
                schedule.resume(now_ms)
            }
            name => return Err(Refusal::unknown(Self::NAME, name)),
        };
        effects.reply = view::schedule(schedule, None);
        Ok(effects)
    }

    fn trigger(
        state: &mut ScheduleState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        read::<Nothing>(command)?;
        let schedule = state.schedule.as_mut().ok_or_else(absent)?;
        let (triggered, mut effects) = schedule.trigger(context.now_ms, context.seq);
        effects.reply = view::triggered(&triggered);
        Ok(effects)
    }

    fn delete(state: &mut ScheduleState, command: &Incoming<'_>) -> Result<Effects, Refusal> {
        read::<Nothing>(command)?;
        let schedule = state.schedule.take().ok_or_else(absent)?;
        let reply = view::schedule(&schedule, None);
        Ok(Effects {
            reply,
            ..schedule.delete()
        })
    }

    fn child_finished(
        state: &mut ScheduleState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        let told: ChildFinished =
            json::decode(command.body).map_err(|error| Refusal::invalid("body", error))?;
        let schedule = state.schedule.as_mut();
        let effects = schedule.and_then(|schedule| schedule.finished(context.now_ms, &told));
        // One of a schedule that was deleted since, or that was retried by hand.
        Ok(effects.unwrap_or_else(unchanged))
    }
}

impl Kind for ScheduleKind {
    type State = ScheduleState;

    const NAME: &'static str = "schedule";

    fn apply(
        &self,
        state: &mut ScheduleState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        match (context.origin, command.name) {
            (Origin::Timer, TIMER_NEXT) => {
                let schedule = state.schedule.as_mut();
                let effects = schedule.map(|schedule| schedule.due(context.now_ms));
                Ok(effects.unwrap_or_default())
            }
            (Origin::Timer, name) => Err(Refusal::unknown(Self::NAME, name)),
            (Origin::Actor, CHILD_FINISHED) => Self::child_finished(state, context, command),
            // Operations may keep schedules as clients do.
            (Origin::Client(_) | Origin::Actor | Origin::Node, name) => match name {
                "trigger" => Self::trigger(state, context, command),
                _ => {
                    let effects = match name {
                        "create" => Self::create(state, context, command),
                        "delete" => Self::delete(state, command),
                        _ => Self::verb(state, context, command),
                    }?;
                    Ok(audited(effects, state, context, name))
                }
            },
        }
    }

    fn query(&self, state: &ScheduleState, name: &str, body: &[u8]) -> Result<Bytes, Refusal> {
        let _ = body;
        let answer: fn(&Schedule) -> Bytes = match name {
            "get" => |schedule| view::schedule(schedule, None),
            "why" => why::why,
            name => return Err(Refusal::unknown(Self::NAME, name)),
        };
        state.schedule.as_ref().map(answer).ok_or_else(absent)
    }

    fn view(&self, state: &ScheduleState) -> Bytes {
        match &state.schedule {
            None => Bytes::from_static(b"null"),
            Some(schedule) => view::schedule(schedule, None),
        }
    }

    fn encode(&self, state: &ScheduleState) -> Bytes {
        json::encode(&Stored {
            incarnation: state.incarnation,
            record: state.schedule.as_ref().map(|schedule| &schedule.record),
        })
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<ScheduleState, String> {
        let loaded: Loaded = json::decode(bytes)?;
        let compiled = |record: Record| {
            let plan = Plan::new(&record.definition).map_err(|refusal| refusal.to_string())?;
            Ok::<_, String>(Schedule { record, plan })
        };
        Ok(ScheduleState {
            incarnation: loaded.incarnation,
            schedule: loaded.record.map(compiled).transpose()?,
        })
    }

    /// One whose times do not come is only read.
    fn is_at_rest(&self, state: &ScheduleState, _is_awake: bool) -> bool {
        let schedule = state.schedule.as_ref();
        schedule.is_none_or(|schedule| schedule.record.next_ms.is_none())
    }
}

fn defined(command: &Incoming<'_>) -> Result<(Definition, Plan), Refusal> {
    let definition = Definition::read(command)?;
    let plan = Plan::new(&definition)?;
    Ok((definition, plan))
}

fn created_again(schedule: &Schedule, definition: &Definition) -> Result<Effects, Refusal> {
    if !schedule.record.definition.is_same(definition) {
        let message = "the schedule exists with another definition; use update, or another id";
        return Err(Refusal(Failure::field(ErrorCode::Conflict, "id", message)));
    }
    Ok(Effects {
        reply: view::schedule(schedule, Some(false)),
        ..unchanged()
    })
}

fn read<T: for<'a> Deserialize<'a>>(command: &Incoming<'_>) -> Result<T, Refusal> {
    json::decode(command.body).map_err(|error| {
        let message = format!("the body of {:?} does not read: {error}", command.name);
        Refusal::invalid("body", message)
    })
}

/// The same with what the audit trail says of it, if it changes anything: the verb, and what runs when. Not the input of
/// the operation nor a note, which may have secrets and people in them.
fn audited(
    mut effects: Effects,
    state: &ScheduleState,
    context: &Context<'_>,
    verb: &str,
) -> Effects {
    if effects.urgency == Urgency::Never {
        return effects;
    }
    let definition = state.schedule.as_ref().map(|it| &it.record.definition);
    let detail = definition.map(|it| {
        let times = match (&it.cron, it.every_ms) {
            (Some(cron), _) => serde_json::json!({ "cron": cron, "timeZone": it.time_zone }),
            (None, every_ms) => serde_json::json!({ "everyMs": every_ms }),
        };
        serde_json::json!({ "type": it.operation.operation_type, "times": times }).to_string()
    });
    effects.audit.push(AuditEntry {
        action: format!("{}.{verb}", ScheduleKind::NAME).into(),
        target: context.address.key.to_string(),
        detail: detail.unwrap_or_default(),
    });
    effects
}

fn unchanged() -> Effects {
    Effects {
        urgency: Urgency::Never,
        ..Effects::default()
    }
}

fn absent() -> Refusal {
    let message = "no schedule has this id; create it first";
    Refusal(Failure::new(ErrorCode::NotFound, message))
}
