//! The frames whose bytes are fixed for ever in `tests/golden/v1.txt`, by name.
//!
//! A name begins with its frame's, in snake case. Add to the end of a group; never change one.

use bytes::Bytes;
use selvedge_protocol::frame::{
    Ack, Chunk, ClientFrame, Command, Consistency, EphemeralEvent, EphemeralSend, Event, Gap,
    Goodbye, Hello, LargeGap, Notice, Outcome, Payload, Ping, Pong, Position, Query, Redirect,
    Reply, Request, ServerFrame, SessionLimits, Since, StepReport, StepResult, Subscribe, Success,
    Task, Unsubscribe, Welcome, Window, WorkerReady,
};
use selvedge_protocol::{
    ActorAddress, CommandId, ErrorCode, Failure, OperationId, OperationType, SessionId, Target,
    Tenant,
};
use selvedge_protocol::{attachment, servers, task_payload};

use crate::any::Any;

/// Every sample, in the order of the file.
pub(crate) fn samples() -> Vec<(String, Any)> {
    let client = [
        hello(),
        commands(),
        queries(),
        subscriptions(),
        worker(),
        payload(),
    ]
    .concat();
    let server = [welcome(), replies(), events(), notices(), bytes()].concat();
    client
        .into_iter()
        .map(|(name, frame)| (name, Any::Client(frame)))
        .chain(
            server
                .into_iter()
                .map(|(name, frame)| (name, Any::Server(frame))),
        )
        .collect()
}

const SESSION: SessionId = SessionId::from_u128(0x0190_163d_8694_739b_aea5_966c_26f8_ad91);
const COMMAND: CommandId = CommandId::from_u128(0x0190_163d_8694_739b_aea5_966c_26f8_ad92);

fn room() -> Target {
    Target::Actor("room/42".parse::<ActorAddress>().unwrap())
}

fn operation() -> Target {
    Target::Operation(OperationId::new("a1").unwrap())
}

fn import() -> OperationType {
    OperationType::new("import").unwrap()
}

fn named<T>(name: &str, frame: T) -> (String, T) {
    (String::from(name), frame)
}

fn hello() -> Vec<(String, ClientFrame)> {
    let first = Hello {
        versions: vec![1],
        token: "secret".into(),
        tenant: None,
        agent: "example/1".into(),
        resume: None,
        ext: Vec::new(),
    };
    let resumed = Hello {
        versions: vec![2, 1],
        tenant: Some(Tenant::new("acme").unwrap()),
        resume: Some(Bytes::from_static(&[0xaa, 0xbb])),
        ext: vec![(7, Bytes::from_static(b"x")), (300, Bytes::new())],
        ..first.clone()
    };
    vec![
        named("hello", ClientFrame::Hello(first)),
        named("hello.resume", ClientFrame::Hello(resumed)),
    ]
}

fn commands() -> Vec<(String, ClientFrame)> {
    let command = |name: &str, target, payload| {
        let body = Command {
            number: 1,
            id: None,
            acknowledged: 0,
            target,
            name: "say".into(),
            body: Bytes::from_static(b"{\"text\":\"hi\"}"),
            payload,
            deadline_ms: 0,
            ext: Vec::new(),
        };
        (format!("command.{name}"), body)
    };
    let mut full = command("full", operation(), Payload::None);
    full.1.number = 300;
    full.1.id = Some(COMMAND);
    full.1.acknowledged = 299;
    full.1.deadline_ms = 70_000;
    full.1.ext = vec![(1, Bytes::from_static(b"e"))];
    [
        command("actor", room(), Payload::None),
        full,
        command("inline", room(), Payload::Inline("bytes".into())),
        command(
            "attached",
            operation(),
            Payload::Attached { length: 1 << 20 },
        ),
        command("streamed", operation(), Payload::Streamed { length: None }),
        command(
            "streamed_length",
            operation(),
            Payload::Streamed {
                length: Some(1 << 33),
            },
        ),
    ]
    .into_iter()
    .map(|(name, body)| (name, ClientFrame::Command(body)))
    .collect()
}

fn queries() -> Vec<(String, ClientFrame)> {
    let query = |name: &str, target, consistency| {
        let body = Query {
            number: 1,
            target,
            name: "list".into(),
            body: Bytes::from_static(b"{}"),
            consistency,
            deadline_ms: 1_000,
            ext: Vec::new(),
        };
        (format!("query.{name}"), ClientFrame::Query(body))
    };
    vec![
        query("actor", room(), Consistency::Linearizable),
        query("operation", operation(), Consistency::Linearizable),
        query("operations", Target::Operations, Consistency::Eventual),
        query("actors", Target::Actors, Consistency::Eventual),
        query("cluster", Target::Cluster, Consistency::Eventual),
    ]
}

fn subscriptions() -> Vec<(String, ClientFrame)> {
    let subscribe = |target, since| {
        ClientFrame::Subscribe(Subscribe {
            subscription: 5,
            target,
            since,
            ext: Vec::new(),
        })
    };
    let position = Position {
        subscription: 5,
        seq: 17,
    };
    vec![
        named("subscribe.after", subscribe(room(), Since::After(17))),
        named("subscribe.latest", subscribe(operation(), Since::Latest)),
        named(
            "unsubscribe",
            ClientFrame::Unsubscribe(Unsubscribe { subscription: 5 }),
        ),
        named(
            "ack",
            ClientFrame::Ack(Ack {
                acknowledged: 12,
                positions: vec![position],
            }),
        ),
        named(
            "ephemeral",
            ClientFrame::Ephemeral(EphemeralSend {
                target: room(),
                name: "typing".into(),
                data: Bytes::from_static(b"{}"),
            }),
        ),
    ]
}

fn worker() -> Vec<(String, ClientFrame)> {
    let result = |report| {
        ClientFrame::StepResult(StepResult {
            lease: 9,
            report,
            ext: Vec::new(),
        })
    };
    let ping = |nonce| ClientFrame::Ping(Ping { nonce });
    let failure = Failure::new(ErrorCode::Rejected, "no such file");
    vec![
        named(
            "worker_ready",
            ClientFrame::WorkerReady(WorkerReady {
                types: vec![import()],
                capacity: 4,
                ext: Vec::new(),
            }),
        ),
        named(
            "step_result.heartbeat",
            result(StepReport::Heartbeat(Bytes::new())),
        ),
        named(
            "step_result.success",
            result(StepReport::Success("1".into())),
        ),
        named(
            "step_result.failure",
            result(StepReport::Failure(failure.clone())),
        ),
        named("ping.u8", ping(250)),
        named("ping.u16_least", ping(251)),
        named("ping.u16_most", ping(0xffff)),
        named("ping.u32_least", ping(0x1_0000)),
        named("ping.u32_most", ping(0xffff_ffff)),
        named("ping.u64_least", ping(0x1_0000_0000)),
        named("ping.u64_most", ping(u64::MAX)),
        named("goodbye", ClientFrame::Goodbye(Goodbye { failure: None })),
        named(
            "goodbye.failure",
            ClientFrame::Goodbye(Goodbye {
                failure: Some(failure),
            }),
        ),
    ]
}

fn payload() -> Vec<(String, ClientFrame)> {
    let chunk = |data: &'static [u8], last| {
        ClientFrame::Chunk(Chunk {
            request: Request::Command(3),
            data: Bytes::from_static(data),
            last,
        })
    };
    vec![
        named("chunk", chunk(b"bytes", false)),
        named("chunk.last", chunk(b"", true)),
    ]
}

fn bytes() -> Vec<(String, ServerFrame)> {
    let chunk = |request, data: &'static [u8], last| {
        ServerFrame::Chunk(Chunk {
            request,
            data: Bytes::from_static(data),
            last,
        })
    };
    vec![
        named(
            "server_chunk",
            chunk(Request::Query(2), b"{\"value\":", false),
        ),
        named("server_chunk.last", chunk(Request::Query(2), b"3}", true)),
        named(
            "server_chunk.snapshot",
            chunk(Request::Subscription(5), &[0, 0xff], true),
        ),
        named(
            "window",
            ServerFrame::Window(Window {
                request: Request::Command(3),
                bytes: 1 << 18,
            }),
        ),
    ]
}

fn welcome() -> Vec<(String, ServerFrame)> {
    let body = Welcome {
        version: 1,
        session: SESSION,
        resumed: false,
        resume_token: Bytes::from_static(&[0xaa, 0xbb]),
        node: "node-1".into(),
        limits: SessionLimits {
            window: 1_024,
            queries: 1_024,
            subscriptions: 128,
            inline_bytes: 65_536,
            payload_bytes: 8_388_608,
            idle_ms: 30_000,
        },
        ext: Vec::new(),
    };
    let resumed = Welcome {
        resumed: true,
        ext: vec![(1, Bytes::from_static(b"e"))],
        ..body.clone()
    };
    let mut elsewhere = body.clone();
    servers::announce(
        &mut elsewhere.ext,
        &["node-2.example:7400".into(), "[2001:db8::3]:7400".into()],
    );
    vec![
        named("welcome", ServerFrame::Welcome(body)),
        named("welcome.resumed", ServerFrame::Welcome(resumed)),
        named("welcome.servers", ServerFrame::Welcome(elsewhere)),
    ]
}

fn replies() -> Vec<(String, ServerFrame)> {
    let reply = |request, outcome| {
        ServerFrame::Reply(Reply {
            request,
            outcome,
            ext: Vec::new(),
        })
    };
    let success = |body: &'static str| {
        Outcome::Success(Success {
            body: Bytes::from_static(body.as_bytes()),
            seq: 18,
            version: 7,
        })
    };
    let mut all = vec![
        named("reply.command", reply(Request::Command(1), success("null"))),
        named(
            "reply.query",
            reply(Request::Query(2), success("{\"value\":3}")),
        ),
        named(
            "reply.subscription",
            reply(Request::Subscription(5), success("")),
        ),
    ];
    for code in ErrorCode::ALL {
        let failure = Failure::new(code, "why");
        let outcome = Outcome::Failure(failure);
        all.push((format!("reply.{code}"), reply(Request::Command(1), outcome)));
    }
    let full = Failure {
        code: ErrorCode::LimitExceeded,
        message: "50 commands a second are allowed".into(),
        field: Some("commands".into()),
        retry_after_ms: Some(250),
    };
    let outcome = Outcome::Failure(full);
    let mut attached = reply(Request::Query(2), success(""));
    if let ServerFrame::Reply(reply) = &mut attached {
        let length = (1_u64 << 20).to_be_bytes();
        reply.ext = vec![(attachment::EXTENSION, Bytes::copy_from_slice(&length))];
    }
    all.push(named("reply.attached", attached));
    all.push(named(
        "reply.failure_full",
        reply(Request::Command(1), outcome),
    ));
    let mut elsewhere = reply(Request::Command(1), success("null"));
    if let ServerFrame::Reply(reply) = &mut elsewhere {
        servers::announce(&mut reply.ext, &["node-2.example:7400".into()]);
    }
    all.push(named("reply.servers", elsewhere));
    all
}

fn events() -> Vec<(String, ServerFrame)> {
    vec![
        named(
            "event",
            ServerFrame::Event(Event {
                subscription: 5,
                seq: 18,
                kind: "said".into(),
                time_ms: 1_760_000_000_000,
                data: Bytes::from_static(b"{\"text\":\"hi\"}"),
            }),
        ),
        named(
            "gap",
            ServerFrame::Gap(Gap {
                subscription: 5,
                after: 17,
                seq: 1_000,
                snapshot: Bytes::from_static(b"{}"),
            }),
        ),
        named(
            "large_gap",
            ServerFrame::LargeGap(LargeGap {
                subscription: 5,
                after: 17,
                seq: 1_000,
                length: 1 << 20,
            }),
        ),
        named(
            "server_ephemeral",
            ServerFrame::Ephemeral(EphemeralEvent {
                subscription: 5,
                from: SESSION,
                name: "typing".into(),
                data: Bytes::from_static(b"{}"),
            }),
        ),
    ]
}

fn notices() -> Vec<(String, ServerFrame)> {
    let failure = Failure::new(ErrorCode::SessionReplaced, "connected elsewhere");
    vec![
        named(
            "task",
            ServerFrame::Task(Task {
                lease: 9,
                operation: operation(),
                operation_type: import(),
                step: "fetch".into(),
                attempt: 2,
                input: Bytes::from_static(b"{}"),
                lease_ms: 30_000,
                ext: Vec::new(),
            }),
        ),
        named("task.payload", ServerFrame::Task(task_with_payload())),
        named(
            "notice.draining",
            ServerFrame::Notice(Notice::Draining { deadline_ms: 5_000 }),
        ),
        named(
            "notice.limited",
            ServerFrame::Notice(Notice::Limited {
                limit: "commands".into(),
                retry_after_ms: 250,
            }),
        ),
        named(
            "redirect",
            ServerFrame::Redirect(Redirect {
                address: "node-2.example:7400".into(),
                ext: Vec::new(),
            }),
        ),
        named(
            "server_goodbye",
            ServerFrame::Goodbye(Goodbye { failure: None }),
        ),
        named(
            "server_goodbye.failure",
            ServerFrame::Goodbye(Goodbye {
                failure: Some(failure),
            }),
        ),
        named("pong", ServerFrame::Pong(Pong { nonce: 250 })),
        named(
            "notice.task_cancelled",
            ServerFrame::Notice(Notice::TaskCancelled { lease: 9 }),
        ),
        named(
            "notice.result_refused",
            ServerFrame::Notice(Notice::ResultRefused { lease: 9 }),
        ),
    ]
}

fn task_with_payload() -> Task {
    let mut task = Task {
        lease: 9,
        operation: operation(),
        operation_type: import(),
        step: "fetch".into(),
        attempt: 1,
        input: Bytes::new(),
        lease_ms: 30_000,
        ext: Vec::new(),
    };
    task_payload::announce(&mut task, 1 << 20);
    task
}
