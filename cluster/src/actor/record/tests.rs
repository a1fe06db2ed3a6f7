//! What is written stays readable: one golden file for each record and format.

use std::path::Path;

use selvedge_protocol::frame::Success;
use selvedge_protocol::{ActorKey, ActorKind, ErrorCode, Failure};

use super::*;
use crate::store::record::golden;

fn check<R: Stored + PartialEq + std::fmt::Debug>(record: &R) {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    golden::check(directory, &R::NAME.replace(' ', "-"), record);
}

fn address() -> ActorAddress {
    ActorAddress {
        kind: ActorKind::new("counter").unwrap(),
        key: ActorKey::new("a").unwrap(),
    }
}

#[test]
fn fences_stay_readable() {
    let now = Fence {
        epoch: 3,
        node: "node-1".to_owned(),
        incarnation: 2,
        plan: 70_000,
    };
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let older = golden::check(directory, "slot-fence", &now);
    // Taken by a node that was alone.
    let first = Fence {
        incarnation: 0,
        plan: 0,
        ..now
    };
    assert_eq!(older, [(1, first)]);
}

#[test]
fn actors_stay_readable() {
    let now = ActorRecord {
        state_format: 1,
        seq: 7,
        version: 5,
        outbox: 2,
        awake: true,
        timers: vec![TimerEntry {
            name: "run".to_owned(),
            due_ms: 1_700_000_000_000,
        }],
        session: Some((
            SessionId::from_u128(7),
            SessionRecord {
                acknowledged: 4,
                heard_ms: 1_700_000_000_000,
                outcomes: Vec::new(),
            },
        )),
        state: StoredState::Here(Bytes::from_static(b"7")),
        has_parts: false,
    };
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let older = golden::check(directory, "actor", &now);
    // Nobody knew whether there are others.
    let first = ActorRecord {
        has_parts: true,
        ..now
    };
    assert_eq!(older, [(1, first)]);
}

#[test]
fn what_is_known_of_commands_stays_readable() {
    let success = Outcome::Success(Success {
        body: Bytes::from_static(b"7"),
        seq: 7,
        version: 5,
    });
    let failure = Outcome::Failure(Failure::field(ErrorCode::Invalid, "by", "not a number"));
    check(&SessionRecord {
        acknowledged: 1,
        heard_ms: 1_700_000_000_000,
        outcomes: vec![(2, Some(success)), (3, None)],
    });
    check(&OutcomeRecord {
        time_ms: 1_700_000_000_000,
        outcome: failure,
    });
}

#[test]
fn timers_and_messages_stay_readable() {
    check(&TimerRecord {
        body: Bytes::from_static(b"null"),
    });
    check(&OutboxRecord {
        to: address(),
        name: "add".to_owned(),
        body: Bytes::from_static(b"{\"by\":1}"),
    });
}

#[test]
fn events_stay_readable() {
    let event = |kind: &str| EventRecord {
        kind: kind.into(),
        time_ms: 1_700_000_000_000,
        data: Bytes::from_static(b"{}"),
    };
    check(&EventsRecord(vec![event("started"), event("succeeded")]));
}
