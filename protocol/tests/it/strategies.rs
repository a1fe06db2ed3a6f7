//! Strategies for every frame: what proptest draws from. Values keep to the limits.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use selvedge_protocol::frame::{
    Ack, Chunk, ClientFrame, Command, Consistency, EphemeralEvent, EphemeralSend, Event,
    Extensions, Gap, Goodbye, Hello, LargeGap, Notice, Outcome, Payload, Ping, Pong, Position,
    Query, Redirect, Reply, Request, ServerFrame, SessionLimits, Since, StepReport, StepResult,
    Subscribe, Success, Task, Unsubscribe, Welcome, Window, WorkerReady,
};
use selvedge_protocol::{
    ActorAddress, ActorKey, ActorKind, CommandId, ErrorCode, Failure, OperationId, OperationType,
    SessionId, Target, Tenant,
};

use crate::any::Any;

/// Any frame of either direction.
pub(crate) fn any_frame() -> impl Strategy<Value = Any> {
    prop_oneof![
        client_frame().prop_map(Any::Client),
        server_frame().prop_map(Any::Server)
    ]
}

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let goodbye = option::of(failure()).prop_map(|failure| Goodbye { failure });
    prop_oneof![
        hello().prop_map(ClientFrame::Hello),
        command().prop_map(ClientFrame::Command),
        query().prop_map(ClientFrame::Query),
        subscribe().prop_map(ClientFrame::Subscribe),
        number().prop_map(|subscription| ClientFrame::Unsubscribe(Unsubscribe { subscription })),
        ack().prop_map(ClientFrame::Ack),
        worker_ready().prop_map(ClientFrame::WorkerReady),
        step_result().prop_map(ClientFrame::StepResult),
        number().prop_map(|nonce| ClientFrame::Ping(Ping { nonce })),
        goodbye.prop_map(ClientFrame::Goodbye),
        (target(), name(), data()).prop_map(|(target, name, data)| {
            ClientFrame::Ephemeral(EphemeralSend { target, name, data })
        }),
        chunk().prop_map(ClientFrame::Chunk),
    ]
}

pub(crate) fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let goodbye = option::of(failure()).prop_map(|failure| Goodbye { failure });
    prop_oneof![
        welcome().prop_map(ServerFrame::Welcome),
        reply().prop_map(ServerFrame::Reply),
        event().prop_map(ServerFrame::Event),
        gap().prop_map(ServerFrame::Gap),
        large_gap().prop_map(ServerFrame::LargeGap),
        task().prop_map(ServerFrame::Task),
        notice().prop_map(ServerFrame::Notice),
        (label(), ext())
            .prop_map(|(address, ext)| ServerFrame::Redirect(Redirect { address, ext })),
        goodbye.prop_map(ServerFrame::Goodbye),
        number().prop_map(|nonce| ServerFrame::Pong(Pong { nonce })),
        ephemeral_event().prop_map(ServerFrame::Ephemeral),
        chunk().prop_map(ServerFrame::Chunk),
        (request(), number())
            .prop_map(|(request, bytes)| ServerFrame::Window(Window { request, bytes })),
    ]
}

/// Numbers of every width on the wire, not mostly huge ones.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, 0..70_000_u64, 0..(1_u64 << 33), any::<u64>()]
}

fn number32() -> impl Strategy<Value = u32> {
    prop_oneof![0..300_u32, 0..70_000_u32, any::<u32>()]
}

/// Up to 64 bytes of UTF-8: a character has at most four.
fn name() -> impl Strategy<Value = String> {
    ".{0,16}"
}

fn label() -> impl Strategy<Value = String> {
    ".{0,65}"
}

fn data() -> impl Strategy<Value = Bytes> {
    // White space around JSON text is left out of JSON, so bytes do not come back with it.
    let is_trimmed = |bytes: &Bytes| bytes.trim_ascii().len() == bytes.len();
    prop_oneof![
        vec(any::<u8>(), 0..300)
            .prop_map(Bytes::from)
            .prop_filter("white space around it", is_trimmed),
        json().prop_map(Bytes::from),
    ]
}

/// Short JSON texts of each sort.
fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::from("null")),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        vec(0..9_u8, 0..9).prop_map(|list| format!("{list:?}")),
        (any::<bool>(), 0..9_u8).prop_map(|(a, b)| format!("{{\"a\":{a}, \"b\":{{\"c\":{b}}}}}")),
    ]
}

fn ext() -> impl Strategy<Value = Extensions> {
    vec((any::<u16>(), data()), 0..3)
}

pub(crate) fn tenant() -> impl Strategy<Value = Tenant> {
    "[a-z0-9-]{1,63}".prop_map(|text| Tenant::new(text).unwrap())
}

pub(crate) fn address() -> impl Strategy<Value = ActorAddress> {
    ("[a-z][a-z0-9_.-]{0,63}", ".{1,128}").prop_map(|(kind, key)| ActorAddress {
        kind: ActorKind::new(kind).unwrap(),
        key: ActorKey::new(key).unwrap(),
    })
}

fn operation_type() -> impl Strategy<Value = OperationType> {
    "[a-z][a-z0-9_.-]{0,63}".prop_map(|text| OperationType::new(text).unwrap())
}

fn target() -> impl Strategy<Value = Target> {
    let operation = "[A-Za-z0-9._:-]{1,128}";
    prop_oneof![
        address().prop_map(Target::Actor),
        operation.prop_map(|text| Target::Operation(OperationId::new(text).unwrap())),
        Just(Target::Operations),
        Just(Target::Actors),
        Just(Target::Cluster),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    (
        select(ErrorCode::ALL.to_vec()),
        ".{0,500}",
        option::of(label()),
        option::of(number32()),
    )
        .prop_map(|(code, message, field, retry_after_ms)| Failure {
            code,
            message,
            field,
            retry_after_ms,
        })
}

fn session() -> impl Strategy<Value = SessionId> {
    any::<u128>().prop_map(SessionId::from_u128)
}

prop_compose! {
    fn hello()(
        versions in vec(any::<u8>(), 0..5), token in ".{0,300}", tenant in option::of(tenant()),
        agent in label(), resume in option::of(data()), ext in ext(),
    ) -> Hello {
        Hello { versions, token, tenant, agent, resume, ext }
    }
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::None),
        data().prop_map(Payload::Inline),
        number().prop_map(|length| Payload::Attached { length }),
        option::of(number()).prop_map(|length| Payload::Streamed { length }),
    ]
}

prop_compose! {
    fn command()(
        number in number(), id in option::of(any::<u128>().prop_map(CommandId::from_u128)),
        acknowledged in number(), target in target(), name in name(), body in data(),
        payload in payload(), deadline_ms in number32(), ext in ext(),
    ) -> Command {
        Command { number, id, acknowledged, target, name, body, payload, deadline_ms, ext }
    }
}

prop_compose! {
    fn query()(
        number in number(), target in target(), name in name(), body in data(),
        consistency in select(vec![Consistency::Linearizable, Consistency::Eventual]),
        deadline_ms in number32(), ext in ext(),
    ) -> Query {
        Query { number, target, name, body, consistency, deadline_ms, ext }
    }
}

prop_compose! {
    fn subscribe()(
        subscription in number(), target in target(),
        since in prop_oneof![number().prop_map(Since::After), Just(Since::Latest)], ext in ext(),
    ) -> Subscribe {
        Subscribe { subscription, target, since, ext }
    }
}

fn ack() -> impl Strategy<Value = Ack> {
    let position =
        (number(), number()).prop_map(|(subscription, seq)| Position { subscription, seq });
    (number(), vec(position, 0..20)).prop_map(|(acknowledged, positions)| Ack {
        acknowledged,
        positions,
    })
}

fn worker_ready() -> impl Strategy<Value = WorkerReady> {
    (vec(operation_type(), 0..5), number32(), ext()).prop_map(|(types, capacity, ext)| {
        WorkerReady {
            types,
            capacity,
            ext,
        }
    })
}

fn step_result() -> impl Strategy<Value = StepResult> {
    let report = prop_oneof![
        data().prop_map(StepReport::Heartbeat),
        data().prop_map(StepReport::Success),
        failure().prop_map(StepReport::Failure),
    ];
    (number(), report, ext()).prop_map(|(lease, report, ext)| StepResult { lease, report, ext })
}

prop_compose! {
    fn limits()(
        window in number(), queries in number32(), subscriptions in number32(),
        inline_bytes in number32(), payload_bytes in number32(), idle_ms in number32(),
    ) -> SessionLimits {
        SessionLimits { window, queries, subscriptions, inline_bytes, payload_bytes, idle_ms }
    }
}

prop_compose! {
    fn welcome()(
        version in any::<u8>(), session in session(), resumed in any::<bool>(),
        resume_token in data(), node in label(), limits in limits(), ext in ext(),
    ) -> Welcome {
        Welcome { version, session, resumed, resume_token, node, limits, ext }
    }
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        number().prop_map(Request::Command),
        number().prop_map(Request::Query),
        number().prop_map(Request::Subscription),
    ]
}

fn chunk() -> impl Strategy<Value = Chunk> {
    (request(), data(), any::<bool>()).prop_map(|(request, data, last)| Chunk {
        request,
        data,
        last,
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let success = (data(), number(), number())
        .prop_map(|(body, seq, version)| Outcome::Success(Success { body, seq, version }));
    let outcome = prop_oneof![success, failure().prop_map(Outcome::Failure)];
    (request(), outcome, ext()).prop_map(|(request, outcome, ext)| Reply {
        request,
        outcome,
        ext,
    })
}

prop_compose! {
    pub(crate) fn event()(
        subscription in number(), seq in number(), kind in name(), time_ms in number(),
        data in data(),
    ) -> Event {
        Event { subscription, seq, kind, time_ms, data }
    }
}

prop_compose! {
    fn gap()(
        subscription in number(), after in number(), seq in number(), snapshot in data(),
    ) -> Gap {
        Gap { subscription, after, seq, snapshot }
    }
}

prop_compose! {
    fn large_gap()(
        subscription in number(), after in number(), seq in number(), length in number(),
    ) -> LargeGap {
        LargeGap { subscription, after, seq, length }
    }
}

prop_compose! {
    fn task()(
        lease in number(), operation in target(), operation_type in operation_type(),
        step in label(), attempt in number32(), input in data(), lease_ms in number32(),
        ext in ext(),
    ) -> Task {
        Task { lease, operation, operation_type, step, attempt, input, lease_ms, ext }
    }
}

fn notice() -> impl Strategy<Value = Notice> {
    prop_oneof![
        number32().prop_map(|deadline_ms| Notice::Draining { deadline_ms }),
        (label(), number32()).prop_map(|(limit, retry_after_ms)| Notice::Limited {
            limit,
            retry_after_ms
        }),
        number().prop_map(|lease| Notice::TaskCancelled { lease }),
        number().prop_map(|lease| Notice::ResultRefused { lease }),
    ]
}

prop_compose! {
    fn ephemeral_event()(
        subscription in number(), from in session(), name in name(), data in data(),
    ) -> EphemeralEvent {
        EphemeralEvent { subscription, from, name, data }
    }
}
