//! Patches: what is refused and how, how changes merge, what they make of a policy.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn merged(patch: &PolicyPatch, change: &Value) -> Result<PolicyPatch, WrongPatch> {
    patch.merged(change.to_string().as_bytes())
}

/// A patch that says everything.
fn full() -> Value {
    json!({
        "concurrency": 2, "clusterConcurrency": 3,
        "rate": { "operations": 5, "periodMs": 1_000 },
        "retry": {
            "attemptsMax": 3, "initialMs": 10, "factor": 1.5, "maxMs": 100, "finalCodes": ["gone"],
        },
        "stepTimeoutMs": 1, "heartbeatTimeoutMs": 2, "totalTimeoutMs": 3, "queueTimeoutMs": 4,
        "breaker": { "failures": 3, "windowMs": 10, "openMs": 20, "probes": 1 },
        "retentionMs": 86_400_000,
    })
}

#[test]
fn every_field_is_known_and_kept() {
    let patch = merged(&PolicyPatch::default(), &full()).unwrap();
    assert_eq!(serde_json::to_value(&patch).unwrap(), full());
    let Value::Object(fields) = full() else {
        panic!("an object");
    };
    assert_eq!(fields.len(), FIELDS.len());
    for (name, rule) in FIELDS {
        if let Rule::Fields(inner) = rule {
            assert_eq!(fields[*name].as_object().unwrap().len(), inner.len());
        }
    }
}

#[test]
fn wrong_changes_name_the_field_and_the_remedy() {
    for (change, field, remedy) in [
        (
            json!({ "concurrency": 0 }),
            "concurrency",
            "from 1 to 65536, not 0",
        ),
        (json!({ "concurrency": "2" }), "concurrency", "not \"2\""),
        (json!({ "concurrency": 1.5 }), "concurrency", "whole number"),
        (
            json!({ "concurency": 2 }),
            "concurency",
            "one of concurrency, clusterConcurrency",
        ),
        (
            json!({ "rate": 5 }),
            "rate",
            "an object with operations, periodMs",
        ),
        (
            json!({ "rate": { "periodMs": 5 } }),
            "rate.operations",
            "how many",
        ),
        (
            json!({ "rate": { "operations": 5, "per": "s" } }),
            "rate.per",
            "one of operations",
        ),
        (
            json!({ "retry": { "factor": 0.5 } }),
            "retry.factor",
            "from 1 to 100",
        ),
        (
            json!({ "retry": { "finalCodes": "gone" } }),
            "retry.finalCodes",
            "a list",
        ),
        (
            json!({ "retry": { "initialMs": 9, "maxMs": 8 } }),
            "retry.initialMs",
            "at most 8",
        ),
        (
            json!({ "stepTimeoutMs": -1 }),
            "stepTimeoutMs",
            "from 1 to 31622400000",
        ),
        (
            json!({ "breaker": { "probes": 0 } }),
            "breaker.probes",
            "from 1 to 1000",
        ),
        (json!([1]), "body", "an object"),
    ] {
        let refused = merged(&PolicyPatch::default(), &change).unwrap_err();
        assert_eq!(refused.field, field, "{refused}");
        assert!(refused.remedy.contains(remedy), "{refused}");
    }
    let refused = PolicyPatch::default().merged(b"{").unwrap_err();
    assert_eq!(refused.field, "body");
}

#[test]
fn a_change_leaves_what_it_does_not_name_and_null_clears() {
    let patch = merged(&PolicyPatch::default(), &full()).unwrap();
    let change = json!({ "concurrency": 7, "breaker": { "failures": null }, "retry": null });
    let patch = merged(&patch, &change).unwrap();
    let mut expected = full();
    expected["concurrency"] = json!(7);
    expected["breaker"]
        .as_object_mut()
        .unwrap()
        .remove("failures");
    expected.as_object_mut().unwrap().remove("retry");
    assert_eq!(serde_json::to_value(&patch).unwrap(), expected);
    // A check after the merge: half of a rate is none.
    let refused = merged(&patch, &json!({ "rate": { "operations": null } })).unwrap_err();
    assert_eq!(refused.field, "rate.operations");
    let names = expected.as_object().unwrap().keys();
    let cleared: Map<String, Value> = names.map(|name| (name.clone(), Value::Null)).collect();
    assert!(merged(&patch, &Value::Object(cleared)).unwrap().is_empty());
}

#[test]
fn a_patch_lies_over_the_applications_policy() {
    let base = Policy {
        concurrency: 4,
        breaker: Some(BreakerPolicy::default()),
        ..Policy::default()
    };
    assert_eq!(PolicyPatch::default().over(&base), base);
    let change =
        json!({ "concurrency": 9, "breaker": { "failures": 2 }, "retry": { "attemptsMax": 1 } });
    let patch = merged(&PolicyPatch::default(), &change).unwrap();
    let policy = patch.over(&base);
    // The pool's places are all there are.
    assert_eq!(policy.concurrency, 4);
    assert_eq!(policy.retry.attempts_max, 1);
    assert_eq!(policy.retry.max, base.retry.max);
    let breaker = BreakerPolicy {
        failures: 2,
        ..BreakerPolicy::default()
    };
    assert_eq!(policy.breaker, Some(breaker));
    assert_eq!(PolicyPatch::of(&policy).over(&base), policy);
    // One for all types gives way to one for this type, field by field.
    let all = merged(
        &PolicyPatch::default(),
        &json!({ "concurrency": 1, "stepTimeoutMs": 5 }),
    )
    .unwrap();
    let both = patch.or(&all);
    assert_eq!((both.concurrency, both.step_timeout_ms), (Some(9), Some(5)));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = PolicyPatch::default().merged(text.as_bytes());
    }

    /// Whatever is accepted is a policy under which something runs.
    #[test]
    fn what_is_accepted_is_sound(
        name in prop::sample::select(FIELDS.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
        number in prop_oneof![0_u64..3, any::<u64>()],
        inner in prop::sample::select(vec!["operations", "failures", "probes", "attemptsMax", "openMs"]),
    ) {
        for change in [json!({ name: number }), json!({ name: { inner: number } })] {
            if let Ok(patch) = merged(&PolicyPatch::default(), &change) {
                prop_assert_eq!(patch.over(&Policy::default()).flaw(), None);
            }
        }
    }
}
