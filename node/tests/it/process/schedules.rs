//! `selvedge schedule` as scripts use it: every form once, against a real node.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Access, Guarded, Node, fail, run, selvedge, text};

#[test]
fn schedules_have_their_forms() {
    let scratch = tempfile::tempdir().unwrap();
    let data_dir = scratch.path().join("data");
    let node = Node::dev(&data_dir);
    let access = node.access();
    assert_created(&access);

    let paused = access.ask(&["schedule", "pause", "nightly", "--note", "repairs"]);
    assert_eq!(
        (&paused["status"], &paused["pauseNote"]),
        (&json!("paused"), &json!("repairs"))
    );
    assert_eq!(
        access.ask(&["schedule", "resume", "nightly"])["status"],
        "active"
    );
    assert_triggered(&access);

    let short = [
        "op",
        "submit",
        "digest",
        "--schedule",
        "*/5 * * * *",
        "--id",
        "short",
    ];
    assert_eq!(access.ask(&short)["definition"]["cron"], "*/5 * * * *");
    let listed = access.ask(&["schedule", "list"]);
    assert_eq!(ids(&listed), ["nightly", "short"]);
    let first = access.ask(&["schedule", "list", "--limit", "1"]);
    assert_eq!(
        (ids(&first), &first["cursor"]),
        (vec!["nightly"], &json!("nightly"))
    );
    // For a person as well, through the profile in the data directory.
    for form in [
        ["schedule", "get", "nightly"].as_slice(),
        &["schedule", "list"],
    ] {
        let shown = run(selvedge().args(form).arg("--data-dir").arg(&data_dir));
        assert!(
            text(&shown.stdout).contains("every 300 s"),
            "{}",
            text(&shown.stdout)
        );
    }
    assert_explained(&access, &data_dir);
    access.ask(&["schedule", "delete", "nightly"]);
    assert_eq!(ids(&access.ask(&["schedule", "list"])), ["short"]);
    fail(&mut access.client(&["schedule", "get", "nightly"]), 3);
    fail(&mut access.client(&["schedule", "watch", "nightly"]), 3);
    fail(&mut access.client(&["schedule", "why", "nightly"]), 3);
    assert_refused(&access);
    assert!(node.stop("TERM").success());
}

/// What it waits for, in both forms, for scripts and for people.
fn assert_explained(access: &Access, data_dir: &Path) {
    let why = access.ask(&["schedule", "why", "nightly"]);
    assert_eq!(access.ask(&["why", "schedule", "nightly"]), why);
    assert_eq!(why["waits"][0]["reason"], "time");
    assert_eq!(why["nextRunAt"], why["waits"][0]["until"]);
    assert_eq!(why["lastSubmitted"]["status"], "succeeded");
    let form = ["why", "schedule", "nightly", "--data-dir"];
    let shown = text(&run(selvedge().args(form).arg(data_dir)).stdout);
    for part in ["time: it runs next at", "last", "succeeded"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    fail(&mut access.client(&["why", "schedule", "nobody"]), 3);
    let said = fail(&mut access.client(&["why", "timer", "nightly"]), 2);
    assert!(said.contains("why schedule ID"), "{said}");
}

/// A create, its repeat, and another definition.
fn assert_created(access: &Access) {
    let create = [
        "schedule",
        "create",
        "nightly",
        "--type",
        "digest",
        "--cron",
        "30 2 * * *",
        "--time-zone",
        "Europe/Berlin",
        "--input",
        r#"{"size":0}"#,
        "--overlap",
        "buffer-one",
        "--catch-up",
        "1h30m",
        "--label",
        "team=red",
        "--note",
        "while all sleep",
    ];
    let created = access.ask(&create);
    assert_eq!(created["created"], true);
    assert_eq!(
        created["definition"],
        json!({
            "cron": "30 2 * * *", "timeZone": "Europe/Berlin", "overlap": "buffer-one",
            "catchUpMs": 5_400_000, "note": "while all sleep",
            "operation": {
                "type": "digest", "input": { "size": 0 }, "labels": { "team": "red" }, "priority": 0
            },
        })
    );
    assert_eq!(access.ask(&create)["created"], false);
    let got = access.ask(&["schedule", "get", "nightly"]);
    assert_eq!(got["next"].as_array().unwrap().len(), 5);
    let other = [
        "schedule", "create", "nightly", "--type", "digest", "--every", "5m",
    ];
    let said = fail(&mut access.client(&other), 1);
    assert!(
        said.contains("conflict") && said.contains("update"),
        "{said}"
    );
    let updated = access.ask(&[
        "schedule", "update", "nightly", "--type", "digest", "--every", "5m",
    ]);
    assert_eq!(updated["definition"]["everyMs"], 300_000);
}

fn ids(listed: &Value) -> Vec<&str> {
    let items = listed["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap()).collect()
}

/// A run by hand, followed to its end.
fn assert_triggered(access: &Access) {
    let mut watch = access.client(&["schedule", "watch", "nightly", "--after", "0"]);
    let mut watch = Guarded(watch.stdout(Stdio::piped()).spawn().unwrap());
    let heard = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let answer = access.ask(&["schedule", "trigger", "nightly"]);
    assert_eq!(answer["triggered"], true);
    let events = heard.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut names = Vec::new();
    for event in events {
        names.push(event["type"].as_str().unwrap().to_owned());
        if event["type"] == "finished" {
            assert_eq!(event["data"]["operation"], answer["operation"]);
            break;
        }
    }
    assert_eq!(
        names,
        [
            "created",
            "updated",
            "paused",
            "resumed",
            "triggered",
            "submitted",
            "finished"
        ]
    );
    let operation = answer["operation"].as_str().unwrap();
    assert_eq!(access.ask(&["op", "get", operation])["status"], "succeeded");
}

/// Forms that are wrong, and their exit codes.
fn assert_refused(access: &Access) {
    let digest = ["schedule", "create", "x", "--type", "digest"];
    for (form, code, says) in [
        (["--cron", "0 0 30 2 *"].as_slice(), 2, "--cron: "),
        (&["--cron", "* * *"], 2, "5 fields"),
        (
            &["--cron", "* * * * *", "--time-zone", "Mars"],
            2,
            "--time-zone: ",
        ),
        (&["--every", "1ms"], 2, "--every: "),
        (&["--every", "soon"], 2, "duration"),
        (&["--every", "1m", "--cron", "* * * * *"], 2, "--cron"),
        (&["--every", "1m", "--time-zone", "UTC"], 2, "timeZone"),
        (&["--every", "1m", "--overlap", "maybe"], 2, "buffer-one"),
        (&["--every", "1m", "--input", "{"], 2, "--input"),
        (&[], 2, "--cron"),
    ] {
        let said = fail(access.client(&digest).args(form), code);
        assert!(said.contains(says), "{form:?}: {said}");
    }
    let submit = ["op", "submit", "digest", "--schedule", "* * * * *"];
    fail(&mut access.client(&submit), 2);
    fail(access.client(&submit).args(["--id", "x", "--wait"]), 2);
}

#[test]
fn a_schedule_runs_by_the_clock_of_the_world() {
    let scratch = tempfile::tempdir().unwrap();
    let node = Node::dev(&scratch.path().join("data"));
    let access = node.access();
    access.ask(&[
        "schedule",
        "create",
        "tick",
        "--type",
        "digest",
        "--every",
        "1s",
        "--max-runs",
        "2",
        "--overlap",
        "buffer-all",
    ]);
    let mut watch = access.client(&["schedule", "watch", "tick", "--after", "0"]);
    let mut watch = Guarded(watch.stdout(Stdio::piped()).spawn().unwrap());
    let heard = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let finished = heard
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .filter(|event| event["type"] == "finished")
        .take(2);
    for event in finished {
        assert_eq!(event["data"]["status"], "succeeded", "{event}");
    }
    let ended = access.ask(&["schedule", "get", "tick"]);
    assert_eq!(
        (&ended["status"], &ended["counts"]["runs"]),
        (&json!("ended"), &json!(2))
    );
}
