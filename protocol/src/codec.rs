//! Frames to bytes and back, and the same for stored records. The only file that names bincode.
//!
//! Decoding is bounded: a header that announces too much is refused before anything is allocated, the
//! codec itself runs under a limit, and bytes left over are an error. No input can panic it.

use bincode::config::{Config, Configuration, Limit, LittleEndian, Varint};
use bincode::error::DecodeError;
use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frame::{ClientFrame, ServerFrame};
use crate::limits::{
    ACTOR_FRAME_BODY_BYTES_MAX, FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES,
    PROCESSING_FRAME_BODY_BYTES_MAX, STORE_FRAME_BODY_BYTES_MAX,
};
use crate::peer::actors::{ActorAnswer, ActorRequest};
use crate::peer::processing::{ProcessingAnswer, ProcessingRequest};
use crate::peer::store::{StoreAnswer, StoreRequest};
use crate::version;

/// Why bytes are not a frame or record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is over the limit, as it is or as the header announces it.
    #[error("frame of {length} bytes is over the limit of {limit}")]
    TooLarge { length: usize, limit: usize },
    /// The header announces less than a header.
    #[error("frame length {0} is shorter than its own header")]
    TooShort(usize),
    /// The frame's version is not spoken here.
    #[error("frame version {0} is not spoken here, only {spoken:?}", spoken = version::SPOKEN)]
    Version(u8),
    /// No frame of this direction has this ordinal.
    #[error("no frame has ordinal {0}")]
    Ordinal(u8),
    /// The body is not what the ordinal says.
    #[error("frame {ordinal} does not decode: {reason}")]
    Body { ordinal: u8, reason: String },
    /// A record does not decode.
    #[error("record does not decode: {0}")]
    Record(String),
}

/// One direction of the protocol: its frames, their ordinals, and how each body is coded.
pub trait Frame: Sized {
    /// Every ordinal of this direction with its frame's name, in order.
    const ORDINALS: &'static [(u8, &'static str)];
    /// The largest body of a frame.
    const BODY_BYTES_MAX: usize;

    /// The number in the header.
    fn ordinal(&self) -> u8;
    /// Appends the body.
    fn encode_body(&self, out: &mut Vec<u8>);
    /// The frame with this ordinal and body.
    fn decode_body(ordinal: u8, body: &[u8]) -> Result<Self, Error>;
}

macro_rules! frames {
    ($direction:ident($limit:expr, $config:expr) { $($ordinal:literal => $variant:ident,)* }) => {
        impl Frame for $direction {
            const ORDINALS: &'static [(u8, &'static str)] = &[$(($ordinal, stringify!($variant)),)*];
            const BODY_BYTES_MAX: usize = $limit;

            fn ordinal(&self) -> u8 {
                match self {
                    $(Self::$variant(_) => $ordinal,)*
                }
            }

            fn encode_body(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(body) => encode_into(body, out),)*
                }
            }

            fn decode_body(ordinal: u8, body: &[u8]) -> Result<Self, Error> {
                match ordinal {
                    $($ordinal => decode_with(body, $config)
                        .map(Self::$variant)
                        .map_err(|reason| Error::Body { ordinal, reason }),)*
                    other => Err(Error::Ordinal(other)),
                }
            }
        }
    };
}

frames!(ClientFrame(FRAME_BODY_BYTES_MAX, WIRE) {
    1 => Hello,
    2 => Command,
    3 => Query,
    4 => Subscribe,
    5 => Unsubscribe,
    6 => Ack,
    7 => WorkerReady,
    8 => StepResult,
    9 => Ping,
    10 => Goodbye,
    11 => Ephemeral,
    12 => Chunk,
});

frames!(ServerFrame(FRAME_BODY_BYTES_MAX, WIRE) {
    129 => Welcome,
    130 => Reply,
    131 => Event,
    132 => Gap,
    133 => Task,
    134 => Notice,
    135 => Redirect,
    136 => Goodbye,
    137 => Pong,
    138 => Ephemeral,
    139 => LargeGap,
    140 => Chunk,
    141 => Window,
});

frames!(StoreRequest(STORE_FRAME_BODY_BYTES_MAX, STORE) {
    1 => Begin,
    2 => Get,
    3 => Range,
    4 => Set,
    5 => Clear,
    6 => ClearRange,
    7 => Add,
    8 => SetVersionstamped,
    9 => ReadConflict,
    10 => WriteConflict,
    11 => Commit,
    12 => Watch,
    13 => Follow,
});

frames!(StoreAnswer(STORE_FRAME_BODY_BYTES_MAX, STORE) {
    129 => Begun,
    130 => Value,
    131 => Pairs,
    132 => Committed,
    133 => Failed,
    134 => Changed,
    135 => Status,
});

frames!(ActorRequest(ACTOR_FRAME_BODY_BYTES_MAX, ACTORS) {
    1 => Command,
    2 => Query,
    3 => Tell,
    4 => Subscribe,
});

frames!(ActorAnswer(ACTOR_FRAME_BODY_BYTES_MAX, ACTORS) {
    129 => Answer,
    130 => Elsewhere,
    131 => Opened,
    132 => Item,
    133 => Ended,
});

frames!(ProcessingRequest(PROCESSING_FRAME_BODY_BYTES_MAX, PROCESSING) {
    1 => Ask,
    2 => Work,
    3 => Heard,
    4 => Hold,
    5 => Delivered,
    6 => Stop,
    7 => Chunk,
    8 => Carry,
    9 => Changed,
    10 => Workers,
});

frames!(ProcessingAnswer(PROCESSING_FRAME_BODY_BYTES_MAX, PROCESSING) {
    129 => Load,
    130 => Report,
    131 => Note,
    132 => Want,
    133 => End,
    134 => Carried,
    135 => Noted,
});

/// Appends the frame, header and body, to `out`; nothing of it if it is too large.
pub fn encode<F: Frame>(frame: &F, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, version::CURRENT, frame.ordinal()]);
    frame.encode_body(out);
    let body = out.len() - start - FRAME_HEADER_BYTES;
    if body > F::BODY_BYTES_MAX {
        out.truncate(start);
        return Err(Error::TooLarge {
            length: body,
            limit: F::BODY_BYTES_MAX,
        });
    }
    let length = u32::try_from(body + FRAME_HEADER_BYTES - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Takes the next whole frame off the front of `input`; `None` while it is not all there.
///
/// After an error the stream cannot be read on: close it.
pub fn decode<F: Frame>(input: &mut BytesMut) -> Result<Option<F>, Error> {
    let Some(length) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length < FRAME_HEADER_BYTES - 4 {
        return Err(Error::TooShort(length));
    }
    let body_length = length - (FRAME_HEADER_BYTES - 4);
    if body_length > F::BODY_BYTES_MAX {
        return Err(Error::TooLarge {
            length: body_length,
            limit: F::BODY_BYTES_MAX,
        });
    }
    // Refused on sight of the header, before the body is waited for.
    if let Some(&version) = input.get(4)
        && !version::SPOKEN.contains(&version)
    {
        return Err(Error::Version(version));
    }
    let Some(&ordinal) = input.get(5) else {
        return Ok(None);
    };
    if !F::ORDINALS.iter().any(|(known, _)| *known == ordinal) {
        return Err(Error::Ordinal(ordinal));
    }
    let Some(body) = input.get(FRAME_HEADER_BYTES..4 + length) else {
        return Ok(None);
    };
    let frame = F::decode_body(ordinal, body)?;
    input.advance(4 + length);
    Ok(Some(frame))
}

/// The frame that is exactly these bytes: a datagram.
pub fn decode_whole<F: Frame>(mut input: BytesMut) -> Result<F, Error> {
    let ordinal = input.get(5).copied().unwrap_or_default();
    match decode(&mut input)? {
        Some(frame) if input.is_empty() => Ok(frame),
        Some(_) | None => Err(Error::Body {
            ordinal,
            reason: "a datagram is exactly one frame".to_owned(),
        }),
    }
}

/// Appends a number as it is in bodies.
pub(crate) fn encode_number(number: u64, out: &mut Vec<u8>) {
    encode_into(&number, out);
}

/// A stored record as bytes: a format version, then the body.
///
/// Old versions are never written again; readers take them apart by the version and upcast.
pub fn encode_record<T: Serialize>(format: u8, record: &T) -> Bytes {
    let mut out = Vec::with_capacity(128);
    out.push(format);
    encode_into(record, &mut out);
    Bytes::from(out)
}

/// The body of a stored record, whose format version the caller has looked at.
pub fn decode_record<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    decode_with(body, RECORD).map_err(Error::Record)
}

/// The codec counts eight bytes for a number that takes one on the wire, so this is what a body of the
/// largest size may count to. It only stops runaways: what a frame may hold is checked in `bounded`.
const WIRE_COUNT_MAX: usize = 8 * FRAME_BODY_BYTES_MAX;
const WIRE: Configuration<LittleEndian, Varint, Limit<WIRE_COUNT_MAX>> =
    bincode::config::standard().with_limit::<WIRE_COUNT_MAX>();

/// The same for the frames between a store's client and its server.
const STORE_COUNT_MAX: usize = 8 * STORE_FRAME_BODY_BYTES_MAX;
const STORE: Configuration<LittleEndian, Varint, Limit<STORE_COUNT_MAX>> =
    bincode::config::standard().with_limit::<STORE_COUNT_MAX>();

/// The same for the frames between nodes about actors.
const ACTORS_COUNT_MAX: usize = 8 * ACTOR_FRAME_BODY_BYTES_MAX;
const ACTORS: Configuration<LittleEndian, Varint, Limit<ACTORS_COUNT_MAX>> =
    bincode::config::standard().with_limit::<ACTORS_COUNT_MAX>();

/// The same for the frames about operations that other nodes execute.
const PROCESSING_COUNT_MAX: usize = 8 * PROCESSING_FRAME_BODY_BYTES_MAX;
const PROCESSING: Configuration<LittleEndian, Varint, Limit<PROCESSING_COUNT_MAX>> =
    bincode::config::standard().with_limit::<PROCESSING_COUNT_MAX>();

/// A record may be as large as a transaction.
const RECORD_BYTES_MAX: usize = crate::limits::STORE_TRANSACTION_BYTES_MAX;
const RECORD: Configuration<LittleEndian, Varint, Limit<RECORD_BYTES_MAX>> =
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();

fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // Only a type whose Serialize fails by itself could fail here, and none of ours does.
    let written = bincode::serde::encode_into_std_write(value, out, RECORD);
    assert!(written.is_ok(), "encoding failed: {written:?}");
}

fn decode_with<T: DeserializeOwned, C: Config>(body: &[u8], config: C) -> Result<T, String> {
    // The lending decoder: texts and bytes are looked at before they are copied.
    match bincode::serde::borrow_decode_from_slice::<T, C>(body, config) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok((_, used)) => Err(format!("{} bytes left over", body.len() - used)),
        Err(DecodeError::OtherString(reason)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}
