//! The filter in simulated time, before an admission that decides about what it lets through.

use std::net::Ipv4Addr;

use selvedge_protocol::limits::EDGE_ACCOUNTS_MAX;

use super::super::tests::initial;
use super::super::{AdmissionConfig, Verdict};
use super::*;

struct World {
    filter: Filter,
    admission: Admission,
    now: Duration,
    connections: usize,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Filtered,
    /// It was let through as one of a handshake.
    Flows,
    Decided(Verdict),
}

use Fate::{Decided, Filtered, Flows as Flowing};
use Verdict::{Accept, Ignore, Refuse, Retry};

const CONNECTIONS_MAX: usize = 1_000;

impl World {
    fn new(configure: impl FnOnce(&mut AdmissionConfig)) -> Self {
        let mut config = AdmissionConfig::default();
        configure(&mut config);
        Self {
            filter: Filter::new(EDGE_ACCOUNTS_MAX, 5),
            admission: Admission::new(config, EDGE_ACCOUNTS_MAX, 7),
            now: Duration::from_secs(1),
            connections: 0,
        }
    }

    fn passes(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        let datagram = Datagram {
            from,
            bytes,
            connections: self.connections,
            connections_max: CONNECTIONS_MAX,
        };
        self.filter
            .passes(&mut self.admission, self.now, datagram, open)
    }

    /// A first packet, which is decided about if it gets so far; its handshake ends at once if it begins.
    fn come(&mut self, from: SocketAddr, id: [u8; 8], token: &[u8]) -> Fate {
        let key = self.filter.flows.key(from, &id);
        let is_known = self.filter.flows.take(key, nanoseconds(self.now));
        if is_known {
            return Flowing;
        }
        if !self.passes(from, &initial(&id, token)) {
            return Filtered;
        }
        let proof = match open(token) {
            Some(Shown::Retry(of)) if of == from => Proof::Retry,
            // QUIC does so by itself.
            Some(Shown::Retry(_)) => return Decided(Refuse),
            Some(Shown::Earlier(of)) if of == from.ip() => Proof::Earlier,
            Some(Shown::Earlier(_)) | None => Proof::None,
        };
        let verdict = self.admission.decide(
            self.now,
            Attempt {
                from: from.ip(),
                proof,
                connections: self.connections,
                connections_max: CONNECTIONS_MAX,
            },
        );
        match verdict {
            Accept => self.admission.ended(from.ip()),
            Retry | Refuse | Ignore => self.filter.turned_away(from, &id),
        }
        Decided(verdict)
    }

    /// How many of so many first packets came to each fate: filtered, accepted, retried, refused, ignored.
    fn crowd(&mut self, count: u32, mut come: impl FnMut(&mut Self, u32) -> Fate) -> [u32; 5] {
        let mut counts = [0; 5];
        for number in 0..count {
            let place = match come(self, number) {
                Filtered => 0,
                Decided(Accept) => 1,
                Decided(Retry) => 2,
                Decided(Refuse) => 3,
                Decided(Ignore) => 4,
                Flowing => panic!("each is of its own"),
            };
            counts[place] += 1;
        }
        counts
    }

    /// 10,000 a second from everywhere, until retries are used up.
    fn flood(&mut self) {
        self.crowd(50_000, |world, number| {
            world.come(stranger(number), id(number), b"")
        });
        let counts = self.crowd(1_000, |world, number| {
            world.come(stranger(50_000 + number), id(number), b"")
        });
        assert_eq!(counts, [1_000, 0, 0, 0, 0]);
    }
}

/// Stands for seals: `r` or `e`, and the address.
fn open(token: &[u8]) -> Option<Shown> {
    let (sort, address) = std::str::from_utf8(token).ok()?.split_at_checked(1)?;
    match sort {
        "r" => Some(Shown::Retry(address.parse().ok()?)),
        "e" => Some(Shown::Earlier(address.parse().ok()?)),
        _ => None,
    }
}

fn retried(of: SocketAddr) -> Vec<u8> {
    format!("r{of}").into_bytes()
}

fn earlier(of: SocketAddr) -> Vec<u8> {
    format!("e{}", of.ip()).into_bytes()
}

fn stranger(number: u32) -> SocketAddr {
    (Ipv4Addr::from(0x2000_0000 + number * 256), 4_433).into()
}

fn id(number: u32) -> [u8; 8] {
    (u64::from(number) + 1).to_be_bytes()
}

fn alice() -> SocketAddr {
    ([192, 0, 2, 1], 4_433).into()
}

#[test]
fn when_it_is_calm_everything_goes_on() {
    let mut world = World::new(|_| {});
    let counts = world.crowd(900, |world, number| {
        world.come(stranger(number), id(number), b"")
    });
    assert_eq!(counts, [0, 900, 0, 0, 0]);
    let sent = [
        // Of connections that have begun, or of none.
        &[0x40; 30][..],
        &[0x40; 1_200],
        &[],
        // A Handshake packet, and an answer to a version.
        &[0xe3, 0, 0, 0, 1, 1, 5, 1, 5, 0],
        &[0x83, 0, 0, 0, 0, 1, 5, 1, 5, 0, 0, 0, 1],
    ];
    for bytes in sent {
        assert!(world.passes(alice(), bytes), "{bytes:?}");
    }
    // What is behind the first packet is of its connection or of none.
    let coalesced = [sent[3], &initial(&[7; 3], b"")].concat();
    assert!(world.passes(alice(), &coalesced));
}

#[test]
fn nothing_is_ignored_that_could_be_dropped_before() {
    let mut world = World::new(|_| {});
    let counts = world.crowd(100_000, |world, number| {
        world.come(stranger(number), id(number), b"")
    });
    assert_eq!(counts, [79_000, 1_000, 20_000, 0, 0]);
    world.connections = CONNECTIONS_MAX;
    let counts = world.crowd(10_000, |world, number| {
        let from = stranger(200_000 + number);
        world.come(from, id(number), &retried(from))
    });
    assert_eq!(counts, [8_000, 0, 0, 2_000, 0], "some are told");
}

#[test]
fn it_is_calm_again_when_a_flood_is_over_and_no_sooner() {
    let mut world = World::new(|_| {});
    world.flood();
    for number in 0..2_000 {
        // What is dropped counts among what comes.
        world.now += Duration::from_millis(1);
        let fate = world.come(stranger(90_000 + number), id(number), b"");
        assert!(matches!(fate, Filtered | Decided(Retry)), "{fate:?}");
    }
    world.now += Duration::from_secs(5);
    assert_eq!(world.come(alice(), id(1), b""), Decided(Accept));
}

#[test]
fn who_has_a_proof_gets_in_through_a_flood() {
    let mut world = World::new(|_| {});
    world.flood();
    assert_eq!(world.come(alice(), id(1), b""), Filtered);
    let earlier = earlier(alice());
    assert_eq!(world.come(alice(), id(2), &earlier), Decided(Accept));
    let retried = retried(alice());
    assert_eq!(world.come(alice(), id(3), &retried), Decided(Accept));
}

#[test]
fn the_packets_of_a_handshake_go_on_through_a_flood() {
    let mut world = World::new(|_| {});
    assert_eq!(world.come(alice(), id(1), b""), Decided(Accept));
    world.flood();
    // The second datagram of its first words, all of them again, and then to the id that this end has named.
    let ours = [8; 8];
    let (now, first) = (world.now, initial(&id(1), b""));
    world.filter.begun(now, alice(), &ours);
    for _ in 0..10 {
        assert!(world.passes(alice(), &first));
        assert!(world.passes(alice(), &initial(&ours, b"")));
        // An acknowledgement alone, as servers send it to a node that dials.
        assert!(world.passes(alice(), &initial(&ours, b"")[..100]));
    }
    let elsewhere = ([192, 0, 2, 1], 4_434).into();
    assert!(!world.passes(elsewhere, &first));
    assert!(!world.passes(elsewhere, &initial(&ours, b"")));
    // Not without an end.
    let more = (0..1_000).filter(|_| world.passes(alice(), &initial(&ours, b"")));
    assert!(more.count() < 32);
    world.now += Duration::from_secs(11);
    world.flood();
    assert!(!world.passes(alice(), &first));
}

#[test]
fn who_was_turned_away_comes_as_anybody() {
    let mut world = World::new(|config| config.unproven.burst = 1);
    assert_eq!(world.come(stranger(90_000), id(1), b""), Decided(Accept));
    assert_eq!(world.come(alice(), id(1), b""), Decided(Retry));
    world.flood();
    assert_eq!(world.come(alice(), id(1), b""), Filtered);
}

#[test]
fn nobody_takes_a_proof_from_whom_they_pretend_to_be() {
    let mut world = World::new(|_| {});
    world.flood();
    // With her address, without a proof, with an invented one, and with those of others.
    let invented = [&b""[..], b"invented"].map(<[u8]>::to_vec);
    let others = [retried(stranger(1)), earlier(stranger(1))];
    for token in invented.iter().chain(&others) {
        let counts = world.crowd(20_000, |world, number| {
            world.come(alice(), id(number), token)
        });
        let [_, accepted, retried, refused, ignored] = counts;
        assert_eq!([accepted, retried, ignored], [0; 3], "{token:?}");
        assert!(refused <= 2_000, "{token:?} {refused}");
    }
    // Openings have a rate, which takes a moment to come back.
    world.now += Duration::from_millis(200);
    let earlier = earlier(alice());
    assert_eq!(world.come(alice(), id(1), &earlier), Decided(Accept));
    let retried = retried(alice());
    assert_eq!(world.come(alice(), id(2), &retried), Decided(Accept));
}

#[test]
fn half_of_what_is_opened_is_left_to_those_in_whose_name_little_comes() {
    let mut world = World::new(|_| {});
    world.flood();
    world.crowd(50_000, |world, number| {
        world.come(alice(), id(number), b"invented")
    });
    assert!(
        world
            .admission
            .allows(&world.admission.proven, 0, Origin::of(alice().ip()))
    );
    let other = stranger(90_000);
    assert_eq!(world.come(other, id(1), &earlier(other)), Decided(Accept));
    assert_eq!(world.come(alice(), id(1), &earlier(alice())), Filtered);
}

#[test]
fn a_proof_that_is_shown_again_and_again_is_worth_a_prefixes_rate() {
    let mut world = World::new(|_| {});
    let token = earlier(alice());
    // QUIC takes it once; each of the others would cost it as much as none.
    let mut passed = 0;
    for number in 0..50_000 {
        passed += u32::from(world.passes(alice(), &initial(&id(number), &token)));
    }
    assert_eq!(passed, 500 + 2_000, "a burst of it, and one of refusals");
    let other = stranger(1);
    assert!(world.passes(other, &initial(&id(1), &earlier(other))));
}

#[test]
fn what_quic_answers_by_itself_has_a_rate() {
    let mut world = World::new(|_| {});
    let mut unspoken = initial(&[7; 8], b"");
    unspoken[4] = 9;
    let counts = (0..50_000).filter(|_| world.passes(alice(), &unspoken));
    assert_eq!(counts.count(), 1_000);
    assert!(!world.passes(alice(), &unspoken[..1_199]));
    let foreign = initial(&[7; 8], &retried(stranger(1)));
    let counts = (0..50_000).filter(|_| world.passes(alice(), &foreign));
    assert_eq!(counts.count(), 2_000, "as many as refusals");
}

#[test]
fn what_quic_would_drop_is_dropped_before() {
    let mut world = World::new(|_| {});
    let whole = initial(&[7; 8], b"");
    assert!(!world.passes(alice(), &whole[..1_199]));
    assert!(!world.passes(alice(), &initial(&[7; 7], b"")));
    assert!(!world.passes(alice(), &initial(&[7; 7], &retried(alice()))));
    assert!(!world.passes(alice(), &[0xc3, 0, 0, 0, 1, 21]));
    assert!(world.passes(alice(), &whole));
}
