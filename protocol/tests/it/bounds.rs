//! Every text, byte string and list in a frame has its bound, and is refused past it by name.

use bytes::Bytes;
use selvedge_protocol::codec::{self, Error};
use selvedge_protocol::frame::{
    ClientFrame, Event, Goodbye, Notice, Outcome, Payload, Position, ServerFrame, StepReport,
    Success,
};
use selvedge_protocol::limits::{
    FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_LIST_LEN_MAX, INLINE_BYTES_MAX,
    LABEL_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, TOKEN_BYTES_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationType};

use crate::any::Any;
use crate::samples::samples;

/// A field: its name, its limit, and a frame that has it at the length given.
type Field = (&'static str, usize, fn(usize) -> Any);

fn sample(name: &str) -> Any {
    let found = samples().into_iter().find(|(sample, _)| sample == name);
    found.map(|(_, frame)| frame).unwrap()
}

/// The sample with one field set from a length.
macro_rules! with {
    ($side:ident $direction:ident::$frame:ident $sample:literal, |$body:ident, $n:ident| $set:expr) => {
        |$n| {
            let Any::$side($direction::$frame(mut $body)) = sample($sample) else {
                panic!("{} is another frame", $sample);
            };
            $set;
            Any::$side($direction::$frame($body))
        }
    };
}

fn text(length: usize) -> String {
    "x".repeat(length)
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

#[rustfmt::skip] // One field a line.
fn client_fields() -> Vec<Field> {
    vec![
        ("versions", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::Hello "hello", |body, n| body.versions = vec![1; n])),
        ("token", TOKEN_BYTES_MAX, with!(Client ClientFrame::Hello "hello", |body, n| body.token = text(n))),
        ("agent", LABEL_BYTES_MAX, with!(Client ClientFrame::Hello "hello", |body, n| body.agent = text(n))),
        ("resume", TOKEN_BYTES_MAX, with!(Client ClientFrame::Hello "hello", |body, n| body.resume = Some(bytes(n)))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::Hello "hello", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("extension", INLINE_BYTES_MAX, with!(Client ClientFrame::Hello "hello", |body, n| body.ext = vec![(0, bytes(n))])),
        ("name", NAME_BYTES_MAX, with!(Client ClientFrame::Command "command.actor", |body, n| body.name = text(n))),
        ("body", INLINE_BYTES_MAX, with!(Client ClientFrame::Command "command.actor", |body, n| body.body = bytes(n))),
        ("payload", INLINE_BYTES_MAX, with!(Client ClientFrame::Command "command.actor", |body, n| body.payload = Payload::Inline(bytes(n)))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::Command "command.actor", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("name", NAME_BYTES_MAX, with!(Client ClientFrame::Query "query.actor", |body, n| body.name = text(n))),
        ("body", INLINE_BYTES_MAX, with!(Client ClientFrame::Query "query.actor", |body, n| body.body = bytes(n))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::Query "query.actor", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("ext", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::Subscribe "subscribe.after", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("positions", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::Ack "ack", |body, n| body.positions = vec![Position { subscription: 1, seq: 1 }; n])),
        ("types", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::WorkerReady "worker_ready", |body, n| body.types = vec![OperationType::new("import").unwrap(); n])),
        ("ext", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::WorkerReady "worker_ready", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("report", INLINE_BYTES_MAX, with!(Client ClientFrame::StepResult "step_result.success", |body, n| body.report = StepReport::Success(bytes(n)))),
        ("report", INLINE_BYTES_MAX, with!(Client ClientFrame::StepResult "step_result.success", |body, n| body.report = StepReport::Heartbeat(bytes(n)))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Client ClientFrame::StepResult "step_result.success", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("name", NAME_BYTES_MAX, with!(Client ClientFrame::Ephemeral "ephemeral", |body, n| body.name = text(n))),
        ("data", INLINE_BYTES_MAX, with!(Client ClientFrame::Ephemeral "ephemeral", |body, n| body.data = bytes(n))),
        ("data", INLINE_BYTES_MAX, with!(Client ClientFrame::Chunk "chunk", |body, n| body.data = bytes(n))),
    ]
}

#[rustfmt::skip] // One field a line.
fn server_fields() -> Vec<Field> {
    vec![
        ("resume_token", TOKEN_BYTES_MAX, with!(Server ServerFrame::Welcome "welcome", |body, n| body.resume_token = bytes(n))),
        ("node", LABEL_BYTES_MAX, with!(Server ServerFrame::Welcome "welcome", |body, n| body.node = text(n))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Server ServerFrame::Welcome "welcome", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("body", INLINE_BYTES_MAX, with!(Server ServerFrame::Reply "reply.command", |body, n| body.outcome = Outcome::Success(Success { body: bytes(n), seq: 1, version: 1 }))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Server ServerFrame::Reply "reply.command", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("kind", NAME_BYTES_MAX, with!(Server ServerFrame::Event "event", |body, n| body.kind = text(n))),
        ("data", INLINE_BYTES_MAX, with!(Server ServerFrame::Event "event", |body, n| body.data = bytes(n))),
        ("snapshot", INLINE_BYTES_MAX, with!(Server ServerFrame::Gap "gap", |body, n| body.snapshot = bytes(n))),
        ("step", LABEL_BYTES_MAX, with!(Server ServerFrame::Task "task", |body, n| body.step = text(n))),
        ("input", INLINE_BYTES_MAX, with!(Server ServerFrame::Task "task", |body, n| body.input = bytes(n))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Server ServerFrame::Task "task", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("limit", LABEL_BYTES_MAX, |n| Any::Server(ServerFrame::Notice(Notice::Limited { limit: text(n), retry_after_ms: 1 }))),
        ("address", LABEL_BYTES_MAX, with!(Server ServerFrame::Redirect "redirect", |body, n| body.address = text(n))),
        ("ext", FRAME_LIST_LEN_MAX, with!(Server ServerFrame::Redirect "redirect", |body, n| body.ext = vec![(0, Bytes::new()); n])),
        ("name", NAME_BYTES_MAX, with!(Server ServerFrame::Ephemeral "server_ephemeral", |body, n| body.name = text(n))),
        ("data", INLINE_BYTES_MAX, with!(Server ServerFrame::Ephemeral "server_ephemeral", |body, n| body.data = bytes(n))),
        ("data", INLINE_BYTES_MAX, with!(Server ServerFrame::Chunk "server_chunk", |body, n| body.data = bytes(n))),
    ]
}

#[test]
fn a_frame_over_the_limit_is_an_error_and_leaves_no_bytes() {
    let event = |bytes| {
        ServerFrame::Event(Event {
            subscription: 1,
            seq: 1,
            kind: "said".into(),
            time_ms: 0,
            data: Bytes::from(vec![0; bytes]),
        })
    };
    let mut out = b"before".to_vec();
    let refused = codec::encode(&event(FRAME_BODY_BYTES_MAX), &mut out);
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    assert_eq!(out, b"before");
    codec::encode(&event(INLINE_BYTES_MAX), &mut out).unwrap();
}

#[test]
fn fields_are_taken_up_to_their_limit_and_refused_past_it() {
    for (field, limit, frame) in [client_fields(), server_fields()].concat() {
        let most = frame(limit);
        assert_eq!(Any::decode(&most.encode()), Ok(most), "{field}");

        let more = frame(limit + 1);
        let Err(Error::Body { ordinal, reason }) = Any::decode(&more.encode()) else {
            panic!("{field} of {} is refused in {more:?}", limit + 1);
        };
        assert_eq!(ordinal, more.ordinal());
        assert!(
            reason.starts_with(&format!("{field} has {}", limit + 1)),
            "the error names {field} and its length: {reason}"
        );
        assert!(
            reason.contains(&limit.to_string()),
            "and the limit: {reason}"
        );
    }
}

#[test]
fn a_body_of_the_largest_size_is_taken() {
    // Arguments and payload together may fill the frame, which is less than both at their limits.
    let Any::Client(ClientFrame::Command(mut command)) = sample("command.actor") else {
        panic!("command.actor is another frame");
    };
    let envelope = 64;
    command.body = bytes(FRAME_BODY_BYTES_MAX - INLINE_BYTES_MAX - envelope);
    command.payload = Payload::Inline(bytes(INLINE_BYTES_MAX));
    let frame = Any::Client(ClientFrame::Command(command));
    let encoded = frame.encode();
    assert!(encoded.len() > FRAME_HEADER_BYTES + FRAME_BODY_BYTES_MAX - envelope);
    assert_eq!(Any::decode(&encoded), Ok(frame));
}

#[test]
fn a_failure_too_long_to_be_told_is_cut_between_characters() {
    let failure = Failure::field(ErrorCode::Invalid, "é".repeat(200), "é".repeat(3_000));
    let goodbye = ClientFrame::Goodbye(Goodbye {
        failure: Some(failure),
    });
    let mut bytes = Vec::new();
    codec::encode(&goodbye, &mut bytes).unwrap();
    let Ok(Any::Client(ClientFrame::Goodbye(Goodbye {
        failure: Some(told),
    }))) = Any::decode(&bytes)
    else {
        panic!("what is sent is accepted");
    };
    assert_eq!(told.message, "é".repeat(MESSAGE_BYTES_MAX / 2));
    assert_eq!(told.field, Some("é".repeat(LABEL_BYTES_MAX / 2)));
}

#[test]
fn a_failure_longer_than_what_is_sent_is_refused() {
    let refused = |code: u8, message: String, field: Option<String>| {
        let body = codec::encode_record(0, &(Some((code, message, field, None::<u32>)),));
        let body = &body[1..];
        let length = u32::try_from(body.len() + 2).unwrap();
        let bytes = [&length.to_be_bytes(), &[1, 10][..], body].concat();
        Any::decode(&bytes)
    };
    assert!(refused(6, text(MESSAGE_BYTES_MAX), Some(text(LABEL_BYTES_MAX))).is_ok());
    let message = refused(6, text(MESSAGE_BYTES_MAX + 1), None);
    let field = refused(6, text(1), Some(text(LABEL_BYTES_MAX + 1)));
    for (error, start) in [(message, "message has 4097"), (field, "field has 261")] {
        let Err(Error::Body { reason, .. }) = error else {
            panic!("refused, not {error:?}");
        };
        assert!(reason.starts_with(start), "{reason}");
    }
    assert!(refused(19, text(1), None).is_err(), "a code nobody defined");
}
