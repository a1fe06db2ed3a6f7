//! Refusals by the minute, and floods of them.

use selvedge_protocol::Tenant;

use super::*;
use crate::identity::{Action, Resource};

fn refusal(name: &str) -> Refusal {
    Refusal {
        chain: Chain::from(Tenant::default_tenant()),
        principal: Arc::from(name),
        what: What::Permission(Permission::new(Resource::Actor, Action::Write)),
        code: ErrorCode::PermissionDenied,
    }
}

#[test]
fn who_is_to_be_judged_anew_is_refused_nothing() {
    let refusals = Refusals::new(Clock::manual(1_000_000, 1));
    let ann = Principal::new("ann", Tenant::default_tenant(), []);
    for code in [ErrorCode::Unavailable, ErrorCode::PermissionDenied] {
        refusals.note_ended(&ann, &Failure::new(code, "it has changed"));
    }
    assert!(refusals.all().is_empty());
    let expired = Failure::new(ErrorCode::Unauthenticated, "it has expired");
    refusals.note_ended(&ann, &expired);
    let [counted] = &refusals.all()[..] else {
        panic!("one is counted");
    };
    assert_eq!(counted.entry().action, "session.open");
}

#[test]
fn a_minute_of_one_kind_is_one_record_with_a_count() {
    let mut counts = Counts::default();
    for ms in 0..1_000 {
        counts.note(ms, refusal("ann"));
    }
    counts.note(500, refusal("ben"));
    assert!(counts.due(REFUSALS_MS - 1).is_empty());
    let due = counts.due(REFUSALS_MS);
    let [ann] = &due[..] else {
        panic!("{due:?}");
    };
    let entry = ann.entry();
    assert_eq!(
        (entry.principal.as_str(), entry.action.as_str()),
        ("ann", "actor.write")
    );
    let code = "permission_denied".to_owned();
    assert_eq!(entry.outcome, Outcome::Refused { code });
    assert_eq!(
        entry.detail,
        r#"{"count":1000,"since":"1970-01-01T00:00:00.000Z","until":"1970-01-01T00:00:00.999Z"}"#
    );
    assert_eq!(entry.at_ms, 999);
    assert_eq!(counts.due(REFUSALS_MS + 500).len(), 1);
    assert!(counts.0.is_empty());
}

#[test]
fn what_was_not_recorded_is_counted_on() {
    let mut counts = Counts::default();
    counts.note(0, refusal("ann"));
    let due = counts.due(REFUSALS_MS).remove(0);
    counts.note(REFUSALS_MS + 1, refusal("ann"));
    counts.add(due);
    let due = counts.due(REFUSALS_MS + 2).remove(0);
    assert_eq!(
        (due.count, due.first_ms, due.last_ms),
        (2, 0, REFUSALS_MS + 1)
    );
}

#[test]
fn ever_new_names_take_no_more_memory() {
    let mut counts = Counts::default();
    let names = 3 * REFUSALS_MAX;
    for name in 0..names {
        counts.note(0, refusal(&name.to_string()));
    }
    // Those that are known are counted on.
    counts.note(0, refusal("0"));
    assert_eq!(counts.0.len(), REFUSALS_MAX + 1);
    let due = counts.due(u64::MAX);
    let others = due.iter().find(|it| *it.chain() == Chain::Cluster).unwrap();
    assert_eq!(others.refusal.principal.as_ref(), "*");
    assert_eq!(others.count, u64::try_from(names - REFUSALS_MAX).unwrap());
    let all: u64 = due.iter().map(|it| it.count).sum();
    assert_eq!(all, u64::try_from(names).unwrap() + 1);
}

#[test]
fn a_clock_that_was_set_back_keeps_nothing_for_ever() {
    let mut counts = Counts::default();
    counts.note(1_000_000, refusal("ann"));
    counts.note(10, refusal("ann"));
    assert_eq!(counts.due(REFUSALS_MS + 10).len(), 1);
}
