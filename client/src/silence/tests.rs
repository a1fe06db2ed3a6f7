//! Servers that are dead, slow, far away or busy, and clients that are busy themselves, in simulated time.

use super::*;

const KEEP_ALIVE: Duration = Duration::from_secs(1);
const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A client that looks as it is told to, and counts what it was told.
struct World {
    silence: Silence,
    now: Duration,
    look_at: Duration,
    datagrams: u64,
    round_trip: Duration,
    pings: Vec<Duration>,
}

impl World {
    fn new() -> Self {
        let mut silence = Silence::new(KEEP_ALIVE);
        silence.connected();
        Self {
            silence,
            now: ms(5_000),
            look_at: ms(5_000),
            datagrams: 7,
            round_trip: ms(1),
            pings: Vec::new(),
        }
    }

    /// Lets time pass to the next look; `heard` says whether anything has come at a moment.
    fn look(&mut self, expecting: Expecting) -> Verdict {
        self.now = self.now.max(self.look_at);
        let verdict = self.silence.look(Look {
            now: self.now,
            datagrams: self.datagrams,
            round_trip: self.round_trip,
            expecting,
        });
        match verdict {
            Verdict::Wait(after) => self.look_at = self.now + after,
            Verdict::Probe(after) => {
                self.pings.push(self.now);
                self.look_at = self.now + after;
            }
            Verdict::Dead(_) => {}
        }
        verdict
    }

    /// How long it takes, from now, until the server is taken for dead.
    fn dies(&mut self, expecting: Expecting) -> Duration {
        let began = self.now;
        while self.now < began + Duration::from_secs(60) {
            if let Verdict::Dead(silent) = self.look(expecting) {
                assert!(silent >= SILENT_MAX);
                return self.now - began;
            }
        }
        panic!("never");
    }
}

#[test]
fn a_dead_server_is_left_soon_after_a_request() {
    let mut world = World::new();
    world.look(Expecting::Answer);
    let took = world.dies(Expecting::Something);
    assert!(took >= SILENT_MAX && took <= ms(1_500), "{took:?}");
    assert_eq!(world.pings.len(), 1, "it was asked once");
}

#[test]
fn a_client_that_goes_on_asking_notices_as_soon() {
    let mut world = World::new();
    let took = world.dies(Expecting::Answer);
    assert!(took >= SILENT_MAX && took <= ms(1_500), "{took:?}");
}

#[test]
fn who_listens_notices_a_while_after_the_keep_alive() {
    let mut world = World::new();
    let took = world.dies(Expecting::Something);
    assert!(took >= ms(2_250) && took <= ms(2_800), "{took:?}");
}

#[test]
fn a_hello_that_nobody_answers_asks_as_well() {
    let mut world = World::new();
    let took = world.dies(Expecting::Welcome);
    assert!(took >= WELCOME_MAX && took <= ms(3_300), "{took:?}");
    assert!(world.pings.is_empty(), "nothing is said before the welcome");
}

#[test]
fn a_quiet_server_that_is_there_is_neither_left_nor_asked() {
    // QUIC's keep-alive is answered once a second.
    let mut world = World::new();
    let began = world.now;
    for second in 1..=60 {
        while world.now < began + KEEP_ALIVE * second {
            let verdict = world.look(Expecting::Something);
            assert!(matches!(verdict, Verdict::Wait(_)));
        }
        world.datagrams += 1;
    }
}

#[test]
fn a_slow_answer_is_waited_for_by_whoever_gets_any_sign() {
    let mut world = World::new();
    let began = world.now;
    world.look(Expecting::Answer);
    while world.now < began + Duration::from_secs(60) {
        // The Ping is answered, nothing else is.
        if let Verdict::Probe(_) = world.look(Expecting::Something) {
            world.datagrams += 1;
        }
    }
    // The first after the request, then at the pace of the keep-alive.
    assert!(world.pings.len() <= 1 + 60, "{}", world.pings.len());
}

#[test]
fn what_was_while_nothing_was_owed_does_not_count() {
    let mut world = World::new();
    for _ in 0..100 {
        world.look(Expecting::Answer);
        world.look(Expecting::Something);
        world.silence.rest();
        world.look_at += Duration::from_secs(30);
    }
    assert!(world.pings.is_empty());
}

#[test]
fn one_datagram_in_time_is_enough() {
    let mut world = World::new();
    let mut last = world.now;
    for _ in 0..1_000 {
        assert!(!matches!(world.look(Expecting::Answer), Verdict::Dead(_)));
        if world.now >= last + ms(900) {
            world.datagrams += 1;
            last = world.now;
        }
    }
}

#[test]
fn a_client_that_was_stopped_does_not_blame_the_server() {
    let mut world = World::new();
    world.look(Expecting::Answer);
    for _ in 0..5 {
        // A minute without a look, then the answer that had waited in the socket is read.
        world.look_at += Duration::from_secs(60);
        assert!(!matches!(world.look(Expecting::Answer), Verdict::Dead(_)));
        assert!(!matches!(world.look(Expecting::Answer), Verdict::Dead(_)));
        world.datagrams += 1;
        world.look(Expecting::Answer);
    }
}

#[test]
fn on_a_busy_machine_late_looks_count_like_those_in_time() {
    let mut world = World::new();
    let mut looks = 0;
    loop {
        world.look_at += ms(700);
        looks += 1;
        if let Verdict::Dead(_) = world.look(Expecting::Answer) {
            break;
        }
    }
    assert!(looks >= 6, "{looks} looks");
}

#[test]
fn a_long_link_has_more_time() {
    let mut world = World::new();
    world.round_trip = ms(600);
    assert!(world.dies(Expecting::Answer) >= ms(3_600));
}

#[test]
fn alarms_in_a_row_make_patient() {
    let mut world = World::new();
    let mut took = Vec::new();
    for _ in 0..4 {
        took.push(world.dies(Expecting::Answer).as_millis() / 1_000);
        world.silence.connected();
    }
    assert_eq!(took, [1, 2, 4, 4]);
    world.silence.lasted();
    assert_eq!(world.dies(Expecting::Answer).as_millis() / 1_000, 1);
}
