//! Changes of the clocks in two zones, expressions that never match, and texts that are none.

use proptest::prelude::*;
use selvedge_protocol::time;

use super::*;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

/// The first matches after a time.
fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = ZonedCron::new(expression, zone).unwrap();
    let mut at = time::parse(after).unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        at = cron.next_after(at).unwrap();
        found.push(time::format(at).replace(":00.000Z", "Z"));
    }
    found
}

#[test]
fn plain_matches() {
    let after = "2026-11-24T12:00:00Z";
    for (expression, zone, found) in [
        ("*/5 * * * *", "UTC", "2026-11-24T12:05Z"),
        ("0 9 * * MON-FRI", BERLIN, "2026-11-25T08:00Z"),
        ("0 9 * * *", NEW_YORK, "2026-11-24T14:00Z"),
        ("30 0 0 1 1 *", "UTC", "2027-01-01T00:00:30.000Z"),
        ("0 0 L * *", "UTC", "2026-11-30T00:00Z"),
        ("0 0 29 2 *", "UTC", "2028-02-29T00:00Z"),
        ("@daily", "Asia/Kolkata", "2026-11-24T18:30Z"),
    ] {
        assert_eq!(next(expression, zone, after, 1), [found], "{expression}");
    }
    // Strictly after, and a part of a second does not matter.
    let after = "2026-11-24T12:05:00.001Z";
    assert_eq!(next("*/5 * * * *", "UTC", after, 1), ["2026-11-24T12:10Z"]);
}

#[test]
fn a_local_time_that_does_not_exist_runs_at_the_next_that_does() {
    // Berlin goes from 02:00 to 03:00 on the 28th of March 2027, New York on the 14th.
    assert_eq!(
        next("30 2 * * *", BERLIN, "2027-03-27T00:00:00Z", 3),
        [
            "2027-03-27T01:30Z",
            "2027-03-28T01:00Z",
            "2027-03-29T00:30Z"
        ]
    );
    assert_eq!(
        next("30 2 * * *", NEW_YORK, "2027-03-13T00:00:00Z", 3),
        [
            "2027-03-13T07:30Z",
            "2027-03-14T07:00Z",
            "2027-03-15T06:30Z"
        ]
    );
    // Several that do not exist stand for one moment; those around it are not moved.
    assert_eq!(
        next("0,30 1-3 * * *", BERLIN, "2027-03-27T23:00:00Z", 5),
        [
            "2027-03-28T00:00Z",
            "2027-03-28T00:30Z",
            "2027-03-28T01:00Z",
            "2027-03-28T01:30Z",
            "2027-03-28T23:00Z"
        ]
    );
    // A list of hours is named hours as well.
    assert_eq!(
        next("0 2,14 * * *", NEW_YORK, "2027-03-14T00:00:00Z", 2),
        ["2027-03-14T07:00Z", "2027-03-14T18:00Z"]
    );
}

#[test]
fn a_local_time_that_exists_twice_runs_once() {
    // Berlin goes from 03:00 to 02:00 on the 25th of October 2026, New York from 02:00 to 01:00 on the
    // 1st of November.
    assert_eq!(
        next("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]
    );
    assert_eq!(
        next("30 1 * * *", NEW_YORK, "2026-10-31T12:00:00Z", 2),
        ["2026-11-01T05:30Z", "2026-11-02T06:30Z"]
    );
    assert_eq!(
        next("0 */2 * * *", BERLIN, "2026-10-24T22:00:00Z", 2),
        ["2026-10-25T00:00Z", "2026-10-25T03:00Z"]
    );
    // Also for who asks in the middle of the second pass.
    assert_eq!(
        next("*/10 2 * * *", BERLIN, "2026-10-25T01:15:00Z", 1),
        ["2026-10-26T01:00Z"]
    );
}

#[test]
fn where_no_hour_is_named_every_hour_counts() {
    for (zone, after, count) in [
        (BERLIN, "2027-03-28T00:00:00Z", 4),
        (BERLIN, "2026-10-24T23:00:00Z", 4),
        (NEW_YORK, "2027-03-14T05:00:00Z", 4),
        (NEW_YORK, "2026-11-01T04:00:00Z", 4),
        // Half an hour of summer.
        ("Australia/Lord_Howe", "2027-04-03T13:00:00Z", 1),
    ] {
        let found = next("0 * * * *", zone, after, count);
        let mut at = time::parse(after).unwrap();
        for found in found {
            let found = time::parse(&found.replace('Z', ":00Z")).unwrap();
            assert!((1..=3_600_000).contains(&(found - at)), "{zone} {after}");
            at = found;
        }
    }
    let quarters = next("*/15 * * * *", BERLIN, "2026-10-24T23:00:00Z", 12);
    assert_eq!(quarters.last().unwrap(), "2026-10-25T02:00Z");
}

#[test]
fn what_never_matches_ends() {
    for expression in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "59 59 23 31 2 *"] {
        let cron = ZonedCron::new(expression, NEW_YORK).unwrap();
        assert_eq!(cron.next_after(1_800_000_000_000), None, "{expression}");
    }
    let cron = ZonedCron::new("* * * * *", "UTC").unwrap();
    assert_eq!(cron.next_after(u64::MAX), None);
}

#[test]
fn wrong_texts_are_refused() {
    for expression in [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "a b c d e",
        "@never",
    ] {
        assert!(ZonedCron::new(expression, "UTC").is_err(), "{expression}");
    }
    for zone in ["", "Mars/Olympus", "../../etc/passwd", "CESTT"] {
        assert!(ZonedCron::new("* * * * *", zone).is_err(), "{zone}");
    }
}

proptest! {
    #[test]
    fn hostile_expressions_do_no_harm(text in "[-*/,0-9LW#@+?A-Z é]{0,60}", after in any::<u64>()) {
        if let Ok(cron) = ZonedCron::new(&text, BERLIN) {
            let next = cron.next_after(after);
            prop_assert!(next.is_none_or(|next| next > after));
        }
    }

    /// Whatever is asked within, the same moments come: none twice, none left out, none out of order.
    #[test]
    fn moments_do_not_depend_on_who_asks(
        minute in 0_u32..60, step in 1_u32..24, zone in 0..2_usize,
        start in 1_774_000_000_000_u64..1_810_000_000_000, skip in 1_u64..90_000_000,
    ) {
        let zone = [BERLIN, NEW_YORK][zone];
        for expression in [format!("{minute} */{step} * * *"), format!("{minute} * * * *")] {
            let cron = ZonedCron::new(&expression, zone).unwrap();
            let first = cron.next_after(start).unwrap();
            let between = start + skip % (first - start);
            prop_assert_eq!(cron.next_after(between), Some(first));
            let second = cron.next_after(first).unwrap();
            prop_assert!(second > first);
            prop_assert_eq!(cron.next_after(first + skip % (second - first)), Some(second));
        }
    }
}
