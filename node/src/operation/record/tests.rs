//! What is stored of an operation, now and by older binaries.

use std::path::Path;

use selvedge_cluster::store::record::golden;

use super::*;

/// Something in each field.
fn sample() -> Record {
    let text = |text: &str| -> Arc<str> { text.into() };
    Record {
        id: "order-7".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        operation_type: "import".parse().unwrap(),
        status: Status::Waiting,
        waiting: Some(Waiting::Retry { until_ms: 70_000 }),
        input: text(r#"{"of":1}"#),
        payload: Payload::Stored {
            length: 90_001,
            hash: [7; 16],
        },
        metadata: Some("{}".to_owned()),
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        priority: -2,
        run_at_ms: Some(1_000),
        deadline_ms: Some(90_000),
        created_by: "ada".to_owned(),
        created_ms: 500,
        updated_ms: 60_000,
        version: 9,
        run: 4,
        failures: 1,
        lost: 0,
        is_begun: false,
        parent: Some(Parent {
            actor: "schedule/nightly".parse().unwrap(),
            name: text("1"),
            depth: 1,
        }),
        generation: 2,
        waits: waits(),
        signals: vec![Signal {
            name: text("hurry"),
            data: text("true"),
        }],
        compensations: vec![Compensation {
            name: text("refund"),
            data: text("5"),
        }],
        is_settling: false,
        progress: Some("0.5".to_owned()),
        steps: vec![Step {
            name: text("pay"),
            result: text("5"),
            attempt: 1,
            finished_ms: 50_000,
        }],
        result: None,
        error: Some(Fault {
            code: "handler".to_owned(),
            message: "not now".to_owned(),
            step: Some("ship".to_owned()),
        }),
        attempt: 2,
        is_attempt_over: true,
    }
}

fn waits() -> Vec<Wait> {
    let on = [
        WaitOn::Time { until_ms: 61_000 },
        WaitOn::Signal {
            signal: "go".into(),
            until_ms: None,
        },
        WaitOn::Call {
            operation: "order-7.1".parse().unwrap(),
        },
    ];
    let names = ["nap", "go", "child"];
    let wait = |(name, on): (&str, WaitOn)| Wait {
        name: name.into(),
        on,
        since_ms: 60_000,
    };
    names.into_iter().zip(on).map(wait).collect()
}

#[test]
fn records_of_older_binaries_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let older = golden::check(&directory, "operation", &sample());
    // All runs were attempts.
    let first = Record {
        attempt: 4,
        ..sample()
    };
    assert_eq!(older, [(1, first)]);
}

#[test]
fn a_newer_format_is_refused() {
    let mut newer = sample().encode().to_vec();
    newer[0] = FORMAT + 1;
    let refused = Record::decode(&newer).unwrap_err();
    assert!(refused.contains("run a newer selvedge"), "{refused}");
}

#[test]
fn ordinals_of_statuses_stay() {
    for (ordinal, status) in Status::ALL.into_iter().enumerate() {
        // Both the index by status and the record persist this number.
        assert_eq!(usize::from(ordinal_of(status)), ordinal);
        assert_eq!(codec::encode_record(1, &status)[1..], [ordinal_of(status)]);
    }
}
