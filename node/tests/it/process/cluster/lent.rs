//! Operations whose owner runs nothing itself: other nodes execute their attempts, and one of the two is killed.

use std::collections::BTreeSet;

use selvedge_cluster::Clock;
use serde_json::{Value, json};

use super::{Cluster, Member};
use crate::process::verbs::{events, executions, submit, until};
use crate::process::{Access, PATIENCE, run};

const ID: &str = "lent-1";

/// Begins an import, and returns when its first step is finished.
fn begin(access: &Access) {
    submit(access, ID, &json!({ "rows": 3, "stepMs": 500 }));
    events(access, ID, |events| !finished(events).is_empty());
}

/// The steps that are finished, by the key under which they are noted.
fn finished(events: &[Value]) -> BTreeSet<String> {
    let steps = events
        .iter()
        .filter(|event| event["type"] == "step.finished");
    steps
        .map(|event| format!("default/{ID}/{}", event["data"]["step"].as_str().unwrap()))
        .collect()
}

/// What `why` says, as soon as it is this of the node that executes the operation.
fn runs_on(access: &Access, is_meant: impl Fn(&str) -> bool) -> Value {
    let begun = Clock::system().monotonic();
    let mut said = String::new();
    while begun.elapsed() < PATIENCE {
        // For a moment nobody may be there to answer.
        let output = run(&mut access.client(&["op", "why", ID]));
        if let Ok(why) = serde_json::from_slice::<Value>(&output.stdout) {
            let summary = why["summary"].as_str().unwrap();
            let (_, on) = summary.split_once(" at work on ").unwrap_or_default();
            if is_meant(on.split(' ').next().unwrap_or_default()) {
                return why;
            }
            summary.clone_into(&mut said);
        }
    }
    panic!("{said}")
}

fn node_of(why: &Value) -> String {
    let summary = why["summary"].as_str().unwrap();
    let (_, on) = summary.split_once(" at work on ").unwrap();
    on.split(' ').next().unwrap().to_owned()
}

fn kill(members: &mut [Member], name: &str) {
    let member = members.iter_mut().find(|member| member.name == name);
    member.unwrap().kill();
}

/// The operation succeeds, and none of the steps that were finished before ran twice.
fn succeeds(access: &Access, before: &BTreeSet<String>, member: &Member) {
    let events = until(access, ID, "succeeded");
    let executed = executions(&member.steps());
    assert!(!before.is_empty());
    for step in before {
        assert_eq!(executed[step], 1, "{step}: {executed:?}");
    }
    for step in finished(&events) {
        assert!(executed[&step] >= 1, "{step}: {executed:?}");
    }
    // One that was at work may have been noted before its end was lost.
    let twice = executed.values().filter(|count| **count > 1).count();
    assert!(twice <= 1, "{executed:?}");
}

#[test]
fn an_attempt_runs_again_elsewhere_when_the_node_that_executes_it_is_killed() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let owner = cluster.member(&storage, "node-1", &["--roles", "core,edge"]);
    let mut runners =
        ["node-2", "node-3"].map(|name| cluster.member(&storage, name, &["--roles", "processing"]));
    let access = owner.access();
    begin(access);
    let why = runs_on(access, |on| !on.is_empty());
    assert_eq!(why["owner"]["node"], "node-1");
    let lost = node_of(&why);
    let before = finished(&events(access, ID, |events| !finished(events).is_empty()));
    kill(&mut runners, &lost);
    let again = runs_on(access, |on| !on.is_empty() && on != lost);
    assert_eq!(again["owner"]["node"], "node-1");
    succeeds(access, &before, &owner);
}

#[test]
fn an_attempt_runs_again_for_the_next_owner_when_its_owner_is_killed() {
    let cluster = Cluster::new();
    let storage = cluster.storage("127.0.0.1:0");
    let mut owners =
        ["node-1", "node-2"].map(|name| cluster.member(&storage, name, &["--roles", "core,edge"]));
    let runner = cluster.member(&storage, "node-3", &["--roles", "processing"]);
    begin(owners[0].access());
    let why = runs_on(owners[0].access(), |on| on == "node-3");
    let lost = why["owner"]["node"].as_str().unwrap().to_owned();
    let next = owners.iter().find(|member| member.name != lost).unwrap();
    let (access, name) = (next.access().clone(), next.name.clone());
    let before = finished(&events(&access, ID, |events| !finished(events).is_empty()));
    kill(&mut owners, &lost);
    let again = runs_on(&access, |on| on == "node-3");
    assert!([&lost, &name].contains(&&again["owner"]["node"].as_str().unwrap().to_owned()));
    succeeds(&access, &before, &runner);
    let owner = access.ask(&["op", "why", ID])["owner"]["node"].clone();
    assert_eq!(owner, name.as_str());
}
