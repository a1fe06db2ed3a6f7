//! Random lives of a schedule against a model: no time is decided twice or left out, overlaps and the
//! catch-up window hold, and the timer is set for as long as a time comes.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Something that happens to a schedule.
#[derive(Debug, Clone)]
enum Happens {
    Advance(u64),
    /// Away for so long, or a clock set forward.
    Forward(u64),
    Back(u64),
    Restart,
    /// The timer fires again.
    Again,
    End(usize, &'static str),
    Pause,
    Resume,
    Trigger,
    Update(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let status = prop::sample::select(vec!["succeeded", "failed", "cancelled", "compensated"]);
    prop_oneof![
        6 => (1..4 * MINUTE).prop_map(Happens::Advance),
        2 => (1..30 * MINUTE).prop_map(Happens::Forward),
        1 => Just(Happens::Forward(DAY)),
        1 => Just(Happens::Back(DAY)),
        1 => (1..3 * MINUTE).prop_map(Happens::Back),
        1 => Just(Happens::Restart),
        1 => Just(Happens::Again),
        5 => (any::<usize>(), status).prop_map(|(which, status)| Happens::End(which, status)),
        1 => Just(Happens::Pause),
        2 => Just(Happens::Resume),
        1 => Just(Happens::Trigger),
        1 => (0..DEFINITIONS).prop_map(Happens::Update),
    ]
}

const DEFINITIONS: usize = 80;
/// Less than between two times, so that they stay in order.
const JITTER_MS: u64 = 45_000;
const MAX_RUNS: u64 = 15;

/// One of some definitions, all of whose times are whole minutes.
fn definition(which: usize) -> Value {
    let overlaps = ["skip", "buffer-one", "buffer-all", "allow", "cancel-other"];
    let catch_up_ms = [0, 5 * MINUTE, 60 * MINUTE, 2 * DAY][which / 5 % 4];
    let mut definition = json!({ "overlap": overlaps[which % 5], "catchUpMs": catch_up_ms });
    if matches!(which / 20, 1 | 3) {
        definition["jitterMs"] = json!(JITTER_MS);
    }
    if matches!(which / 20, 2 | 3) {
        definition["maxRuns"] = json!(MAX_RUNS);
    }
    definition
}

/// What the model remembers.
#[derive(Default)]
struct Model {
    /// Every time that was decided, and how.
    decided: BTreeMap<u64, &'static str>,
    /// Times until here are decided, or nobody's.
    cursor: u64,
    seen: usize,
}

impl Model {
    /// Checks what has been told since against the rules. `looked`: the schedule had to look at the
    /// clock.
    fn check(&mut self, world: &World, before: &Before, looked: bool) {
        let record = &world.schedule.record;
        for (at_ms, kind, data) in &world.events[self.seen..] {
            let planned = || time::parse(data["plannedAt"].as_str().unwrap()).unwrap();
            match kind.as_str() {
                "submitted" => {
                    let operation = data["operation"].as_str().unwrap();
                    if !operation.contains("trigger-") {
                        let was = self.decided.insert(planned(), "run");
                        assert!(matches!(was, None | Some("waits")), "{was:?} {data}");
                        if was.is_none() {
                            before.check_in_time(planned(), *at_ms);
                        }
                    }
                }
                "skipped" => {
                    let was = self.decided.insert(planned(), "skipped");
                    assert!(matches!(was, None | Some("waits")), "{was:?} {data}");
                }
                "missed" => {
                    let at = |name: &str| time::parse(data[name].as_str().unwrap()).unwrap();
                    let (first, last) = (at("firstPlannedAt"), at("lastPlannedAt"));
                    assert_eq!(data["count"], (last - first) / MINUTE + 1);
                    let due_ms = before.plan.due_ms("model", last);
                    assert!(due_ms + before.catch_up_ms < *at_ms, "{data}");
                    for planned in (first..=last).step_by(60_000) {
                        assert_eq!(self.decided.insert(planned, "missed"), None);
                    }
                }
                _ => {}
            }
        }
        self.seen = world.events.len();
        for planned in &record.buffered {
            let was = self.decided.entry(*planned).or_insert_with(|| {
                before.check_in_time(*planned, world.waited[planned]);
                "waits"
            });
            assert_eq!(*was, "waits");
        }
        if looked && !before.is_paused && !world.schedule.is_ended() {
            self.check_none_left_out(world, before);
        }
        if record.paused.is_some() || before.is_paused || world.schedule.is_ended() {
            // Nobody's.
            self.cursor = self.cursor.max(world.now_ms);
        }
        self.check_record(world);
    }

    /// All times that have come are decided, but for those that chance puts off.
    fn check_none_left_out(&mut self, world: &World, before: &Before) {
        while self.cursor + MINUTE <= world.now_ms {
            let planned = (self.cursor / MINUTE + 1) * MINUTE;
            if !self.decided.contains_key(&planned) {
                let due_ms = before.plan.due_ms("model", planned);
                assert!(due_ms > world.now_ms, "{planned} is left out");
                return;
            }
            self.cursor = planned;
        }
    }

    fn check_record(&self, world: &World) {
        let record = &world.schedule.record;
        let count = |how: &str| self.decided.values().filter(|was| **was == how).count() as u64;
        assert_eq!(record.planned_runs, count("run") + count("waits"));
        let max_runs = record.definition.max_runs.unwrap_or(u64::MAX);
        let is_used_up = record.planned_runs >= max_runs;
        assert_eq!(
            record.next_ms.is_some(),
            record.paused.is_none() && !is_used_up
        );
        let due = |next_ms| world.schedule.plan.due_ms("model", next_ms);
        assert_eq!(world.timer_ms, record.next_ms.map(due));
        assert_eq!(record.timer_ms, world.timer_ms);
        assert!(record.next_ms.is_none_or(|next| next > record.cursor_ms));
        let running: BTreeSet<_> = record
            .running
            .iter()
            .map(|run| run.operation.to_string())
            .collect();
        assert_eq!(running, world.running.keys().cloned().collect());
        assert_eq!(record.counts.missed, count("missed"));
        assert_eq!(record.counts.skipped, count("skipped"));
        let triggered = world.told("triggered").len() as u64;
        assert_eq!(record.counts.runs, count("run") + triggered);
    }
}

/// What was so before something happened.
struct Before {
    plan: Plan,
    catch_up_ms: u64,
    is_paused: bool,
    overlap: Overlap,
    running: BTreeSet<String>,
    events: usize,
}

impl Before {
    fn of(world: &World) -> Self {
        let record = &world.schedule.record;
        Self {
            plan: world.schedule.plan.clone(),
            catch_up_ms: record.definition.catch_up_ms,
            is_paused: record.paused.is_some(),
            overlap: record.definition.overlap,
            running: world.running.keys().cloned().collect(),
            events: world.events.len(),
        }
    }

    /// A run begins within the window, or not at all.
    fn check_in_time(&self, planned: u64, at_ms: u64) {
        let due_ms = self.plan.due_ms("model", planned);
        assert!(due_ms <= at_ms, "before its time");
        assert!(due_ms + self.catch_up_ms >= at_ms, "too late");
    }

    /// Who may not run beside another has begun when nobody ran.
    fn check_overlap(&self, world: &World, ended: Option<&str>) {
        if self.overlap == Overlap::Allow
            || world.schedule.record.definition.overlap == Overlap::Allow
        {
            return;
        }
        let mut running = self.running.clone();
        for (_, kind, data) in &world.events[self.events..] {
            let operation = || data["operation"].as_str().unwrap().to_owned();
            match kind.as_str() {
                "finished" => assert!(running.remove(&operation()) && ended.is_some()),
                "submitted" => {
                    let operation = operation();
                    assert!(
                        running.is_empty() || operation.contains("trigger-"),
                        "{operation}"
                    );
                    running.insert(operation);
                }
                _ => {}
            }
        }
    }
}

fn live(start: usize, life: Vec<Happens>) {
    let mut world = World::new("model", &definition(start));
    let mut model = Model {
        cursor: BEGIN,
        ..Model::default()
    };
    model.check(&world, &Before::of(&world), false);
    for happens in life {
        let before = Before::of(&world);
        let mut ended = None;
        let mut looked = true;
        match happens {
            Happens::Advance(by_ms) => world.advance(by_ms),
            Happens::Forward(by_ms) => world.jump(world.now_ms + by_ms),
            Happens::Back(by_ms) => world.jump(world.now_ms.saturating_sub(by_ms).max(BEGIN)),
            Happens::Restart => {
                looked = false;
                world.restart();
            }
            Happens::Again => {
                let effects = world.schedule.due(world.now_ms);
                world.timer_ms = None;
                world.take(effects);
                if world.timer_ms.is_none() {
                    world.timer_ms = world.schedule.record.timer_ms;
                }
            }
            Happens::End(which, status) => {
                looked = false;
                let which = which % world.running.len().max(1);
                ended = world.running.keys().nth(which).cloned();
                if let Some(operation) = &ended {
                    world.end(operation, status);
                }
            }
            Happens::Pause => {
                let effects = world.schedule.pause(world.now_ms, None);
                world.take(effects);
            }
            Happens::Resume => {
                looked = false;
                let effects = world.schedule.resume(world.now_ms);
                world.take(effects);
            }
            Happens::Trigger => {
                looked = false;
                let (_, effects) = world.schedule.trigger(world.now_ms, world.seq);
                world.take(effects);
            }
            Happens::Update(which) => {
                let (definition, plan) = defined(&minutely(&definition(which))).unwrap();
                let effects = world.schedule.update(world.now_ms, definition, plan);
                world.take(effects);
            }
        }
        before.check_overlap(&world, ended.as_deref());
        model.check(&world, &before, looked);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_lives_keep_the_rules(
        start in 0..DEFINITIONS, life in prop::collection::vec(happens(), 1..80),
    ) {
        live(start, life);
    }
}
