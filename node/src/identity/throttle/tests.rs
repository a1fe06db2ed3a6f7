//! Lives of the throttle in the test's time.

use std::hash::{BuildHasherDefault, DefaultHasher};

use super::*;

type Fixed = BuildHasherDefault<DefaultHasher>;

fn throttle() -> Throttle<Fixed> {
    Throttle::with_hasher(Fixed::default())
}

fn place(number: u8) -> Place {
    Place::of(IpAddr::from([10, 0, number, 1]))
}

fn attempt(tenant: &Tenant, username: &'static str, place: Place) -> Attempt<'static> {
    Attempt {
        tenant: Box::leak(Box::new(tenant.clone())),
        username,
        place,
        familiarity: Familiarity::Unknown,
    }
}

fn ann(number: u8) -> Attempt<'static> {
    attempt(&Tenant::default_tenant(), "ann", place(number))
}

fn at_home(number: u8) -> Attempt<'static> {
    Attempt {
        familiarity: Familiarity::Known,
        ..ann(number)
    }
}

/// Tries until it has to wait; how many passed, and for how long it is to wait.
fn passed(throttle: &mut Throttle<Fixed>, attempt: Attempt<'_>, now_ms: u64) -> (u32, u64) {
    for count in 0..1_000 {
        if let Err(Wait { ms }) = throttle.begin(attempt, now_ms) {
            return (count, ms);
        }
    }
    panic!("nothing is refused");
}

#[test]
fn waits_double_up_to_their_longest() {
    let mut throttle = throttle();
    let mut now_ms = 1_000_000;
    assert_eq!(passed(&mut throttle, ann(1), now_ms), (5, 1_000));
    let mut waits = Vec::new();
    for _ in 0..14 {
        let (count, ms) = passed(&mut throttle, ann(1), now_ms);
        assert!(count <= 1, "{count}");
        waits.push(ms);
        assert!(throttle.begin(ann(1), now_ms + ms - 1).is_err());
        now_ms += ms;
        assert_eq!(throttle.begin(ann(1), now_ms), Ok(()));
    }
    let longest = Of::Both.pace().longest_ms;
    assert_eq!(waits[..5], [1_000, 2_000, 4_000, 8_000, 16_000]);
    assert_eq!(waits.last(), Some(&longest));
    // An hour without any, and they are forgotten.
    assert_eq!(passed(&mut throttle, ann(1), now_ms + FORGOTTEN_MS).0, 5);
}

#[test]
fn many_that_guess_keep_nobody_out_at_home() {
    let mut throttle = throttle();
    let mut refused = 0;
    for round in 0_u64..10_000 {
        let guess = ann(u8::try_from(round % 250).unwrap());
        refused += u32::from(throttle.begin(guess, round).is_err());
    }
    assert!(refused > 9_900, "{refused}");
    // Not from where she always is, and not somebody else from elsewhere.
    assert_eq!(throttle.begin(at_home(251), 10_000), Ok(()));
    let bob = attempt(&Tenant::default_tenant(), "bob", place(252));
    assert_eq!(throttle.begin(bob, 10_000), Ok(()));
    let other = attempt(&Tenant::new("acme").unwrap(), "ann", place(253));
    assert_eq!(throttle.begin(other, 10_000), Ok(()));
    // From a new place she waits a minute at the most.
    let Wait { ms } = throttle.begin(ann(254), 10_000).unwrap_err();
    assert!(ms <= 60_000, "{ms}");
}

#[test]
fn whoever_guesses_at_home_is_slowed_down_there_and_nowhere_else() {
    let mut throttle = throttle();
    assert_eq!(passed(&mut throttle, at_home(1), 0), (9, 1_000));
    assert_eq!(throttle.begin(at_home(2), 0), Ok(()));
    assert_eq!(throttle.begin(ann(3), 0), Ok(()));
}

#[test]
fn one_place_that_guesses_at_all_is_slowed_down() {
    let mut throttle = throttle();
    let users: Vec<&'static str> = (0..100)
        .map(|at| &*Box::leak(format!("user{at}").into_boxed_str()))
        .collect();
    let tenant = Tenant::default_tenant();
    let begun = users
        .iter()
        .filter(|user| throttle.begin(attempt(&tenant, user, place(1)), 0).is_ok());
    assert_eq!(begun.count(), 51);
    // Who is at home there is not.
    assert_eq!(throttle.begin(at_home(1), 0), Ok(()));
}

#[test]
fn a_good_login_is_no_failure() {
    let mut throttle = throttle();
    for round in 0..1_000 {
        assert_eq!(throttle.begin(ann(1), round), Ok(()), "{round}");
        throttle.succeeded(ann(1));
    }
    // It forgives its own failures, and not those of others at the same user.
    for number in 2..21 {
        assert_eq!(throttle.begin(ann(number), 1_000), Ok(()));
    }
    throttle.succeeded(ann(20));
    assert_eq!(throttle.begin(ann(30), 1_000), Ok(()));
    assert_eq!(throttle.begin(ann(31), 1_000), Ok(()));
    assert_eq!(throttle.begin(ann(32), 1_000), Ok(()));
    assert!(throttle.begin(ann(33), 1_000).is_err());
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_out_for_longer() {
    let mut throttle = throttle();
    passed(&mut throttle, ann(1), 1 << 40);
    let Wait { ms } = throttle.begin(ann(1), 0).unwrap_err();
    assert!(ms <= Of::Both.pace().longest_ms, "{ms}");
}

#[test]
fn its_memory_is_bounded_and_who_is_guessed_at_stays_slow() {
    let mut throttle = throttle();
    passed(&mut throttle, ann(1), 0);
    let tenant = Tenant::default_tenant();
    let mut now_ms = 0;
    for round in 0..u32::try_from(LOGIN_BUCKETS_MAX).unwrap() {
        now_ms += 10;
        let address = IpAddr::V6(std::net::Ipv6Addr::from(u128::from(round) << 80));
        let name = Box::leak(format!("user{round}").into_boxed_str());
        let _ = throttle.begin(attempt(&tenant, name, Place::of(address)), now_ms);
        if round % 100 == 0 {
            // Still at it.
            let _ = throttle.begin(ann(1), now_ms);
        }
        assert!(throttle.buckets.len() <= LOGIN_BUCKETS_MAX + 2);
    }
    assert!(passed(&mut throttle, ann(1), now_ms).0 <= 1);
}

#[test]
fn a_place_is_a_network() {
    let of = |text: &str| Place::of(text.parse().unwrap());
    assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
    assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
    assert_eq!(of("::ffff:192.0.2.9"), of("192.0.2.1"));
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ffff::1"));
    assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    assert_ne!(of("192.0.2.1").to_bytes(), of("::1").to_bytes());
}

#[test]
fn who_is_guessed_at_from_elsewhere_is_known_as_such_for_an_hour() {
    let (mut throttle, now_ms) = (throttle(), 1_000_000);
    for number in 0..5 {
        assert!(!throttle.is_guessed_at(ann(number), now_ms));
        assert_eq!(throttle.begin(ann(number), now_ms), Ok(()));
    }
    assert!(throttle.is_guessed_at(ann(9), now_ms));
    // Whoever is at home, or somebody else, is not.
    assert!(!throttle.is_guessed_at(at_home(9), now_ms));
    let bob = attempt(&Tenant::default_tenant(), "bob", place(9));
    assert!(!throttle.is_guessed_at(bob, now_ms));
    assert!(!throttle.is_guessed_at(ann(9), now_ms + FORGOTTEN_MS));
    // One of them was good.
    throttle.succeeded(ann(4));
    assert!(!throttle.is_guessed_at(ann(9), now_ms));
}
