//! Frames as JSON, for WebSockets: `docs/wire.md`, "Frames as JSON". The bridge reads and writes them; so do tests.
//!
//! The derives of the frames describe them; [`write`] and [`read`] are a serde format each that knows the rules of
//! the page (the tables below), so that no frame is described twice. Nothing is built in between: texts and JSON
//! values are taken from where they lie in the message. What a field may hold is checked by the same functions as
//! in the binary form. No input can panic it; JSON values are passed over without recursion, however deep they are.

mod read;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::Frame;
use crate::frame::{Reply, ServerFrame};
use crate::limits::WEBSOCKET_MESSAGE_BYTES_MAX;

/// Why a text is no frame, or a frame has no JSON form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct Error {
    /// The path of the member that is wrong, as in `command.target.actor.key`.
    pub field: Option<String>,
    pub reason: String,
}

/// The frame that the text is.
pub fn decode<F: Frame + DeserializeOwned>(text: &str) -> Result<F, Error> {
    if text.len() > WEBSOCKET_MESSAGE_BYTES_MAX {
        return Err(Error {
            field: None,
            reason: format!(
                "a message has at most {WEBSOCKET_MESSAGE_BYTES_MAX} bytes, this one {}",
                text.len()
            ),
        });
    }
    read::decode(text)
}

/// Appends the frame as JSON to `out`; nothing of it if it has no such form, as a number past 2^53.
pub fn encode<F: Frame + Serialize>(frame: &F, out: &mut Vec<u8>) -> Result<(), Error> {
    write::encode(frame, write::Bodies::Text, out)
}

/// The same for the answer to the query for a payload, whose body is bytes even if they happen to be JSON text.
pub fn encode_piece(reply: Reply, out: &mut Vec<u8>) -> Result<(), Error> {
    write::encode(&ServerFrame::Reply(reply), write::Bodies::Bytes, out)
}

/// The largest number that every reader of JSON holds exactly: 2^53 - 1.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// What follows the name of a field whose bytes are no JSON text.
const BASE64_SUFFIX: &str = "Base64";

/// The fields of bytes that hold JSON text, by structure; of an enum, its variants.
const JSON_TEXTS: [(&str, &str); 10] = [
    ("Command", "body"),
    ("Query", "body"),
    ("Success", "body"),
    ("Event", "data"),
    ("EphemeralSend", "data"),
    ("EphemeralEvent", "data"),
    ("Gap", "snapshot"),
    ("Task", "input"),
    ("StepReport", "heartbeat"),
    ("StepReport", "success"),
];

fn is_json_text(owner: &str, field: &str) -> bool {
    JSON_TEXTS.contains(&(owner, field))
}

/// What a field is where a message leaves it out, in JSON. Options are none, JSON texts have no bytes.
fn default(owner: &str, field: &str) -> Option<&'static str> {
    match (owner, field) {
        (_, "ext") => Some("[]"),
        ("Hello", "versions") => Some("[1]"),
        ("Hello", "token" | "agent") => Some(r#""""#),
        ("Command", "payload") => Some(r#""none""#),
        ("Query", "consistency") => Some(r#""linearizable""#),
        ("Command", "acknowledged") | ("Command" | "Query", "deadlineMs") => Some("0"),
        _ => None,
    }
}
