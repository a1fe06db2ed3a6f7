//! What waits for one node, call by call.

use bytes::{Bytes, BytesMut};
use selvedge_protocol::limits::ACTOR_FRAME_BODY_BYTES_MAX;
use selvedge_protocol::{ErrorCode, SessionId, Tenant};
use tokio::time::Duration;

use super::*;
use crate::forward::parcel::tests::Sender;

const PLAN: u64 = 3;

struct World {
    sender: Sender,
    pending: Pending,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            sender: Sender::default(),
            pending: Pending::default(),
            now: Instant::now(),
        }
    }

    /// Sends a parcel that is given up after so many milliseconds.
    fn send(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        let parcel = self.sender.parcel(until, 0);
        self.pending.send(self.now, PLAN, parcel).unwrap();
    }

    fn connect(&mut self) {
        assert!(self.pending.connect(self.now, PLAN).is_empty());
    }

    /// The ids of what is to be written, each by this plan.
    fn written(&mut self) -> Vec<u64> {
        let mut out = BytesMut::from(&self.pending.take_out()[..]);
        let mut ids = Vec::new();
        while let Some(request) = codec::decode(&mut out).unwrap() {
            match request {
                ActorRequest::Command(command) => {
                    assert_eq!(command.plan, PLAN);
                    ids.push(command.id);
                }
                ActorRequest::Tell(_) => ids.push(0),
                other @ (ActorRequest::CommandIf(_)
                | ActorRequest::Query(_)
                | ActorRequest::Subscribe(_)) => panic!("{other:?}"),
            }
        }
        assert!(out.is_empty());
        ids
    }
}

fn numbers(parcels: &[Box<Parcel>]) -> Vec<u64> {
    parcels.iter().map(|parcel| parcel.number).collect()
}

fn tell(bytes: usize) -> Tell {
    Tell {
        tenant: Tenant::default_tenant(),
        actor: "tally/a".parse().unwrap(),
        from: SessionId::from_u128(1),
        name: "typing".to_owned(),
        data: Bytes::from(vec![b'1'; bytes]),
    }
}

#[test]
fn what_came_before_there_is_a_stream_goes_on_it_in_order() {
    let mut world = World::new();
    for _ in 0..3 {
        world.send(1_000);
    }
    assert_eq!(world.written(), [0_u64; 0]);
    world.connect();
    world.send(1_000);
    assert_eq!(world.written(), [1, 2, 3, 4]);
    assert_eq!(world.written(), [0_u64; 0], "once");
}

#[test]
fn what_is_unanswered_goes_on_the_next_stream_under_its_number() {
    let mut world = World::new();
    world.connect();
    for _ in 0..5 {
        world.send(1_000);
    }
    assert_eq!(world.written(), [1, 2, 3, 4, 5]);
    assert_eq!(world.pending.answered(2).unwrap().number, 1);
    assert!(world.pending.answered(2).is_none(), "answered twice");
    assert!(world.pending.answered(99).is_none(), "never asked");
    // Half of a frame that was not written goes with its stream.
    world.send(1_000);
    world.pending.disconnect();
    assert_eq!(world.written(), [0_u64; 0]);
    world.send(1_000);
    world.connect();
    assert_eq!(world.written(), [1, 3, 4, 5, 6, 7]);
    // An answer to the first time that comes on no stream any more is not there; one to the second is.
    assert_eq!(world.pending.answered(1).unwrap().number, 0);
}

#[test]
fn what_has_waited_too_long_is_handed_back_whether_there_is_a_stream_or_not() {
    let mut world = World::new();
    world.send(10);
    world.send(30);
    world.connect();
    world.send(20);
    assert_eq!(world.pending.expired(world.now).len(), 0);
    let late = world.now + Duration::from_millis(20);
    assert_eq!(numbers(&world.pending.expired(late)), [0, 2]);
    // It is not sent again, and its answer is nobody's.
    world.pending.disconnect();
    world.connect();
    assert_eq!(world.written(), [2]);
    assert!(world.pending.answered(1).is_none());
    let last = world.now + Duration::from_millis(30);
    assert_eq!(numbers(&world.pending.expired(last)), [1]);
    assert_eq!(world.sender.room.taken(), (0, 0));
}

#[test]
fn what_has_moved_is_handed_back_only_while_there_is_no_stream_that_leads_there() {
    let mut world = World::new();
    for _ in 0..4 {
        world.send(1_000);
    }
    let is_odd = |parcel: &Parcel| parcel.number % 2 == 1;
    world.connect();
    assert!(world.pending.moved(Reach::Open, is_odd).is_empty());
    world.pending.disconnect();
    assert_eq!(numbers(&world.pending.moved(Reach::Open, is_odd)), [1, 3]);
    world.connect();
    assert_eq!(world.written(), [1, 3], "the ids of the others");
    let is_third = |parcel: &Parcel| parcel.number == 2;
    assert!(world.pending.moved(Reach::Open, is_third).is_empty());
    assert_eq!(numbers(&world.pending.moved(Reach::CutOff, is_third)), [2]);
    assert_eq!(numbers(&world.pending.close()), [0]);
}

#[test]
fn a_node_that_is_gone_takes_nothing_and_keeps_nothing() {
    let mut world = World::new();
    world.connect();
    world.send(1_000);
    world.send(1_000);
    assert_eq!(numbers(&world.pending.close()), [0, 1]);
    assert_eq!(world.written(), [0_u64; 0]);
    let parcel = world.sender.parcel(world.now, 0);
    let sent = world.pending.send(world.now, PLAN, parcel);
    assert!(matches!(sent, Err(Unsent::Gone(parcel)) if parcel.number == 2));
    assert!(world.pending.close().is_empty());
    assert_eq!(world.sender.room.taken(), (0, 0));
}

#[test]
fn what_no_frame_holds_is_handed_back() {
    let mut world = World::new();
    let large = ACTOR_FRAME_BODY_BYTES_MAX + 1;
    // Before there is a stream nobody knows yet.
    let parcel = world.sender.parcel(world.now, large);
    world.pending.send(world.now, PLAN, parcel).unwrap();
    world.send(1_000);
    let too_large = world.pending.connect(world.now, PLAN);
    assert_eq!(numbers(&too_large), [0]);
    let parcel = world.sender.parcel(world.now, large);
    let sent = world.pending.send(world.now, PLAN, parcel);
    let Err(Unsent::TooLarge(parcel)) = sent else {
        panic!("{sent:?}");
    };
    parcel.refuse_as_too_large();
    world.send(1_000);
    // Nothing of it is among the frames, and no number is used twice.
    assert_eq!(world.written(), [2, 4]);
    assert_eq!(world.sender.told.codes(), [(2, ErrorCode::TooLarge)]);
}

#[test]
fn messages_that_may_be_lost_are_where_they_would_pile_up() {
    let mut world = World::new();
    world.pending.tell(tell(1));
    world.connect();
    assert_eq!(world.written(), [0_u64; 0], "there was no stream");
    world.pending.tell(tell(1));
    assert_eq!(world.written(), [0]);
    for _ in 0..100 {
        world.pending.tell(tell(60_000));
    }
    let out = world.pending.take_out();
    assert!((OUT_BYTES_LOSSY..OUT_BYTES_LOSSY + 100_000).contains(&out.len()));
    // Requests are not, and one that no frame holds leaves nothing of itself.
    world.pending.tell(tell(ACTOR_FRAME_BODY_BYTES_MAX + 1));
    world.send(1_000);
    assert_eq!(world.written(), [1]);
}
