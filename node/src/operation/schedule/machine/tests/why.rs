//! What a schedule says of itself when it is asked why, in each of the situations that it can be in.

use super::*;

impl World {
    fn why(&self) -> Value {
        serde_json::from_slice(&explain::why(&self.schedule)).unwrap()
    }

    /// The reasons of what it waits for, and the first in words.
    fn waits(&self) -> (Vec<String>, String) {
        let why = self.why();
        let waits = why["waits"].as_array().unwrap();
        let reasons = waits.iter().map(|wait| wait["reason"].as_str().unwrap());
        let first = waits.first().map(|wait| wait["detail"].as_str().unwrap());
        let first = first.unwrap_or_default().to_owned();
        let summary = why["summary"].as_str().unwrap();
        assert!(summary.contains(&first), "{summary}");
        (reasons.map(str::to_owned).collect(), first)
    }
}

fn minute(number: u64) -> String {
    time::format(BEGIN + number * MINUTE)
}

#[test]
fn an_idle_one_waits_for_its_next_time() {
    let mut world = World::new("s", &json!({}));
    let why = world.why();
    assert_eq!(
        (&why["id"], &why["status"]),
        (&json!("s"), &json!("active"))
    );
    let wait = json!({
        "reason": "time", "detail": format!("time: it runs next at {}", minute(1)),
        "since": minute(0), "until": minute(1),
    });
    assert_eq!(why["waits"], json!([wait]));
    assert_eq!(why["nextRunAt"], minute(1));
    assert!(why["lastSubmitted"].is_null() && why["lastError"].is_null());
    // What it has done since is told; what waits, since the time before.
    world.advance(MINUTE);
    let operation = world.one_running();
    let why = world.why();
    let submitted = json!({
        "operation": operation, "plannedAt": minute(1), "submittedAt": minute(1),
    });
    assert_eq!(why["lastSubmitted"], submitted);
    assert_eq!(why["waits"][0]["since"], minute(1));
    assert_eq!(why["running"][0]["operation"], operation);
}

#[test]
fn what_chance_adds_is_part_of_the_next_run() {
    let world = World::new("s", &json!({ "jitterMs": 30_000 }));
    let due = time::format(world.timer_ms.unwrap());
    assert_eq!(world.why()["nextRunAt"], due);
    let (_, said) = world.waits();
    assert!(said.contains(&due) && said.contains(&minute(1)), "{said}");
}

#[test]
fn what_runs_counts_as_the_overlap_says() {
    for (overlap, reasons, says) in [
        ("skip", ["time"].as_slice(), "unless s."),
        ("buffer-one", &["time", "operation"], "or when s."),
        ("buffer-all", &["time", "operation"], "or when s."),
        ("cancel-other", &["time", "operation"], "and cancels s."),
        ("allow", &["time"], "it runs next at"),
    ] {
        let mut world = World::new("s", &json!({ "overlap": overlap }));
        world.advance(3 * MINUTE);
        let (found, said) = world.waits();
        assert_eq!(found, reasons, "{overlap}");
        assert!(said.contains(says), "{overlap}: {said}");
        let why = world.why();
        let skipped = &why["lastSkipped"];
        match overlap {
            "skip" | "buffer-one" => {
                let expected = json!({ "plannedAt": minute(3), "reason": "overlap" });
                assert_eq!(*skipped, expected, "{overlap}");
            }
            "cancel-other" => assert_eq!(skipped["plannedAt"], minute(2)),
            _ => assert!(skipped.is_null(), "{overlap}: {skipped}"),
        }
        if let Some(wait) = why["waits"].get(1) {
            let first = if overlap == "cancel-other" { 3 } else { 2 };
            assert_eq!(wait["since"], minute(first), "{overlap}");
            let detail = wait["detail"].as_str().unwrap();
            assert!(detail.contains(&world.one_running()), "{overlap}: {detail}");
        }
    }
}

#[test]
fn a_paused_one_waits_for_a_client() {
    let mut world = World::new("s", &json!({ "overlap": "buffer-one" }));
    world.advance(2 * MINUTE);
    for note in ["repairs", "longer repairs"] {
        let effects = world.schedule.pause(world.now_ms, Some(note.to_owned()));
        world.take(effects);
        world.restart();
        let (reasons, said) = world.waits();
        assert_eq!(reasons, ["resume", "operation"]);
        assert!(said.contains(note) && said.contains("resume it"), "{said}");
        // Another note is no other pause.
        assert_eq!(world.why()["waits"][0]["since"], minute(2));
        assert!(world.why()["nextRunAt"].is_null());
        world.advance(MINUTE);
    }
    let effects = world.schedule.resume(world.now_ms);
    world.take(effects);
    assert_eq!(world.waits().0, ["time", "operation"]);
}

#[test]
fn the_last_outcome_and_the_last_error_are_told_apart() {
    let mut world = World::new("s", &json!({ "overlap": "allow" }));
    world.advance(MINUTE);
    let failed = world.one_running();
    world.end(&failed, "failed");
    let why = world.why();
    assert_eq!(why["lastSubmitted"]["status"], "failed");
    assert_eq!(why["lastSubmitted"]["error"], why["lastError"]["error"]);
    world.advance(MINUTE);
    let earlier = world.one_running();
    world.advance(MINUTE);
    let mut running = world.running.keys().cloned();
    let latest = running.find(|it| *it != earlier).unwrap();
    world.end(&latest, "succeeded");
    world.end(&earlier, "cancelled");
    world.restart();
    let why = world.why();
    let submitted = json!({
        "operation": latest, "plannedAt": minute(3), "submittedAt": minute(3),
        "status": "succeeded", "finishedAt": minute(3),
    });
    assert_eq!(why["lastSubmitted"], submitted);
    assert_eq!(why["lastError"]["operation"], failed);
    let said = why["lastError"]["error"].as_str().unwrap();
    assert!(said.starts_with("broken: "), "{said}");
}

#[test]
fn late_times_are_missed_or_caught_up() {
    let mut world = World::new(
        "s",
        &json!({ "overlap": "allow", "catchUpMs": 80 * MINUTE }),
    );
    world.now_ms = BEGIN + 100 * MINUTE;
    // One commit does not decide all that is still in time.
    let effects = world.schedule.due(world.now_ms);
    world.take(effects);
    let (reasons, said) = world.waits();
    assert_eq!(reasons, ["catch-up"]);
    assert!(said.contains(&minute(84)), "{said}");
    let missed = json!({
        "count": 19, "firstPlannedAt": minute(1), "lastPlannedAt": minute(19),
        "foundAt": minute(100),
    });
    assert_eq!(world.why()["lastMissed"], missed);
    assert_eq!(world.why()["lastSubmitted"]["submittedAt"], minute(100));
    world.fire();
    let (reasons, said) = world.waits();
    assert_eq!(reasons, ["time"]);
    assert!(said.contains(&minute(101)), "{said}");
}

#[test]
fn an_ended_one_waits_for_nothing() {
    for (fields, says) in [
        (json!({ "maxRuns": 2 }), "maxRuns"),
        (json!({ "endAt": minute(2) }), "endAt"),
    ] {
        let mut world = World::new("s", &fields);
        world.advance(MINUTE);
        world.end_all();
        world.advance(5 * MINUTE);
        let why = world.why();
        assert_eq!(
            (&why["status"], &why["waits"]),
            (&json!("ended"), &json!([]))
        );
        assert!(why["summary"].as_str().unwrap().contains(says), "{why}");
    }
}

#[test]
fn a_record_of_before_all_this_was_kept_still_reads() {
    let mut world = World::new("s", &json!({}));
    world.advance(MINUTE);
    let effects = world.schedule.pause(world.now_ms, None);
    world.take(effects);
    let mut stored = serde_json::to_value(&world.schedule.record).unwrap();
    stored.as_object_mut().unwrap().remove("past").unwrap();
    let paused = stored["paused"].as_object_mut().unwrap();
    paused.remove("sinceMs").unwrap();
    world.schedule.record = serde_json::from_value(stored).unwrap();
    let why = world.why();
    assert_eq!(why["waits"][0]["reason"], "resume");
    assert!(why["waits"][0]["since"].is_null() && why["lastSubmitted"].is_null());
}
