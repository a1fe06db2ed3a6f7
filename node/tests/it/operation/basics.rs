//! One operation at a time: run, fail, retry, cancel, refuse.

use selvedge_client::operation::OperationStatus;
use selvedge_protocol::ErrorCode;
use serde_json::json;

use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_runs_to_its_result() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let body = json!({ "type": "steps", "input": { "steps": ["a", "b"] }, "metadata": { "m": 1 } });
    let submitted = submit(&node, "one", body.clone()).await.unwrap();
    assert_eq!(submitted["created"], true);
    assert_eq!(submitted["status"], "pending");
    assert_eq!(submitted["version"], 1);
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    assert_eq!(done.result.unwrap().get(), r#"{"steps":2}"#);
    assert_eq!(done.created_by, "tester");
    assert_eq!(done.metadata.unwrap().get(), r#"{"m":1}"#);
    let steps: Vec<_> = done.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["a", "b"]);

    let (names, _) = until(&mut watch(&node, "one").await, "succeeded").await;
    assert_eq!(
        names,
        [
            "submitted",
            "started",
            "step.finished",
            "step.finished",
            "succeeded"
        ]
    );

    let again = submit(&node, "one", body).await.unwrap();
    assert_eq!(
        (&again["created"], &again["status"]),
        (&json!(false), &json!("succeeded"))
    );
    let other = json!({ "type": "steps", "input": { "steps": ["c"] } });
    assert_eq!(code(submit(&node, "one", other).await), ErrorCode::Conflict);
    assert_eq!(world.probe.executions("one/a"), 1);
    assert_eq!(code(get(&node, "two").await), ErrorCode::NotFound);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_followed_by_another() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    submit_steps(&node, "one", json!({ "steps": ["a", "b"], "failures": 2 })).await;
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    assert_eq!(done.attempt, 3);
    assert_eq!(done.steps[1].attempt, 3);
    assert_eq!(world.probe.executions("one/a"), 1);
    assert_eq!(world.probe.executions("one/b"), 3);
    let (_, failed) = until(&mut watch(&node, "one").await, "step.failed").await;
    assert_eq!(
        (&failed["step"], &failed["attempt"]),
        (&json!("b"), &json!(1))
    );
    assert!(failed["nextAttemptAt"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_past_the_policy_or_permanent_ones_are_final() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for (name, input, executions, expected) in [
        (
            "often",
            json!({ "steps": ["a"], "failures": 9 }),
            3,
            "handler",
        ),
        (
            "once",
            json!({ "steps": ["a"], "failures": 9, "is_permanent": true }),
            1,
            "handler",
        ),
        (
            "panics",
            json!({ "steps": ["a"], "failures": 9, "panics": true }),
            3,
            "panic",
        ),
        ("twice", json!({ "steps": ["a", "a"] }), 1, "duplicate_step"),
        ("input", json!({ "stairs": [] }), 0, "invalid_input"),
    ] {
        submit_steps(&node, name, input).await;
        let failed = finished(&node, name, OperationStatus::Failed).await;
        assert_eq!(failed.error.unwrap().code, expected, "{name}");
        assert_eq!(
            world.probe.executions(&format!("{name}/a")),
            executions,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_past_its_time_has_failed() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let body = json!({ "type": "hasty", "input": { "steps": ["forever"] } });
    submit(&node, "one", body).await.unwrap();
    let failed = finished(&node, "one", OperationStatus::Failed).await;
    let error = failed.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.step.as_deref()),
        ("timeout", Some("forever"))
    );
    assert_eq!(world.probe.executions("one/forever"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_what_runs() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let soon = selvedge_cluster::Clock::system().wall_ms() + 1_000;
    let soon = rfc3339(soon);
    let body = json!({
        "type": "steps", "input": { "steps": ["forever"] }, "deadline": soon,
    });
    submit(&node, "one", body).await.unwrap();
    world.probe.reach().await;
    let failed = finished(&node, "one", OperationStatus::Failed).await;
    assert_eq!(failed.error.unwrap().code, "deadline_exceeded");
    let body = json!({ "type": "steps", "deadline": "2020-01-01T00:00:00Z" });
    assert_eq!(code(submit(&node, "two", body).await), ErrorCode::Invalid);
}

/// Good for the day a test runs on.
fn rfc3339(unix_ms: u64) -> String {
    let days = unix_ms / 86_400_000;
    // Any day will do as long as it is the right one: count years and months off.
    let (mut year, mut rest) = (1970, days);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while rest >= 365 + u64::from(leap(year)) {
        rest -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while rest >= months[month] {
        rest -= months[month];
        month += 1;
    }
    let ms = unix_ms % 86_400_000;
    format!(
        "{year:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        month + 1,
        rest + 1,
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
        ms % 1_000
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_in_each_status() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    // Running.
    submit_steps(&node, "running", json!({ "steps": ["forever"] })).await;
    world.probe.reach().await;
    assert_eq!(
        get(&node, "running").await.unwrap().status,
        OperationStatus::Running
    );
    assert_eq!(
        cancel(&node, "running").await.unwrap()["status"],
        "cancelling"
    );
    let (names, _) = until(&mut watch(&node, "running").await, "cancelled").await;
    assert_eq!(names, ["submitted", "started", "cancelling", "cancelled"]);
    // Cancelled: the repeat of a cancel gets the same answer.
    assert_eq!(
        cancel(&node, "running").await.unwrap()["status"],
        "cancelled"
    );
    // Waiting for its time.
    let later = json!({ "type": "steps", "runAt": "2999-01-01T00:00:00Z" });
    assert_eq!(
        submit(&node, "later", later).await.unwrap()["status"],
        "waiting"
    );
    assert_eq!(cancel(&node, "later").await.unwrap()["status"], "cancelled");
    // Pending: the pool is full.
    for place in 0..world.concurrency {
        submit_steps(
            &node,
            &format!("busy{place}"),
            json!({ "steps": ["forever"] }),
        )
        .await;
        world.probe.reach().await;
    }
    submit_steps(&node, "pending", json!({ "steps": ["a"] })).await;
    assert_eq!(
        cancel(&node, "pending").await.unwrap()["status"],
        "cancelled"
    );
    for place in 0..world.concurrency {
        cancel(&node, &format!("busy{place}")).await.unwrap();
    }
    // Final.
    submit_steps(&node, "done", json!({ "steps": ["a"] })).await;
    finished(&node, "done", OperationStatus::Succeeded).await;
    let refused = cancel(&node, "done").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.message.contains("succeeded"), "{refused}");
    assert_eq!(code(cancel(&node, "nobody").await), ErrorCode::NotFound);
    assert_eq!(world.probe.executions("pending/a"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_its_places_run_in_a_pool() {
    let mut world = World::new();
    world.concurrency = 2;
    let node = world.node(&world.store()).await;
    for number in 0..20 {
        submit_steps(&node, &format!("op{number}"), json!({ "steps": ["gate"] })).await;
    }
    world.probe.gate.add_permits(20);
    for number in 0..20 {
        finished(&node, &format!("op{number}"), OperationStatus::Succeeded).await;
    }
    assert_eq!(
        world
            .probe
            .running_max
            .load(std::sync::atomic::Ordering::SeqCst),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_submits_are_refused_by_field() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    for (body, field) in [
        (json!({ "type": "Steps!" }), "body"),
        (json!({ "type": "steps", "prio": 1 }), "body"),
        (json!({ "type": "steps", "runAt": "tomorrow" }), "runAt"),
        (json!({ "type": "steps", "labels": { "": "x" } }), "labels"),
        (
            json!({ "type": "digest", "input": { "size": "large" } }),
            "input.size",
        ),
        (json!({ "type": "digest", "input": 7 }), "input"),
    ] {
        let refused = submit(&node, "one", body).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid);
        assert_eq!(refused.field.as_deref(), Some(field));
    }
    assert_eq!(code(get(&node, "one").await), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_ignores_what_it_does_not_know_of_its_input() {
    let world = World::new();
    let node = world.node(&world.store()).await;
    let body = json!({ "type": "digest", "input": { "a": 1 } });
    submit(&node, "one", body).await.unwrap();
    let done = finished(&node, "one", OperationStatus::Succeeded).await;
    let result: serde_json::Value = serde_json::from_str(done.result.unwrap().get()).unwrap();
    assert_eq!(result["bytes"], 0);
}
