//! The frames between nodes: their bytes never change.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use selvedge_protocol::codec::{self, Error, Frame};
use selvedge_protocol::frame::{Consistency, Since};
use selvedge_protocol::limits::{
    STORE_FRAME_BODY_BYTES_MAX, STORE_KEY_BYTES_MAX, STORE_VALUE_BYTES_MAX,
};
use selvedge_protocol::peer::actors::{self, ActorAnswer, ActorRequest};
use selvedge_protocol::peer::processing::{self, ProcessingAnswer, ProcessingRequest};
use selvedge_protocol::peer::store::{
    Add, Begin, Begun, Changed, Clear, ClearRange, Commit, Committed, Follow, Get, Isolation,
    Large, Order, Pair, Pairs, Range, ReadConflict, Set, SetVersionstamped, Status, StoreAnswer,
    StoreFailure, StoreRequest, Value, Watch, WriteConflict,
};
use selvedge_protocol::{
    ActorAddress, CommandId, ErrorCode, Failure, OperationId, OperationType, SessionId, Tenant,
};

mod hostile;

use crate::golden::{from_hex, to_hex};

fn some(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[rustfmt::skip] // One frame a line.
fn requests() -> Vec<StoreRequest> {
    vec![
        StoreRequest::Begin(Begin { version: None }),
        StoreRequest::Begin(Begin { version: Some(300) }),
        StoreRequest::Get(Get { key: some("k"), isolation: Isolation::Snapshot }),
        StoreRequest::Range(Range { begin: some("a"), end: None, order: Order::Descending, limit: 9, isolation: Isolation::Serializable }),
        StoreRequest::Set(Set { key: some("k"), value: some("v") }),
        StoreRequest::Clear(Clear { key: some("k") }),
        StoreRequest::ClearRange(ClearRange { begin: some("a"), end: some("b") }),
        StoreRequest::Add(Add { key: some("n"), by: -2 }),
        StoreRequest::SetVersionstamped(SetVersionstamped { prefix: some("p"), suffix: some("s"), value: some("v") }),
        StoreRequest::ReadConflict(ReadConflict { key: some("r") }),
        StoreRequest::WriteConflict(WriteConflict { key: some("w") }),
        StoreRequest::Commit(Commit {}),
        StoreRequest::Watch(Watch { key: some("k"), since: 7 }),
        StoreRequest::Follow(Follow {}),
    ]
}

#[rustfmt::skip] // One frame a line.
fn answers() -> Vec<StoreAnswer> {
    let text = |text: &str| text.to_owned();
    vec![
        StoreAnswer::Begun(Begun { version: 300 }),
        StoreAnswer::Value(Value { value: Some(some("v")) }),
        StoreAnswer::Pairs(Pairs { pairs: vec![Pair { key: some("k"), value: some("v") }], is_last: true }),
        StoreAnswer::Committed(Committed { version: 301, versionstamp: [1; 10] }),
        StoreAnswer::Failed(StoreFailure::Conflict),
        StoreAnswer::Failed(StoreFailure::TooOld),
        StoreAnswer::Failed(StoreFailure::CommitUnknown),
        StoreAnswer::Failed(StoreFailure::TooLarge { what: Large::Value, bytes: 2, limit: 1 }),
        StoreAnswer::Failed(StoreFailure::Full { path: text("/d"), free: 1, needed: 2 }),
        StoreAnswer::Failed(StoreFailure::Damaged { path: text("/d"), reason: text("r") }),
        StoreAnswer::Failed(StoreFailure::Stopped { reason: text("r") }),
        StoreAnswer::Failed(StoreFailure::Unavailable { reason: text("r") }),
        StoreAnswer::Changed(Changed {}),
        StoreAnswer::Status(Status { version: 302, failure: Some(StoreFailure::Conflict) }),
    ]
}

fn scoped() -> (Tenant, ActorAddress) {
    (Tenant::default_tenant(), "room/42".parse().unwrap())
}

#[rustfmt::skip] // One frame a line.
fn actor_requests() -> Vec<ActorRequest> {
    let (tenant, actor) = scoped();
    let command = actors::Command {
        id: 1, plan: 2, deadline_ms: 300, tenant: tenant.clone(), actor: actor.clone(), principal: "admin".to_owned(),
        sender: actors::Sender::Client(Some(SessionId::from_u128(5))),
        identity: actors::Identity::Session { session: SessionId::from_u128(5), number: 7, acknowledged: 6 },
        name: "say".to_owned(), body: some("{}"), payload: None,
    };
    let by = |sender, identity, payload| ActorRequest::Command(actors::Command { sender, identity, payload, ..command.clone() });
    vec![
        ActorRequest::Command(command.clone()),
        by(actors::Sender::Client(None), actors::Identity::Natural, Some(some("p"))),
        by(actors::Sender::Actor, actors::Identity::Id(CommandId::from_u128(9)), None),
        by(actors::Sender::Node, actors::Identity::Natural, None),
        ActorRequest::CommandIf(actors::CommandIf { version: 4, command: command.clone() }),
        ActorRequest::Query(actors::Query { id: 2, plan: 2, deadline_ms: 0, tenant: tenant.clone(), actor: actor.clone(), name: "get".to_owned(), body: some(""), consistency: Consistency::Linearizable }),
        ActorRequest::Tell(actors::Tell { tenant: tenant.clone(), actor: actor.clone(), from: SessionId::from_u128(5), name: "typing".to_owned(), data: some("1") }),
        ActorRequest::Subscribe(actors::Subscribe { plan: 2, tenant, actor, since: Since::After(3) }),
    ]
}

#[rustfmt::skip] // One frame a line.
fn actor_answers() -> Vec<ActorAnswer> {
    let failure = Failure::new(ErrorCode::Unavailable, "no");
    vec![
        ActorAnswer::Answer(actors::Answer { id: 1, result: Ok(actors::Done { body: some("1"), seq: 2, version: 3 }) }),
        ActorAnswer::Answer(actors::Answer { id: 1, result: Err(failure.clone()) }),
        ActorAnswer::Elsewhere(actors::Elsewhere { id: 1, plan: 3, owner: Some("node-2".to_owned()) }),
        ActorAnswer::Opened(actors::Opened { position: 3 }),
        ActorAnswer::Item(actors::Item::Event { seq: 4, kind: "said".to_owned(), time_ms: 1_000, data: some("{}") }),
        ActorAnswer::Item(actors::Item::Gap { after: 1, seq: 4, snapshot: some("{}") }),
        ActorAnswer::Item(actors::Item::Ephemeral { from: SessionId::from_u128(5), name: "typing".to_owned(), data: some("1") }),
        ActorAnswer::Ended(actors::Ended { failure }),
    ]
}

#[rustfmt::skip] // One frame a line.
fn processing_requests() -> Vec<ProcessingRequest> {
    let tenant = Tenant::default_tenant();
    let operation_type = OperationType::new("digest").unwrap();
    let operation = OperationId::new("one").unwrap();
    let step = || processing::Step { name: "a".to_owned(), result: some("1") };
    let promises = processing::Promises { promises: vec![processing::Promise { name: "p".to_owned(), data: some("2") }] };
    let work = processing::Work { operation: operation.clone(), attempt: 2, input: some("{}"), steps: vec![step()], undo: None, is_noted: true, payload: processing::Payload::None };
    let with = |undo, payload| ProcessingRequest::Work(processing::Work { undo, payload, ..work.clone() });
    vec![
        ProcessingRequest::Ask(processing::Ask { tenant: tenant.clone(), operation_type: operation_type.clone(), priority: -1, wait_ms: 1_000 }),
        ProcessingRequest::Work(work.clone()),
        with(Some(promises), processing::Payload::Stored { length: 9 }),
        with(None, processing::Payload::Streamed { length: Some(9) }),
        with(None, processing::Payload::Streamed { length: None }),
        with(None, processing::Payload::Withheld),
        ProcessingRequest::Heard(processing::Heard { number: 1, result: Ok(()) }),
        ProcessingRequest::Heard(processing::Heard { number: 1, result: Err(Failure::new(ErrorCode::Conflict, "no")) }),
        ProcessingRequest::Hold(processing::Hold { is_held: true }),
        ProcessingRequest::Delivered(processing::Delivered { steps: vec![step()] }),
        ProcessingRequest::Stop(processing::Stop {}),
        ProcessingRequest::Chunk(processing::Chunk::Bytes { data: some("p") }),
        ProcessingRequest::Chunk(processing::Chunk::End),
        ProcessingRequest::Chunk(processing::Chunk::Broken { message: "gone".to_owned() }),
        ProcessingRequest::Carry(processing::Carry { tenant: tenant.clone(), operation, length: Some(9) }),
        ProcessingRequest::Changed(processing::Changed { policy: Some(processing::PolicyName { tenant: tenant.clone(), subject: "*".to_owned() }) }),
        ProcessingRequest::Changed(processing::Changed { policy: None }),
        ProcessingRequest::Workers(processing::Workers { node: "node-1".to_owned(), incarnation: 3, number: 4, groups: vec![processing::Group { tenant, operation_type }] }),
    ]
}

#[rustfmt::skip] // One frame a line.
fn processing_answers() -> Vec<ProcessingAnswer> {
    let name = |name: &str| processing::Name { name: name.to_owned() };
    let wait = |on| processing::Wait { name: "w".to_owned(), on };
    let done = processing::Done {
        steps: vec![processing::Step { name: "a".to_owned(), result: some("1") }],
        promises: processing::Promises { promises: vec![processing::Promise { name: "p".to_owned(), data: some("2") }] },
        waits: vec![
            wait(processing::WaitOn::Time { ms: 5 }),
            wait(processing::WaitOn::Until { until_ms: 6 }),
            wait(processing::WaitOn::Signal { signal: "go".to_owned(), timeout_ms: Some(7) }),
            wait(processing::WaitOn::Call { operation_type: OperationType::new("digest").unwrap(), input: some("{}") }),
        ],
        sends: vec![processing::Send { to: scoped().1, name: "say".to_owned(), body: some("{}") }],
        undone: vec![name("q")],
    };
    let end = |ending| ProcessingAnswer::End(processing::End { done: processing::Done::default(), progress: None, ending });
    vec![
        ProcessingAnswer::Load(processing::Load { is_granted: true, taken: 3, places: 4 }),
        ProcessingAnswer::Report(processing::Report { number: 1, done: done.clone() }),
        ProcessingAnswer::Note(processing::Note { progress: Some("1".to_owned()) }),
        ProcessingAnswer::Want(processing::Want { chunks: 4 }),
        ProcessingAnswer::End(processing::End { done, progress: Some("2".to_owned()), ending: processing::Ending::Succeeded { result: some("3") } }),
        end(processing::Ending::Suspended { on: vec![name("w")] }),
        end(processing::Ending::Continued { input: some("4") }),
        end(processing::Ending::Failed { code: "handler".to_owned(), message: "no".to_owned(), step: Some("a".to_owned()), is_permanent: true, retry_after_ms: Some(8) }),
        end(processing::Ending::Stopped),
        end(processing::Ending::PayloadMissing),
        ProcessingAnswer::Carried(processing::Carried { number: 1 << 52 }),
        ProcessingAnswer::Noted(processing::Noted {}),
    ]
}

fn encoded<F: Frame>(frame: &F) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(frame, &mut out).unwrap();
    out
}

fn decoded<F: Frame>(bytes: &[u8]) -> Result<F, Error> {
    codec::decode_whole(BytesMut::from(bytes))
}

/// Each frame has the bytes of its line, and each ordinal a line.
fn check_golden<Q, A>(golden: &str, requests: Vec<Q>, answers: Vec<A>)
where
    Q: Frame + PartialEq + Debug,
    A: Frame + PartialEq + Debug,
{
    let golden: Vec<&str> = golden.lines().collect();
    let mut lines: Vec<String> = requests.iter().map(|it| to_hex(&encoded(it))).collect();
    lines.extend(answers.iter().map(|it| to_hex(&encoded(it))));
    assert!(
        lines == golden,
        "the bytes are fixed; new frames get new lines\n{}",
        lines.join("\n")
    );
    let bytes: Vec<_> = golden.iter().map(|line| from_hex(line)).collect();
    let (first, rest) = bytes.split_at(requests.len());
    for (bytes, request) in first.iter().zip(requests) {
        assert_eq!(decoded(bytes), Ok(request));
    }
    for (bytes, answer) in rest.iter().zip(answers) {
        assert_eq!(decoded(bytes), Ok(answer));
    }
    for ordinal in Q::ORDINALS.iter().chain(A::ORDINALS) {
        assert!(
            bytes.iter().any(|bytes| bytes[5] == ordinal.0),
            "{ordinal:?}"
        );
    }
}

#[test]
fn frames_between_nodes_have_their_golden_bytes() {
    let store = include_str!("../golden/peer-store.v1.txt");
    check_golden(store, requests(), answers());
    let actors = include_str!("../golden/peer-actors.v1.txt");
    check_golden(actors, actor_requests(), actor_answers());
    let processing = include_str!("../golden/peer-processing.v1.txt");
    check_golden(processing, processing_requests(), processing_answers());
}

#[test]
fn keys_and_values_are_taken_up_to_their_limits() {
    let set = |key: usize, value: usize| {
        StoreRequest::Set(Set {
            key: vec![1; key].into(),
            value: vec![2; value].into(),
        })
    };
    let largest = set(STORE_KEY_BYTES_MAX, STORE_VALUE_BYTES_MAX);
    assert_eq!(decoded(&encoded(&largest)), Ok(largest));
    for (over, named) in [
        (set(STORE_KEY_BYTES_MAX + 1, 1), "key has"),
        (set(1, STORE_VALUE_BYTES_MAX + 1), "value has"),
    ] {
        let refused = decoded::<StoreRequest>(&encoded(&over)).unwrap_err();
        assert!(refused.to_string().contains(named), "{refused}");
    }
}

/// A failure that is too long to be told is cut, not refused.
#[test]
fn long_reasons_are_cut() {
    let reason = "é".repeat(10_000);
    let failed = StoreAnswer::Failed(StoreFailure::Unavailable { reason });
    decoded::<StoreAnswer>(&encoded(&failed)).unwrap();
}

#[test]
fn a_frame_that_announces_too_much_is_refused_on_sight() {
    let length = u32::try_from(STORE_FRAME_BODY_BYTES_MAX + 3).unwrap();
    let mut bytes = BytesMut::from(&[&length.to_be_bytes()[..], &[1, 4]].concat()[..]);
    let refused = codec::decode::<StoreRequest>(&mut bytes);
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
}
