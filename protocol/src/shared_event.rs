//! An event that many subscribers hear, encoded once: only the number of the subscription differs between them, and
//! it comes first in both forms. The bridge keeps the rest, and puts a head before it for each.
//!
//! No bytes move but those of the head.

use crate::codec::{self, Frame};
use crate::error::{ErrorCode, Failure};
use crate::frame::{Event, ServerFrame};
use crate::limits::FRAME_HEADER_BYTES;
use crate::{json, version};

/// All of the event that follows its subscription, as bytes of a frame.
pub fn binary_tail(event: Event) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(64 + event.data.len());
    codec::encode(&first(event), &mut out)
        .map_err(|error| Failure::new(ErrorCode::TooLarge, error.to_string()))?;
    Ok(out.split_off(FRAME_HEADER_BYTES + 1))
}

/// Appends what goes before it: the frame's header, and the subscription.
pub fn binary_head(subscription: u64, tail: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, version::CURRENT, ORDINAL]);
    codec::encode_number(subscription, out);
    let length = out.len() - start - 4 + tail.len();
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// All of the event that follows its subscription, as JSON.
pub fn json_tail(event: Event) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(128 + event.data.len());
    json::encode(&first(event), &mut out)
        .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?;
    Ok(out.split_off(JSON_HEAD.len() + 1))
}

/// Appends what goes before it.
pub fn json_head(subscription: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(JSON_HEAD);
    out.extend_from_slice(subscription.to_string().as_bytes());
}

/// As that of the subscription with the shortest number.
fn first(event: Event) -> ServerFrame {
    let frame = ServerFrame::Event(Event {
        subscription: 0,
        ..event
    });
    debug_assert_eq!(frame.ordinal(), ORDINAL);
    frame
}

const ORDINAL: u8 = 131;
const JSON_HEAD: &[u8] = br#"{"event":{"subscription":"#;
