//! A frame of either direction, and the enums inside it, for tests that walk all of them.

use bytes::BytesMut;
use selvedge_protocol::codec::{self, Error, Frame};
use selvedge_protocol::frame::{
    ClientFrame, Consistency, Notice, Outcome, Payload, Request, ServerFrame, Since, StepReport,
};
use selvedge_protocol::{Failure, Target};
use serde::Serialize;

/// A frame of either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Any {
    Client(ClientFrame),
    Server(ServerFrame),
}

/// A variant of an enum inside a frame: the enum, the variant, and the number it has on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Variant {
    pub(crate) of: &'static str,
    pub(crate) ordinal: u8,
    pub(crate) name: String,
}

impl Any {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Client(frame) => codec::encode(frame, &mut out).unwrap(),
            Self::Server(frame) => codec::encode(frame, &mut out).unwrap(),
        }
        out
    }

    /// The bytes as a frame of the direction that their ordinal belongs to.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let input = BytesMut::from(bytes);
        if bytes.get(5).is_some_and(|ordinal| *ordinal < 128) {
            codec::decode_whole(input).map(Self::Client)
        } else {
            codec::decode_whole(input).map(Self::Server)
        }
    }

    pub(crate) fn ordinal(&self) -> u8 {
        match self {
            Self::Client(frame) => frame.ordinal(),
            Self::Server(frame) => frame.ordinal(),
        }
    }

    /// Every variant of an enum that occurs in this frame.
    pub(crate) fn variants(&self) -> Vec<Variant> {
        match self {
            Self::Client(frame) => client_variants(frame),
            Self::Server(frame) => server_variants(frame),
        }
    }
}

/// All ordinals of both directions, with the names of their frames.
pub(crate) fn all_ordinals() -> Vec<(u8, &'static str)> {
    [ClientFrame::ORDINALS, ServerFrame::ORDINALS].concat()
}

fn client_variants(frame: &ClientFrame) -> Vec<Variant> {
    match frame {
        ClientFrame::Hello(_)
        | ClientFrame::Unsubscribe(_)
        | ClientFrame::Ack(_)
        | ClientFrame::WorkerReady(_)
        | ClientFrame::Ping(_) => Vec::new(),
        ClientFrame::Chunk(body) => vec![request(body.request)],
        ClientFrame::Command(body) => vec![target(&body.target), payload(&body.payload)],
        ClientFrame::Query(body) => vec![target(&body.target), consistency(body.consistency)],
        ClientFrame::Subscribe(body) => vec![target(&body.target), since(body.since)],
        ClientFrame::StepResult(body) => report(&body.report),
        ClientFrame::Goodbye(body) => body.failure.iter().map(failure).collect(),
        ClientFrame::Ephemeral(body) => vec![target(&body.target)],
    }
}

fn server_variants(frame: &ServerFrame) -> Vec<Variant> {
    match frame {
        ServerFrame::Welcome(_)
        | ServerFrame::Event(_)
        | ServerFrame::Gap(_)
        | ServerFrame::LargeGap(_)
        | ServerFrame::Redirect(_)
        | ServerFrame::Pong(_)
        | ServerFrame::Ephemeral(_) => Vec::new(),
        ServerFrame::Reply(body) => {
            let mut variants = vec![request(body.request)];
            variants.extend(outcome(&body.outcome));
            variants
        }
        ServerFrame::Task(body) => vec![target(&body.operation)],
        ServerFrame::Chunk(body) => vec![request(body.request)],
        ServerFrame::Window(body) => vec![request(body.request)],
        ServerFrame::Notice(body) => vec![notice(body)],
        ServerFrame::Goodbye(body) => body.failure.iter().map(failure).collect(),
    }
}

fn variant(of: &'static str, name: &str, value: &impl Serialize) -> Variant {
    let record = codec::encode_record(0, value);
    Variant {
        of,
        ordinal: record[1],
        name: name.into(),
    }
}

fn target(value: &Target) -> Variant {
    let name = match value {
        Target::Actor(_) => "Actor",
        Target::Operation(_) => "Operation",
        Target::Operations => "Operations",
        Target::Actors => "Actors",
        Target::Cluster => "Cluster",
    };
    variant("Target", name, value)
}

fn payload(value: &Payload) -> Variant {
    let name = match value {
        Payload::None => "None",
        Payload::Inline(_) => "Inline",
        Payload::Attached { .. } => "Attached",
        Payload::Streamed { .. } => "Streamed",
    };
    variant("Payload", name, value)
}

fn consistency(value: Consistency) -> Variant {
    let name = match value {
        Consistency::Linearizable => "Linearizable",
        Consistency::Eventual => "Eventual",
    };
    variant("Consistency", name, &value)
}

fn since(value: Since) -> Variant {
    let name = match value {
        Since::After(_) => "After",
        Since::Latest => "Latest",
    };
    variant("Since", name, &value)
}

fn request(value: Request) -> Variant {
    let name = match value {
        Request::Command(_) => "Command",
        Request::Query(_) => "Query",
        Request::Subscription(_) => "Subscription",
    };
    variant("Request", name, &value)
}

fn outcome(value: &Outcome) -> Vec<Variant> {
    match value {
        Outcome::Success(_) => vec![variant("Outcome", "Success", value)],
        Outcome::Failure(inner) => vec![variant("Outcome", "Failure", value), failure(inner)],
    }
}

fn report(value: &StepReport) -> Vec<Variant> {
    match value {
        StepReport::Heartbeat(_) => vec![variant("StepReport", "Heartbeat", value)],
        StepReport::Success(_) => vec![variant("StepReport", "Success", value)],
        StepReport::Failure(inner) => {
            vec![variant("StepReport", "Failure", value), failure(inner)]
        }
    }
}

fn notice(value: &Notice) -> Variant {
    let name = match value {
        Notice::Draining { .. } => "Draining",
        Notice::Limited { .. } => "Limited",
        Notice::TaskCancelled { .. } => "TaskCancelled",
        Notice::ResultRefused { .. } => "ResultRefused",
    };
    variant("Notice", name, value)
}

fn failure(value: &Failure) -> Variant {
    variant("ErrorCode", value.code.name(), &value.code)
}
