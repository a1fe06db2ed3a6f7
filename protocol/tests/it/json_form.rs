//! Frames as JSON: the texts of `tests/golden/v1.json.txt`, the way back, and what is refused by name.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_protocol::frame::{
    ClientFrame, Command, Consistency, Hello, Outcome, Payload, Query, Reply, Request, ServerFrame,
    StepReport, Success,
};
use selvedge_protocol::json::{self, Error};
use selvedge_protocol::limits::{INLINE_BYTES_MAX, NAME_BYTES_MAX, WEBSOCKET_MESSAGE_BYTES_MAX};

use crate::allocation::allocated_by;
use crate::any::Any;
use crate::samples::samples;
use crate::strategies::{any_frame, client_frame};

/// The only sample without a JSON form: its number is past 2^53.
const WITHOUT: &str = "ping.u64_most";

fn encode(frame: &Any) -> Result<String, Error> {
    let mut out = Vec::new();
    match frame {
        Any::Client(frame) => json::encode(frame, &mut out),
        Any::Server(frame) => json::encode(frame, &mut out),
    }?;
    Ok(String::from_utf8(out).unwrap())
}

/// The text as a frame of the same direction.
fn decode(like: &Any, text: &str) -> Result<Any, Error> {
    match like {
        Any::Client(_) => json::decode(text).map(Any::Client),
        Any::Server(_) => json::decode(text).map(Any::Server),
    }
}

fn client(text: &str) -> Result<ClientFrame, Error> {
    json::decode(text)
}

fn golden() -> BTreeMap<&'static str, &'static str> {
    include_str!("../golden/v1.json.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').expect("a line is: name JSON"))
        .collect()
}

#[test]
fn every_sample_has_its_golden_text() {
    let golden = golden();
    let wrong: Vec<String> = samples()
        .iter()
        .filter(|(name, _)| name != WITHOUT)
        .map(|(name, frame)| (name, encode(frame).unwrap()))
        .filter(|(name, text)| golden.get(name.as_str()) != Some(&text.as_str()))
        .map(|(name, text)| format!("{name} {text}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "the wire is fixed: mend the code, or add these lines if the samples are new\n{}",
        wrong.join("\n")
    );
}

#[test]
fn golden_texts_decode_to_their_samples() {
    let mut golden = golden();
    for (name, frame) in samples() {
        if name == WITHOUT {
            let refused = encode(&frame).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("nonce"), "{refused}");
            continue;
        }
        let text = golden
            .remove(name.as_str())
            .expect("a line for each sample");
        assert_eq!(decode(&frame, text), Ok(frame), "{name}");
    }
    assert!(golden.is_empty(), "lines without a sample: {golden:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_frame_comes_back_from_bytes_to_json_and_back(frame in any_frame()) {
        let frame = Any::decode(&frame.encode()).unwrap();
        match encode(&frame) {
            Ok(text) => prop_assert_eq!(decode(&frame, &text), Ok(frame), "{}", text),
            Err(error) => prop_assert!(error.reason.contains("greatest number"), "{}", error),
        }
    }

    #[test]
    fn changed_texts_are_answered(
        frame in client_frame(),
        at in any::<prop::sample::Index>(),
        piece in prop::sample::select(vec![
            "", "\"", "{", "}", "[", "]", ",", ":", "null", "0", "-1", "1.5", "9007199254740992", "\\u0000",
        ]),
        cut in 0..4_usize,
    ) {
        let Ok(text) = encode(&Any::Client(frame)) else {
            return Ok(());
        };
        let at = text.floor_char_boundary(at.index(text.len() + 1));
        let rest = text.ceil_char_boundary((at + cut).min(text.len()));
        let changed = format!("{}{piece}{}", &text[..at], &text[rest..]);
        let (decoded, allocated) = allocated_by(|| client(&changed));
        prop_assert!(allocated <= 8 * changed.len() + 16_384, "{} bytes for {}", allocated, changed.len());
        // What is accepted means one thing only.
        if let Ok(frame) = decoded {
            let frame = Any::Client(frame);
            let again = encode(&frame).unwrap();
            prop_assert_eq!(decode(&frame, &again), Ok(frame));
        }
    }

    #[test]
    fn garbage_is_answered(text in "[\\[\\]{}:,\"a-z0-9. -]{0,60}") {
        prop_assert!(client(&text).is_err());
    }
}

#[test]
fn a_client_may_leave_out_what_has_a_default() {
    let hello = client(r#"{"hello":{}}"#).unwrap();
    let expected = Hello {
        versions: vec![1],
        token: String::new(),
        tenant: None,
        agent: String::new(),
        resume: None,
        ext: Vec::new(),
    };
    assert_eq!(hello, ClientFrame::Hello(expected));

    let text = r#"{"command":{"number":1,"target":"operations","name":"n"}}"#;
    let ClientFrame::Command(command) = client(text).unwrap() else {
        panic!("a command");
    };
    let Command {
        id,
        acknowledged,
        body,
        payload,
        deadline_ms,
        ext,
        ..
    } = command;
    assert_eq!((id, acknowledged, deadline_ms), (None, 0, 0));
    assert_eq!((body, payload), (Bytes::new(), Payload::None));
    assert!(ext.is_empty());

    let text = r#"{"query":{"number":1,"target":"cluster","name":"status"}}"#;
    let ClientFrame::Query(Query { consistency, .. }) = client(text).unwrap() else {
        panic!("a query");
    };
    assert_eq!(consistency, Consistency::Linearizable);
}

#[test]
fn white_space_and_order_do_not_matter() {
    let text = " { \"ping\"\n: {\t\"nonce\" : 7 } } ";
    assert_eq!(client(text), client(r#"{"ping":{"nonce":7}}"#));
    let one = client(r#"{"subscribe":{"target":"actors","since":"latest","subscription":1}}"#);
    let other = client(r#"{"subscribe":{"subscription":1,"since":"latest","target":"actors"}}"#);
    assert_eq!(one, other);
    // In escapes a name is the same.
    assert_eq!(client(r#"{"p\u0069ng":{"nonce":7}}"#), client(text));
}

#[test]
fn json_text_is_taken_as_it_is_written() {
    for body in ["null", "1.50", "\"\\u0041\"", "[ 1, {\"a\" : 2} ]", "1e400"] {
        let text =
            format!(r#"{{"query":{{"number":1,"target":"actors","name":"n","body": {body} }}}}"#);
        let ClientFrame::Query(query) = client(&text).unwrap() else {
            panic!("a query");
        };
        assert_eq!(query.body, body.as_bytes());
    }
    let text = r#"{"query":{"number":1,"target":"actors","name":"n","bodyBase64":"AP8="}}"#;
    let ClientFrame::Query(query) = client(text).unwrap() else {
        panic!("a query");
    };
    assert_eq!(&query.body[..], [0, 0xff]);
}

#[test]
fn in_a_report_null_is_no_bytes() {
    for (report, expected) in [
        (r#"{"heartbeat":null}"#, StepReport::Heartbeat(Bytes::new())),
        (r#"{"success":null}"#, StepReport::Success(Bytes::new())),
        (
            r#"{"success":[null]}"#,
            StepReport::Success("[null]".into()),
        ),
        (
            r#"{"successBase64":"bnVsbA=="}"#,
            StepReport::Success("null".into()),
        ),
    ] {
        let text = format!(r#"{{"stepResult":{{"lease":9,"report":{report}}}}}"#);
        let ClientFrame::StepResult(result) = client(&text).unwrap() else {
            panic!("a result");
        };
        assert_eq!(result.report, expected);
    }
}

#[test]
fn a_piece_of_a_payload_is_bytes_even_if_it_is_json() {
    let reply = Reply {
        request: Request::Query(1),
        outcome: Outcome::Success(Success {
            body: "123".into(),
            seq: 0,
            version: 0,
        }),
        ext: Vec::new(),
    };
    let mut text = Vec::new();
    json::encode_piece(reply.clone(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(r#""bodyBase64":"MTIz""#), "{text}");
    assert_eq!(json::decode(&text), Ok(ServerFrame::Reply(reply)));
}

/// A text, the field that is wrong in it, and what the reason says.
type Wrong = (String, &'static str, &'static str);

#[rustfmt::skip] // One text a line.
fn wrong_members() -> Vec<Wrong> {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let command = |members: &str| {
        format!(r#"{{"command":{{"number":1,"target":"operations","name":"n"{members}}}}}"#)
    };
    vec![
        (r#"{"command":{"number":1,"name":"n"}}"#.into(), "command.target", "is missing"),
        (command(r#","numbr":1"#), "command.numbr", "not known here, only number, id,"),
        (command(r#","number":2"#), "command.number", "twice"),
        (command(r#","body":1,"bodyBase64":"MQ==""#), "command.body", "twice"),
        (command(r#","payloadBase64":"""#), "command.payloadBase64", "not known"),
        (command(r#","acknowledged":-1"#), "command.acknowledged", "integer `-1`"),
        (command(r#","acknowledged":1.0"#), "command.acknowledged", "floating point"),
        (command(r#","acknowledged":"1""#), "command.acknowledged", "string"),
        (command(r#","acknowledged":9007199254740992"#), "command.acknowledged", "9007199254740991"),
        (command(r#","deadlineMs":4294967296"#), "command.deadlineMs", "u32"),
        (command(r#","id":"12""#), "command.id", "UUID"),
        (command(r#","payload":{"inline":"a"}"#), "command.payload.inline", "base64"),
        (command(r#","payload":{"attached":null}"#), "command.payload.attached", "null"),
        (command(r#","payload":"attached""#), "command.payload.attached", "unit variant"),
        (command(r#","payload":"some""#), "command.payload.some", "not known here, only none, inline"),
        (command(r#","bodyBase64":"*""#), "command.body", "base64"),
        (command(r#","bodyBase64":"MQ""#), "command.body", "base64"),
        (command(r#","ext":[[70000,"eA=="]]"#), "command.ext", "u16"),
        (command(r#","ext":[[1]]"#), "command.ext", "invalid length"),
        (format!(r#"{{"query":{{"number":1,"target":"actors","name":"{long}"}}}}"#), "query.name", "name has 65 bytes, at most 64"),
        (r#"{"hello":{"versions":[256]}}"#.into(), "hello.versions", "u8"),
        (r#"{"goodbye":{"failure":{"code":"no","message":""}}}"#.into(), "goodbye.failure.code.no", "not_found"),
    ]
}

#[rustfmt::skip] // One text a line.
fn wrong_targets() -> Vec<Wrong> {
    let target = |target: &str| {
        format!(r#"{{"subscribe":{{"subscription":1,"since":"latest","target":{target}}}}}"#)
    };
    vec![
        (target(r#"{"actor":{"kind":"Room","key":"1"}}"#), "subscribe.target.actor.kind", "letter a-z"),
        (target(r#"{"actor":{"kind":"room"}}"#), "subscribe.target.actor.key", "missing"),
        (target(r#"{"actor":["room","1"]}"#), "subscribe.target.actor", "sequence"),
        (target(r#"{"operation":""}"#), "subscribe.target.operation", "operation id"),
    ]
}

#[rustfmt::skip] // One text a line.
fn wrong_messages() -> Vec<Wrong> {
    vec![
        (r#"{"welcome":{}}"#.into(), "welcome", "not known here, only hello, command"),
        (r#"{"ping":null}"#.into(), "ping", "null"),
        (r#"{"ping":{"nonce":1}"#.into(), "", "EOF"),
        (r#"{"ping":{"nonce":1},"ping":{"nonce":1}}"#.into(), "", "line 1"),
        (r#"{"ping":{"nonce":1}} 1"#.into(), "", "trailing"),
        ("{}".into(), "", "line 1"),
        ("[]".into(), "", "line 1"),
        (r#""ping""#.into(), "ping", "unit variant"),
        (String::new(), "", "EOF"),
    ]
}

#[test]
fn what_is_wrong_is_named() {
    for (text, field, reason) in [wrong_members(), wrong_targets(), wrong_messages()].concat() {
        let error = client(&text).expect_err(&text);
        let named = error.field.as_deref().unwrap_or_default();
        assert_eq!(named, field, "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
}

#[test]
fn an_unknown_name_is_shown_in_part() {
    let text = format!(r#"{{"{}":{{}}}}"#, "é".repeat(10_000));
    let error = client(&text).unwrap_err();
    assert_eq!(error.field, Some("é".repeat(64)));
    assert!(error.reason.len() < 400, "{}", error.reason);
}

#[test]
fn a_message_that_is_too_long_is_refused() {
    let text = " ".repeat(WEBSOCKET_MESSAGE_BYTES_MAX + 1);
    assert!(client(&text).unwrap_err().reason.contains("196608"));
}

#[test]
fn depth_costs_no_stack() {
    let depth = INLINE_BYTES_MAX / 2;
    let deep = move |open: &str, close: &str| {
        let body = format!("{}{}", open.repeat(depth), close.repeat(depth));
        format!(r#"{{"query":{{"number":1,"target":"actors","name":"n","body":{body}}}}}"#)
    };
    // A thread with a stack that one byte a level would fill.
    let run = move || {
        let arrays = client(&deep("[", "]"));
        let unknown = client(&deep("[", "]").replace("\"body\"", "\"bodi\""));
        (arrays, unknown)
    };
    let thread = std::thread::Builder::new().stack_size(64 * 1024);
    let (arrays, unknown) = thread.spawn(run).unwrap().join().unwrap();
    let Ok(ClientFrame::Query(query)) = arrays else {
        panic!("JSON text of any depth is passed over: {arrays:?}");
    };
    assert_eq!(query.body.len(), 2 * depth);
    assert_eq!(unknown.unwrap_err().field.as_deref(), Some("query.bodi"));
}
