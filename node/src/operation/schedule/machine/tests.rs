//! Schedules in simulated time: the rules one by one; random lives are in `model`.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_cluster::actor::Incoming;
use selvedge_protocol::limits::{CHOSEN_ID_BYTES_MAX, EFFECTS_LEN_MAX, INLINE_BYTES_MAX};
use selvedge_protocol::time;
use serde_json::{Value, json};

use super::*;
use crate::operation::child::{ChildError, ChildSubmit};
use crate::operation::schedule::{view, why as explain};

mod model;
mod why;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// A whole number of minutes.
const BEGIN: u64 = 1_800_000_000_000;

/// A schedule, the host's timer and outbox, and a clock that may do anything.
struct World {
    schedule: Schedule,
    now_ms: u64,
    seq: u64,
    timer_ms: Option<u64>,
    /// Operations that run, and when they were planned for.
    running: BTreeMap<String, String>,
    cancelled: BTreeSet<String>,
    /// Events of this world, oldest first, and when they were told.
    events: Vec<(u64, String, Value)>,
    /// Times that have waited, and since when.
    waited: BTreeMap<u64, u64>,
}

fn defined(body: &Value) -> Result<(Definition, Plan), selvedge_protocol::Failure> {
    let body = body.to_string();
    let command = Incoming {
        name: "create",
        body: body.as_bytes(),
        payload: None,
    };
    let definition = Definition::read(&command).map_err(|refusal| refusal.0)?;
    let plan = Plan::new(&definition).map_err(|refusal| refusal.0)?;
    Ok((definition, plan))
}

/// A definition of one run a minute, with these fields changed.
fn minutely(fields: &Value) -> Value {
    let mut body = json!({ "everyMs": MINUTE, "operation": { "type": "report" } });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

impl World {
    fn new(key: &str, fields: &Value) -> Self {
        let (definition, plan) = defined(&minutely(fields)).unwrap();
        let birth = Birth {
            address: format!("schedule/{key}").parse().unwrap(),
            incarnation: 1,
            created_by: "tester".to_owned(),
            now_ms: BEGIN,
        };
        let (schedule, effects) = Schedule::create(definition, plan, birth);
        let mut world = Self {
            schedule,
            now_ms: BEGIN,
            seq: 0,
            timer_ms: None,
            running: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            events: Vec::new(),
            waited: BTreeMap::new(),
        };
        world.take(effects);
        world
    }

    /// What the host does with effects.
    fn take(&mut self, effects: Effects) {
        assert!(effects.events.len() <= EFFECTS_LEN_MAX);
        assert!(effects.messages.len() <= EFFECTS_LEN_MAX);
        assert!(view::schedule(&self.schedule, Some(true)).len() <= INLINE_BYTES_MAX);
        assert!(explain::why(&self.schedule).len() <= INLINE_BYTES_MAX);
        if effects.urgency == Urgency::Never {
            assert!(effects.events.is_empty() && effects.timers.is_empty());
        }
        self.seq += effects.events.len() as u64;
        for event in effects.events {
            let data = serde_json::from_slice(&event.data).unwrap();
            self.events
                .push((self.now_ms, event.kind.into_owned(), data));
        }
        for planned_ms in &self.schedule.record.buffered {
            self.waited.entry(*planned_ms).or_insert(self.now_ms);
        }
        for timer in effects.timers {
            self.timer_ms = match timer {
                TimerChange::Set { due_ms, .. } => Some(due_ms),
                TimerChange::Cancel { .. } => None,
            };
        }
        for message in effects.messages {
            let operation = message.to.key.to_string();
            if message.name == "cancel" {
                self.cancelled.insert(operation);
                continue;
            }
            let submit: ChildSubmit = serde_json::from_slice(&message.body).unwrap();
            assert_eq!(submit.parent.actor, self.schedule.record.address);
            let name = submit.parent.name;
            assert!(
                self.running.insert(operation, name).is_none(),
                "twice at once"
            );
        }
    }

    /// Fires the timer for as long as it is due.
    fn fire(&mut self) {
        while self.timer_ms.is_some_and(|due_ms| due_ms <= self.now_ms) {
            self.timer_ms = None;
            let effects = self.schedule.due(self.now_ms);
            self.take(effects);
        }
    }

    /// The host's clock goes on by single timers.
    fn advance(&mut self, by_ms: u64) {
        let end_ms = self.now_ms + by_ms;
        while let Some(due_ms) = self.timer_ms.filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.fire();
        }
        self.now_ms = end_ms;
    }

    /// The clock jumps, or the node was away.
    fn jump(&mut self, to_ms: u64) {
        self.now_ms = to_ms;
        self.fire();
    }

    fn end(&mut self, operation: &str, status: &str) {
        assert!(self.running.remove(operation).is_some(), "{operation}");
        self.cancelled.remove(operation);
        let told = told(operation, status);
        let effects = self.schedule.finished(self.now_ms, &told).unwrap();
        self.take(effects);
    }

    fn end_all(&mut self) {
        while let Some((operation, _)) = self.running.pop_first() {
            self.running.insert(operation.clone(), String::new());
            self.end(&operation, "succeeded");
        }
    }

    /// The state as another node loads it.
    fn restart(&mut self) {
        let text = serde_json::to_vec(&self.schedule.record).unwrap();
        let record: Record = serde_json::from_slice(&text).unwrap();
        let plan = Plan::new(&record.definition).unwrap();
        self.schedule = Schedule { record, plan };
    }

    fn told(&self, kind: &str) -> Vec<&Value> {
        let mut found = Vec::new();
        for (_, name, data) in &self.events {
            if name == kind {
                found.push(data);
            }
        }
        found
    }

    /// Minutes after the beginning that were submitted for.
    fn submitted(&self) -> Vec<u64> {
        let planned = |data: &&Value| time::parse(data["plannedAt"].as_str().unwrap()).unwrap();
        let told = self.told("submitted");
        told.iter()
            .map(|data| (planned(data) - BEGIN) / MINUTE)
            .collect()
    }

    fn one_running(&self) -> String {
        assert_eq!(self.running.len(), 1);
        self.running.keys().next().unwrap().clone()
    }
}

fn told(operation: &str, status: &str) -> ChildFinished {
    ChildFinished {
        name: String::new(),
        operation: OperationId::new(operation).unwrap(),
        status: status.to_owned(),
        result: None,
        error: (status == "failed").then(|| ChildError {
            code: "broken".to_owned(),
            message: "é".repeat(2_000),
        }),
    }
}

#[test]
fn runs_are_submitted_under_their_planned_time() {
    let mut world = World::new("nightly", &json!({}));
    world.advance(MINUTE);
    assert_eq!(world.one_running(), "nightly.2027-01-15T08:01:00.000Z");
    // A timer that fires twice submits once.
    let effects = world.schedule.due(world.now_ms);
    assert!(effects.messages.is_empty());
    world.take(effects);
    let running = world.one_running();
    world.end(&running, "failed");
    let counts = world.schedule.record.counts;
    assert_eq!((counts.runs, counts.failed), (1, 1));
    // A repeat of the news changes nothing.
    assert!(
        world
            .schedule
            .finished(world.now_ms, &told(&running, "failed"))
            .is_none()
    );
    assert_eq!(world.told("finished").len(), 1);
}

#[test]
fn keys_that_are_no_ids_still_make_ids() {
    let long = "k".repeat(512);
    for key in ["every night", "nächtlich", long.as_str(), "/"] {
        let mut world = World::new(key, &json!({}));
        world.schedule.record.incarnation = 3;
        world.advance(MINUTE);
        let id = world.one_running();
        assert!(id.len() <= CHOSEN_ID_BYTES_MAX, "{id}");
        assert!(id.ends_with(".2027-01-15T08:01:00.000Z.3"), "{id}");
    }
}

#[test]
fn overlaps_are_treated_as_the_definition_says() {
    for (overlap, submitted, skipped) in [
        ("skip", vec![1, 6], 4),
        ("buffer-one", vec![1, 2, 6], 3),
        ("buffer-all", vec![1, 2, 3, 4, 5, 6], 0),
        ("allow", vec![1, 2, 3, 4, 5, 6], 0),
        ("cancel-other", vec![1, 5, 6], 3),
    ] {
        let mut world = World::new("o", &json!({ "overlap": overlap }));
        world.advance(5 * MINUTE);
        let is_alone = overlap != "allow";
        assert_eq!(
            world.running.len(),
            if is_alone { 1 } else { 5 },
            "{overlap}"
        );
        assert_eq!(
            world.cancelled.len(),
            usize::from(overlap == "cancel-other")
        );
        world.end_all();
        world.advance(MINUTE);
        world.end_all();
        assert_eq!(world.submitted(), submitted, "{overlap}");
        assert_eq!(world.told("skipped").len(), skipped, "{overlap}");
        assert_eq!(world.schedule.record.counts.skipped, skipped as u64);
    }
}

#[test]
fn what_waits_and_what_runs_is_bounded() {
    for (overlap, running, waiting) in [
        ("buffer-all", 1, SCHEDULE_BUFFER_MAX),
        ("allow", SCHEDULE_RUNNING_MAX, 0),
    ] {
        let mut world = World::new(&"é".repeat(256), &json!({ "overlap": overlap }));
        world.advance(300 * MINUTE);
        assert_eq!(world.running.len(), running);
        assert_eq!(world.schedule.record.buffered.len(), waiting);
        let skipped = 300 - running - waiting;
        assert_eq!(world.told("skipped").len(), skipped);
        let (definition, plan) = defined(&minutely(&json!({ "overlap": "cancel-other" }))).unwrap();
        world.now_ms += 5 * MINUTE;
        let effects = world.schedule.update(world.now_ms, definition, plan);
        world.take(effects);
        world.advance(MINUTE);
        assert_eq!(world.cancelled.len(), running);
    }
}

#[test]
fn times_that_passed_are_caught_up_within_the_window() {
    let window = json!({ "overlap": "allow", "catchUpMs": 10 * MINUTE });
    let mut world = World::new("c", &window);
    world.jump(BEGIN + DAY + MINUTE / 2);
    let minutes = DAY / MINUTE;
    let expected: Vec<u64> = (minutes - 9..=minutes).collect();
    assert_eq!(world.submitted(), expected);
    assert_eq!(world.schedule.record.counts.missed, minutes - 10);
    let missed = world.told("missed");
    assert_eq!(missed[0]["count"], minutes - 10);
    assert_eq!(missed[0]["firstPlannedAt"], "2027-01-15T08:01:00.000Z");

    // More than fit into one commit; more than are counted.
    let mut world = World::new(
        "c",
        &json!({ "overlap": "buffer-all", "catchUpMs": DAY / 8 }),
    );
    world.jump(BEGIN + 60 * DAY);
    assert_eq!(world.schedule.record.buffered.len(), SCHEDULE_BUFFER_MAX);
    let counts = world.schedule.record.counts;
    assert!(counts.missed >= SCHEDULE_MISSED_COUNT_MAX);
    let decided = counts.runs + counts.skipped + SCHEDULE_BUFFER_MAX as u64;
    // The edge of the window belongs to it.
    assert_eq!(decided, DAY / 8 / MINUTE + 1);
}

#[test]
fn a_clock_that_jumps_neither_loses_nor_doubles() {
    let mut world = World::new(
        "j",
        &json!({ "overlap": "allow", "catchUpMs": 2 * DAY, "everyMs": 60 * MINUTE }),
    );
    world.advance(DAY);
    // A day ahead and back, then on: each hour once.
    world.jump(BEGIN + 2 * DAY);
    world.jump(BEGIN + DAY);
    world.advance(2 * DAY);
    let hours: Vec<u64> = world.submitted().iter().map(|minute| minute / 60).collect();
    assert_eq!(hours, (1..=72).collect::<Vec<_>>());
    assert!(world.told("missed").is_empty());
}

#[test]
fn a_pause_lets_nothing_begin() {
    let mut world = World::new("p", &json!({ "overlap": "buffer-one" }));
    world.advance(2 * MINUTE);
    let effects = world.schedule.pause(world.now_ms, Some("why".to_owned()));
    world.take(effects);
    assert_eq!(world.timer_ms, None);
    let effects = world.schedule.pause(world.now_ms, Some("why".to_owned()));
    assert_eq!(effects.urgency, Urgency::Never);
    world.end_all();
    world.advance(10 * MINUTE);
    assert_eq!(world.submitted(), [1]);
    // What waited runs at the end; the times of the pause do not.
    let effects = world.schedule.resume(world.now_ms);
    world.take(effects);
    world.end_all();
    world.advance(MINUTE);
    assert_eq!(world.submitted(), [1, 2, 13]);
}

#[test]
fn a_schedule_ends_as_it_says() {
    let mut world = World::new("e", &json!({ "maxRuns": 3, "overlap": "buffer-all" }));
    world.advance(10 * MINUTE);
    world.end_all();
    assert_eq!(world.submitted(), [1, 2, 3]);
    assert_eq!(world.told("ended"), [&json!({ "reason": "maxRuns" })]);
    assert!(world.schedule.is_ended() && world.timer_ms.is_none());

    let from = time::format(BEGIN + 3 * MINUTE);
    let until = time::format(BEGIN + 4 * MINUTE);
    let mut world = World::new(
        "e",
        &json!({ "startAt": from, "endAt": until, "overlap": "allow" }),
    );
    assert_eq!(
        world.schedule.coming(5),
        [BEGIN + 3 * MINUTE, BEGIN + 4 * MINUTE]
    );
    world.advance(10 * MINUTE);
    assert_eq!(world.submitted(), [3, 4]);
    assert_eq!(world.told("ended"), [&json!({ "reason": "endAt" })]);
    // By hand it still runs, and an update brings it back.
    let (triggered, effects) = world.schedule.trigger(world.now_ms, world.seq);
    assert!(matches!(triggered, Triggered::Submitted(_)));
    world.take(effects);
    let (definition, plan) = defined(&minutely(&json!({}))).unwrap();
    let effects = world.schedule.update(world.now_ms, definition, plan);
    world.take(effects);
    assert_eq!(world.timer_ms, Some(BEGIN + 11 * MINUTE));
}

#[test]
fn a_trigger_runs_now_unless_one_is_to_be_skipped() {
    let mut world = World::new("t", &json!({}));
    let (first, effects) = world.schedule.trigger(world.now_ms, world.seq);
    world.take(effects);
    let (second, effects) = world.schedule.trigger(world.now_ms, world.seq);
    world.take(effects);
    assert!(matches!(first, Triggered::Submitted(_)));
    assert_eq!(second, Triggered::Skipped);
    let mut world = World::new("t", &json!({ "overlap": "buffer-one" }));
    for count in 1..=SCHEDULE_RUNNING_MAX + 1 {
        let (triggered, effects) = world.schedule.trigger(world.now_ms, world.seq);
        world.take(effects);
        assert_eq!(triggered == Triggered::Full, count > SCHEDULE_RUNNING_MAX);
    }
    assert_eq!(world.running.len(), SCHEDULE_RUNNING_MAX);
    assert_eq!(world.told("triggered").len(), SCHEDULE_RUNNING_MAX);
}

#[test]
fn chance_puts_off_by_the_same_each_time() {
    let fields = json!({ "jitterMs": 30_000, "overlap": "allow" });
    let mut dues = BTreeSet::new();
    let mut world = World::new("jitter", &fields);
    for minute in 1..=20 {
        let due_ms = world.timer_ms.unwrap();
        let planned_ms = BEGIN + minute * MINUTE;
        assert!((planned_ms..=planned_ms + 30_000).contains(&due_ms));
        dues.insert(due_ms - planned_ms);
        world.restart();
        world.jump(due_ms);
    }
    assert_eq!(world.submitted(), (1..=20).collect::<Vec<_>>());
    assert!(dues.len() > 10, "{dues:?}");
}

#[test]
fn a_definition_that_is_wrong_says_where() {
    for (fields, field) in [
        (json!({ "everyMs": null }), "cron"),
        (json!({ "everyMs": 5 }), "everyMs"),
        (json!({ "cron": "* * * * *" }), "everyMs"),
        (json!({ "offsetMs": MINUTE }), "offsetMs"),
        (json!({ "timeZone": "UTC" }), "timeZone"),
        (json!({ "everyMs": null, "cron": "* * *" }), "cron"),
        (json!({ "everyMs": null, "cron": "* ".repeat(200) }), "cron"),
        (
            json!({ "everyMs": null, "cron": "* * * * *", "timeZone": "Mars" }),
            "timeZone",
        ),
        (
            json!({ "everyMs": null, "cron": "* * * * *", "offsetMs": 1 }),
            "offsetMs",
        ),
        (json!({ "catchUpMs": u64::MAX }), "catchUpMs"),
        (json!({ "jitterMs": DAY }), "jitterMs"),
        (json!({ "maxRuns": 0 }), "maxRuns"),
        (json!({ "startAt": "tomorrow" }), "startAt"),
        (
            json!({ "startAt": "2027-01-01T00:00:00Z", "endAt": "2026-01-01T00:00:00Z" }),
            "endAt",
        ),
        (json!({ "note": "n".repeat(1_000) }), "note"),
        (json!({ "overlap": "maybe" }), "body"),
        (json!({ "every": 1 }), "body"),
        (
            json!({ "operation": { "type": "a", "labels": { "": "" } } }),
            "operation.labels",
        ),
        (
            json!({ "operation": { "type": "a", "input": "x".repeat(30_000) } }),
            "operation",
        ),
        (
            json!({ "operation": { "type": "a", "runAt": "x" } }),
            "body",
        ),
    ] {
        let failure = defined(&minutely(&fields)).err();
        let failure = failure.unwrap_or_else(|| panic!("{fields} was taken"));
        assert_eq!(failure.field.as_deref(), Some(field), "{fields}: {failure}");
    }
    // What never comes is refused with its field as well.
    for (fields, field) in [
        (json!({ "everyMs": null, "cron": "0 0 30 2 *" }), "cron"),
        (json!({ "endAt": "2020-01-01T00:00:00Z" }), "endAt"),
    ] {
        let (_, plan) = defined(&minutely(&fields)).unwrap();
        let failure = plan.check_next(BEGIN).unwrap_err().0;
        assert_eq!(failure.field.as_deref(), Some(field), "{fields}");
    }
}
