//! Parcels as tests need them, the room for them, and where they go.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_protocol::{SessionId, Tenant};
use tokio::time::Duration;

use super::*;
use crate::actor::kind::Origin;
use crate::actor::request::{CommandRequest, Identity, ScopedAddress};
use crate::membership::{NodeState, Versions};
use crate::plan::{Candidate, Plan};

/// The answers that came, by token.
#[derive(Debug, Default)]
pub(in crate::forward) struct Told(Mutex<BTreeMap<u64, Outcome>>);

impl AnswerSink for Told {
    fn answer(&self, token: u64, outcome: Outcome) {
        let before = self.0.lock().insert(token, outcome);
        assert!(before.is_none(), "answered twice: {before:?}");
    }
}

impl Told {
    /// The failures, by token; of successes nothing.
    pub(in crate::forward) fn codes(&self) -> Vec<(u64, ErrorCode)> {
        let told = self.0.lock();
        let failures = told.iter().filter_map(|(token, outcome)| match outcome {
            Outcome::Success(_) => None,
            Outcome::Failure(failure) => Some((*token, failure.code)),
        });
        failures.collect()
    }
}

/// What makes parcels.
#[derive(Debug, Default)]
pub(in crate::forward) struct Sender {
    pub(in crate::forward) room: Arc<Room>,
    pub(in crate::forward) told: Arc<Told>,
    pub(in crate::forward) line: Arc<Line>,
}

impl Sender {
    /// The next one, with a payload of so many bytes.
    pub(in crate::forward) fn parcel(&self, until: Instant, bytes: usize) -> Box<Parcel> {
        let number = self.room.number();
        let request = Request::Command(CommandRequest {
            actor: ScopedAddress {
                tenant: Tenant::default_tenant(),
                address: "tally/a".parse().unwrap(),
            },
            principal: Arc::from("tester"),
            origin: Origin::Client(None),
            identity: Identity::Session {
                session: SessionId::from_u128(1),
                number,
                acknowledged: 0,
            },
            name: "add".to_owned(),
            body: Bytes::from_static(b"1"),
            payload: (bytes > 0).then(|| vec![0; bytes].into()),
            if_version: None,
            deadline: None,
        });
        Box::new(Parcel {
            permit: self.room.permit(bytes).unwrap(),
            request,
            reply: ReplyTo::new(Arc::clone(&self.told) as Arc<dyn AnswerSink>, number),
            asked_by: None,
            number,
            until,
            line: Arc::clone(&self.line),
            flight: None,
            hint: Hint::default(),
        })
    }
}

impl Room {
    /// What is taken of it.
    pub(in crate::forward) fn taken(&self) -> (usize, usize) {
        let count = self.count.load(Ordering::Relaxed);
        (count, self.bytes.load(Ordering::Relaxed))
    }
}

#[test]
fn there_is_room_for_so_many_parcels_and_no_more() {
    let room = Arc::<Room>::default();
    let mut permits: Vec<_> = (0..FORWARDED_MAX).map(|_| room.permit(1)).collect();
    assert!(permits.iter().all(Option::is_some));
    assert!(room.permit(1).is_none());
    assert_eq!(room.taken(), (FORWARDED_MAX, FORWARDED_MAX));
    permits.pop();
    assert!(room.permit(1).is_some(), "its place is free again");
    drop(permits);
    assert_eq!(room.taken(), (0, 0));
}

#[test]
fn there_is_room_for_so_many_bytes_and_one_parcel_more() {
    let room = Arc::<Room>::default();
    let half = FORWARDED_BYTES_MAX / 2;
    let permits = [room.permit(half), room.permit(half - 1), room.permit(half)];
    assert!(permits.iter().all(Option::is_some));
    assert!(room.permit(0).is_none());
    assert_eq!(room.taken().0, 3, "what is refused takes nothing");
    let [first, second, last] = permits;
    drop(last);
    assert!(room.permit(0).is_some());
    drop((first, second));
    assert_eq!(room.taken(), (0, 0));
}

#[test]
fn whatever_becomes_of_a_parcel_its_room_is_given_back() {
    let sender = Sender::default();
    let now = Instant::now();
    let parcels: Vec<_> = (0..4).map(|_| sender.parcel(now, 100)).collect();
    assert_eq!(sender.room.taken(), (4, 400));
    let [given_up, too_large, lost, answered] = parcels.try_into().unwrap();
    given_up.give_up();
    too_large.refuse_as_too_large();
    drop(lost);
    assert_eq!(sender.room.taken(), (1, 100));
    let failure = Failure::new(ErrorCode::Rejected, "no");
    let Parcel { reply, permit, .. } = *answered;
    reply.answer(Outcome::Failure(failure));
    drop(permit);
    assert_eq!(sender.room.taken(), (0, 0));
    // Whoever waits for it is told, in each case.
    let codes = [
        (0, ErrorCode::Unavailable),
        (1, ErrorCode::TooLarge),
        (2, ErrorCode::Unavailable),
        (3, ErrorCode::Rejected),
    ];
    assert_eq!(sender.told.codes(), codes);
}

/// A view of three nodes in which one has all, by a plan with this number.
fn view(number: u64, owner: &str) -> View {
    let candidate = Candidate {
        name: owner.to_owned(),
        weight: 1,
    };
    let mut plan = Plan::empty(1).next(&[candidate]);
    plan.number = number;
    let node = NodeRecord {
        incarnation: 1,
        state: NodeState::Serving,
        is_drained: false,
        is_isolated: false,
        weight: 1,
        roles: Vec::new(),
        peer: String::new(),
        quic: None,
        operations: Vec::new(),
        versions: Versions {
            binary: String::new(),
            protocol: 1,
            schema: 1,
        },
    };
    let members = ["here", "one", "two"].map(|name| (name.to_owned(), node.clone()));
    View {
        name: "here".to_owned(),
        incarnation: 1,
        plan,
        members: members.into(),
        controller: None,
    }
}

#[test]
fn a_parcel_follows_a_hint_until_the_plan_is_known_that_it_is_of() {
    let sender = Sender::default();
    let mut parcel = sender.parcel(Instant::now() + Duration::from_secs(1), 0);
    let way = |parcel: &Parcel, view: &View| {
        let way = parcel.way(view, 0);
        way.map(|way| (way.name.to_owned(), way.plan))
    };
    let to = |name: &str, plan| Some((name.to_owned(), plan));
    assert_eq!(way(&parcel, &view(3, "one")), to("one", 3));
    assert_eq!(way(&parcel, &view(3, "here")), None);
    parcel.hint = Hint {
        plan: 5,
        owner: Some("two".to_owned()),
        is_given: true,
    };
    assert_eq!(way(&parcel, &view(3, "one")), to("two", 5));
    assert_eq!(way(&parcel, &view(5, "two")), to("two", 5));
    assert_eq!(way(&parcel, &view(6, "one")), to("one", 6));
    // Followed in vain, or of a node that is not there: the plan is waited for.
    for owner in [None, Some("nobody".to_owned())] {
        parcel.hint.owner = owner;
        assert_eq!(way(&parcel, &view(3, "one")), None);
        assert_eq!(way(&parcel, &view(5, "one")), to("one", 5));
    }
}
