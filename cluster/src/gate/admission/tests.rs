//! Admission in simulated time.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use selvedge_protocol::limits::EDGE_ACCOUNTS_MAX;

use super::*;

/// A first packet whose rest is zeros.
pub(super) fn initial(destination: &[u8], token: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc3, 0, 0, 0, 1];
    bytes.push(u8::try_from(destination.len()).unwrap());
    bytes.extend(destination);
    bytes.extend([4, 9, 9, 9, 9]);
    let length = u16::try_from(token.len()).unwrap() | 0x4000;
    bytes.extend(length.to_be_bytes());
    bytes.extend(token);
    bytes.resize(1_200, 0);
    bytes
}

/// An admission, and the time of it.
struct World {
    admission: Admission,
    now: Duration,
    connections: usize,
}

const CONNECTIONS_MAX: usize = 1_000;

impl World {
    fn new(configure: impl FnOnce(&mut AdmissionConfig)) -> Self {
        let mut config = AdmissionConfig::default();
        configure(&mut config);
        Self {
            admission: Admission::new(config, EDGE_ACCOUNTS_MAX, 7),
            now: Duration::from_secs(1),
            connections: 0,
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    fn come(&mut self, from: impl Into<IpAddr>, proof: Proof) -> Verdict {
        let attempt = Attempt {
            from: from.into(),
            proof,
            connections: self.connections,
            connections_max: CONNECTIONS_MAX,
        };
        self.admission.decide(self.now, attempt)
    }

    /// The same, and the handshake ends at once if it begins.
    fn hurry(&mut self, from: impl Into<IpAddr>, proof: Proof) -> Verdict {
        let from = from.into();
        let verdict = self.come(from, proof);
        if verdict == Verdict::Accept {
            self.admission.ended(from);
        }
        verdict
    }

    /// How many of so many attempts came to each verdict, in the order of `Verdict::ALL`.
    fn crowd(&mut self, count: u32, mut come: impl FnMut(&mut Self, u32) -> Verdict) -> [u32; 4] {
        let mut counts = [0; 4];
        for number in 0..count {
            let verdict = come(self, number);
            for (count, of) in counts.iter_mut().zip(Verdict::ALL) {
                *count += u32::from(of == verdict);
            }
        }
        counts
    }
}

/// An address for each number, each in a network of its own, none of them this machine's.
fn stranger(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x2000_0000 + number * 256)
}

const ALICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

#[test]
fn when_it_is_calm_nobody_is_asked_for_a_proof() {
    let mut world = World::new(|_| {});
    let counts = world.crowd(900, |world, number| {
        world.hurry(stranger(number), Proof::None)
    });
    assert_eq!(counts, [900, 0, 0, 0]);
}

#[test]
fn more_than_usual_must_prove_their_address_until_it_is_calm_again() {
    let mut world = World::new(|_| {});
    // 10,000 a second for two seconds, of addresses that nobody has.
    let counts = world.crowd(20_000, |world, number| {
        if number % 10 == 0 {
            world.pass(1);
        }
        world.hurry(stranger(number), Proof::None)
    });
    let [accepted, retried, refused, ignored] = counts;
    assert!(accepted <= 1_100, "{counts:?}");
    assert!(
        retried >= 18_000 && refused == 0 && ignored == 0,
        "{counts:?}"
    );
    assert_eq!(world.hurry(ALICE, Proof::None), Verdict::Retry);
    assert_eq!(world.hurry(ALICE, Proof::Retry), Verdict::Accept);
    assert_eq!(world.hurry(ALICE, Proof::Earlier), Verdict::Accept);
    world.pass(2_100);
    assert_eq!(world.hurry(ALICE, Proof::None), Verdict::Accept);
}

#[test]
fn past_what_retries_may_cost_first_packets_are_ignored() {
    let mut world = World::new(|_| {});
    let counts = world.crowd(100_000, |world, number| {
        world.hurry(stranger(number), Proof::None)
    });
    assert_eq!(counts, [1_000, 20_000, 0, 79_000]);
    // Those who have a proof do not notice.
    assert_eq!(world.hurry(ALICE, Proof::Earlier), Verdict::Accept);
    assert_eq!(world.hurry(ALICE, Proof::Retry), Verdict::Accept);
}

#[test]
fn a_prefix_has_its_rate_whatever_it_shows() {
    for proof in [Proof::Retry, Proof::Earlier] {
        let mut world = World::new(|_| {});
        let counts = world.crowd(2_000, |world, _| world.hurry(ALICE, proof));
        assert_eq!(counts, [500, 0, 1_500, 0], "{proof:?}");
        // Nobody else is touched by it.
        assert_eq!(world.hurry(BOB, proof), Verdict::Accept);
        // A hundred a second from then on.
        world.pass(1_000);
        let counts = world.crowd(200, |world, _| world.hurry(ALICE, proof));
        assert_eq!(counts[0], 100, "{proof:?}");
    }
}

#[test]
fn another_address_of_the_prefix_changes_nothing() {
    let mut world = World::new(|config| config.refusals.burst = u32::MAX);
    let prefix = |low: u16| Ipv6Addr::new(0x2001, 0xdb8, 1, 1, low, low, low, low);
    let counts = world.crowd(2_000, |world, number| {
        world.hurry(prefix(u16::try_from(number).unwrap()), Proof::Retry)
    });
    assert_eq!(counts[0], 500);
    // Nor do many of its /64s: they share the /48.
    let network = |low: u16| Ipv6Addr::new(0x2001, 0xdb8, 2, low, 0, 0, 0, 1);
    let counts = world.crowd(10_000, |world, number| {
        world.hurry(network(u16::try_from(number).unwrap()), Proof::Retry)
    });
    assert_eq!(counts[0], 2_000);
    let network = |low: u8| Ipv4Addr::new(203, 0, 113, low);
    let counts = world.crowd(10_000, |world, number| {
        world.hurry(network(number.to_le_bytes()[0]), Proof::Retry)
    });
    assert_eq!(counts[0], 2_000);
    // Written as IPv6, an IPv4 address is what it is.
    assert_eq!(
        world.come(Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped(), Proof::Retry),
        Verdict::Refuse
    );
}

#[test]
fn what_others_do_in_a_prefixes_name_takes_nothing_from_it() {
    let mut world = World::new(|config| config.unproven.burst = 1_000_000);
    // Packets with the address of Alice, who has sent none of them.
    let counts = world.crowd(5_000, |world, _| world.hurry(ALICE, Proof::None));
    assert_eq!(counts, [500, 4_500, 0, 0], "she is asked, not refused");
    let counts = world.crowd(1_000, |world, _| world.hurry(ALICE, Proof::Retry));
    assert_eq!(counts[0], 500, "with a proof she has all of her rate");
}

#[test]
fn who_comes_too_often_leaves_retries_to_others() {
    let mut world = World::new(|config| config.unproven.burst = 1);
    assert_eq!(world.hurry(BOB, Proof::None), Verdict::Accept);
    let counts = world.crowd(50_000, |world, _| world.hurry(ALICE, Proof::None));
    assert_eq!(counts, [0, 10_000, 0, 40_000], "half of all");
    assert_eq!(world.hurry(BOB, Proof::None), Verdict::Retry);
}

#[test]
fn invented_prefixes_push_nobody_out_who_has_a_proof() {
    let mut world = World::new(|config| {
        // Anything goes, so that the table fills.
        config.unproven.burst = u32::MAX;
        config.retries.burst = u32::MAX;
    });
    world.crowd(500, |world, _| world.hurry(ALICE, Proof::Retry));
    assert_eq!(world.hurry(ALICE, Proof::Retry), Verdict::Refuse);
    world.crowd(500_000, |world, number| {
        world.hurry(stranger(number), Proof::None)
    });
    assert!(world.admission.tracked(world.now) <= 2 * EDGE_ACCOUNTS_MAX);
    assert!(world.admission.tracked(world.now) > EDGE_ACCOUNTS_MAX / 2);
    // What she owes stands, and what others have stands as well.
    assert_eq!(world.hurry(ALICE, Proof::Retry), Verdict::Refuse);
    let counts = world.crowd(500, |world, _| world.hurry(BOB, Proof::Retry));
    assert_eq!(counts[0], 500);
}

#[test]
fn handshakes_are_left_for_those_who_are_known() {
    let mut world = World::new(|config| config.handshakes_max = 64);
    let counts = world.crowd(100, |world, number| {
        world.come(stranger(number), Proof::None)
    });
    assert_eq!(counts, [32, 68, 0, 0], "half, for those of no proof");
    let counts = world.crowd(100, |world, number| {
        world.come(stranger(1_000 + number), Proof::Retry)
    });
    assert_eq!(
        counts,
        [16, 0, 84, 0],
        "a quarter more, for those who answered"
    );
    let counts = world.crowd(100, |world, number| {
        world.come(stranger(2_000 + number), Proof::Earlier)
    });
    assert_eq!(
        counts,
        [16, 0, 84, 0],
        "and the rest for those who were here"
    );
    assert_eq!(world.admission.under_way(), 64);
    world.admission.ended(stranger(2_000).into());
    assert_eq!(world.come(ALICE, Proof::Earlier), Verdict::Accept);
}

#[test]
fn one_address_cannot_hold_all_handshakes() {
    let mut world = World::new(|_| {});
    // They never end.
    for _ in 0..60 {
        world.crowd(100, |world, _| world.come(ALICE, Proof::Retry));
        world.pass(1_000);
    }
    assert_eq!(world.admission.under_way(), 256);
    let neighbours = |number: u32| Ipv4Addr::new(192, 0, 2, number.to_le_bytes()[0]);
    for _ in 0..60 {
        world.crowd(100, |world, number| {
            world.come(neighbours(number), Proof::Retry)
        });
        world.pass(1_000);
    }
    assert_eq!(world.admission.under_way(), 512, "its network neither");
    assert_eq!(world.come(BOB, Proof::None), Verdict::Accept);
    for number in 0..=u32::from(u8::MAX) {
        let address = Origin::of(neighbours(number).into()).address;
        // What there is of them is forgotten with their ends.
        while world.admission.under_way.of(address) > 0 {
            world.admission.ended(neighbours(number).into());
        }
    }
    world.admission.ended(BOB.into());
    assert_eq!(world.admission.under_way(), 0);
    assert_eq!(world.admission.under_way.prefixes(), 0);
}

#[test]
fn a_node_that_is_full_refuses_then_ignores() {
    let mut world = World::new(|_| {});
    world.connections = CONNECTIONS_MAX;
    for proof in [Proof::None, Proof::Retry, Proof::Earlier] {
        assert_eq!(world.come(ALICE, proof), Verdict::Refuse);
    }
    let counts = world.crowd(10_000, |world, number| {
        world.come(stranger(number), Proof::Retry)
    });
    assert_eq!(counts, [0, 0, 1_997, 8_003]);
    world.pass(1_000);
    let counts = world.crowd(10_000, |world, number| {
        world.come(stranger(number), Proof::Retry)
    });
    assert_eq!(counts, [0, 0, 1_000, 9_000]);
}

#[test]
fn ten_thousand_sessions_of_one_load_generator_get_in() {
    let mut world = World::new(|_| {});
    let mut asked = 0;
    for _ in 0..10_000 {
        let mut verdict = world.come(Ipv4Addr::LOCALHOST, Proof::None);
        if verdict == Verdict::Retry {
            // The second packet of its ClientHello.
            world.come(Ipv4Addr::LOCALHOST, Proof::None);
            asked += 1;
            verdict = world.come(Ipv4Addr::LOCALHOST, Proof::Retry);
        }
        assert_eq!(verdict, Verdict::Accept);
        world.admission.ended(Ipv4Addr::LOCALHOST.into());
    }
    assert!(asked >= 8_000, "{asked}");
}

#[test]
fn no_order_of_things_is_too_much() {
    let mut world = World::new(|config| {
        config.handshakes_max = 0;
        let least = Rate {
            per_second: 0,
            burst: 0,
        };
        config.address = least;
        config.retries = least;
        config.unproven = Rate {
            per_second: u32::MAX,
            burst: u32::MAX,
        };
    });
    world.now = Duration::MAX;
    for proof in [Proof::None, Proof::Retry, Proof::Earlier] {
        world.crowd(100, |world, _| world.come(ALICE, proof));
    }
    world.now = Duration::ZERO;
    for proof in [Proof::None, Proof::Retry, Proof::Earlier] {
        world.crowd(100, |world, _| world.come(ALICE, proof));
    }
    // An end that had no beginning.
    world.admission.ended(ALICE.into());
    assert_eq!(world.admission.under_way(), 0);
}

proptest! {
    /// What the filter drops is what would be ignored, and nothing else.
    #[test]
    fn what_is_ignored_is_told_before(
        attempts in prop::collection::vec((0..4_u32, 0..3_usize, 0..40_u64, 0..2_usize), 1..400),
    ) {
        let small = |per_second, burst| Rate { per_second, burst };
        let config = AdmissionConfig {
            handshakes_max: 16,
            address: small(20, 10),
            network: small(40, 20),
            loopback: small(40, 20),
            unproven: small(50, 20),
            retries: small(40, 20),
            refusals: small(20, 10),
        };
        let mut admission = Admission::new(config, 64, 7);
        let mut now = Duration::ZERO;
        for (from, proof, milliseconds, connections) in attempts {
            now += Duration::from_millis(milliseconds);
            let attempt = Attempt {
                from: stranger(from).into(),
                proof: [Proof::None, Proof::Retry, Proof::Earlier][proof],
                connections,
                connections_max: 1,
            };
            if !admission.ignores(now, attempt) {
                prop_assert_ne!(admission.decide(now, attempt), Verdict::Ignore);
            } else {
                // It was counted, as its decision would have been.
                prop_assert_eq!(admission.decide(now, attempt), Verdict::Ignore);
            }
        }
    }
}
