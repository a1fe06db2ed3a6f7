//! Decoding of texts, bytes and lists under a limit. Named by the frames' `deserialize_with`.
//!
//! What is over its limit is refused before it is copied, with an error that names the field; the codec
//! lends texts and bytes from the input, so nothing is ever allocated for what was only announced.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

use crate::frame::{Extensions, Position};
use crate::ids::OperationType;
use crate::limits::{
    FRAME_LIST_LEN_MAX, INLINE_BYTES_MAX, LABEL_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX,
    OPERATION_PROGRESS_BYTES_MAX, PAYLOAD_BYTES_MAX, STORE_FRAME_PAIRS_MAX, STORE_KEY_BYTES_MAX,
    STORE_RANGE_KEY_BYTES_MAX, STORE_VALUE_BYTES_MAX, TOKEN_BYTES_MAX,
};
use crate::peer::processing::{Group, Name, Promise, Send, Step, Wait};
use crate::peer::store::Pair;

// Each function is called like the field it decodes, so that errors name it.
macro_rules! bounded {
    ($($field:ident: $decode:ident -> $type:ty, $limit:expr;)*) => {$(
        pub(crate) fn $field<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
            $decode(from, Bound { field: stringify!($field), limit: $limit })
        }
    )*};
}

bounded! {
    token: text -> String, TOKEN_BYTES_MAX;
    agent: text -> String, LABEL_BYTES_MAX;
    node: text -> String, LABEL_BYTES_MAX;
    name: text -> String, NAME_BYTES_MAX;
    kind: text -> String, NAME_BYTES_MAX;
    step: text -> String, LABEL_BYTES_MAX;
    limit: text -> String, LABEL_BYTES_MAX;
    address: text -> String, LABEL_BYTES_MAX;
    message: text -> String, MESSAGE_BYTES_MAX;
    field: optional_text -> Option<String>, LABEL_BYTES_MAX;
    resume: optional_bytes -> Option<Bytes>, TOKEN_BYTES_MAX;
    resume_token: bytes -> Bytes, TOKEN_BYTES_MAX;
    body: bytes -> Bytes, INLINE_BYTES_MAX;
    payload: bytes -> Bytes, INLINE_BYTES_MAX;
    data: bytes -> Bytes, INLINE_BYTES_MAX;
    snapshot: bytes -> Bytes, INLINE_BYTES_MAX;
    input: bytes -> Bytes, INLINE_BYTES_MAX;
    report: bytes -> Bytes, INLINE_BYTES_MAX;
    versions: list -> Vec<u8>, FRAME_LIST_LEN_MAX;
    types: list -> Vec<OperationType>, FRAME_LIST_LEN_MAX;
    positions: list -> Vec<Position>, FRAME_LIST_LEN_MAX;
    ext: extensions -> Extensions, FRAME_LIST_LEN_MAX;
    extension: bytes -> Bytes, INLINE_BYTES_MAX;
    key: bytes -> Bytes, STORE_KEY_BYTES_MAX;
    prefix: bytes -> Bytes, STORE_KEY_BYTES_MAX;
    suffix: bytes -> Bytes, STORE_KEY_BYTES_MAX;
    begin: bytes -> Bytes, STORE_RANGE_KEY_BYTES_MAX;
    end: optional_bytes -> Option<Bytes>, STORE_RANGE_KEY_BYTES_MAX;
    value: bytes -> Bytes, STORE_VALUE_BYTES_MAX;
    stored: optional_bytes -> Option<Bytes>, STORE_VALUE_BYTES_MAX;
    pairs: list -> Vec<Pair>, STORE_FRAME_PAIRS_MAX;
    principal: text -> String, LABEL_BYTES_MAX;
    owner: optional_text -> Option<String>, LABEL_BYTES_MAX;
    large_body: bytes -> Bytes, PAYLOAD_BYTES_MAX;
    large_payload: optional_bytes -> Option<Bytes>, PAYLOAD_BYTES_MAX;
    large_snapshot: bytes -> Bytes, PAYLOAD_BYTES_MAX;
    path: text -> String, MESSAGE_BYTES_MAX;
    reason: text -> String, MESSAGE_BYTES_MAX;
    steps: list -> Vec<Step>, FRAME_LIST_LEN_MAX;
    promises: list -> Vec<Promise>, FRAME_LIST_LEN_MAX;
    waits: list -> Vec<Wait>, FRAME_LIST_LEN_MAX;
    sends: list -> Vec<Send>, FRAME_LIST_LEN_MAX;
    names: list -> Vec<Name>, FRAME_LIST_LEN_MAX;
    groups: list -> Vec<Group>, FRAME_LIST_LEN_MAX;
    progress: optional_text -> Option<String>, OPERATION_PROGRESS_BYTES_MAX;
}

/// What is decoded, for errors, and how much of it there may be.
#[derive(Clone, Copy)]
struct Bound {
    field: &'static str,
    limit: usize,
}

impl Bound {
    fn check<E: Error>(self, length: usize, unit: &str) -> Result<(), E> {
        if length <= self.limit {
            return Ok(());
        }
        let Self { field, limit } = self;
        Err(E::custom(format_args!(
            "{field} has {length} {unit}, at most {limit} are allowed"
        )))
    }
}

fn text<'de, D: Deserializer<'de>>(from: D, bound: Bound) -> Result<String, D::Error> {
    from.deserialize_str(Text(bound))
}

fn bytes<'de, D: Deserializer<'de>>(from: D, bound: Bound) -> Result<Bytes, D::Error> {
    from.deserialize_bytes(Binary(bound))
}

fn optional_text<'de, D: Deserializer<'de>>(
    from: D,
    bound: Bound,
) -> Result<Option<String>, D::Error> {
    from.deserialize_option(Optional(Text(bound)))
}

fn optional_bytes<'de, D: Deserializer<'de>>(
    from: D,
    bound: Bound,
) -> Result<Option<Bytes>, D::Error> {
    from.deserialize_option(Optional(Binary(bound)))
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
    bound: Bound,
) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(List::<T, T> {
        bound,
        item: PhantomData,
    })
}

fn extensions<'de, D: Deserializer<'de>>(from: D, bound: Bound) -> Result<Extensions, D::Error> {
    from.deserialize_seq(List::<Extension, (u16, Bytes)> {
        bound,
        item: PhantomData,
    })
}

/// One extension as it is decoded.
#[derive(serde::Deserialize)]
struct Extension(u16, #[serde(deserialize_with = "extension")] Bytes);

impl From<Extension> for (u16, Bytes) {
    fn from(Extension(number, value): Extension) -> Self {
        (number, value)
    }
}

/// A visitor that can also be asked for the inside of an `Option`.
trait Inner<'de>: Visitor<'de> {
    fn decode<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error>;
}

struct Text(Bound);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a text", self.0.field)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        self.0.check(text.len(), "bytes")?;
        Ok(String::from(text))
    }
}

impl<'de> Inner<'de> for Text {
    fn decode<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        from.deserialize_str(self)
    }
}

struct Binary(Bound);

impl Visitor<'_> for Binary {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, bytes", self.0.field)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        self.0.check(bytes.len(), "bytes")?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        self.0.check(bytes.len(), "bytes")?;
        Ok(Bytes::from(bytes))
    }
}

impl<'de> Inner<'de> for Binary {
    fn decode<D: Deserializer<'de>>(self, from: D) -> Result<Bytes, D::Error> {
        from.deserialize_bytes(self)
    }
}

struct Optional<V>(V);

impl<'de, V: Inner<'de>> Visitor<'de> for Optional<V> {
    type Value = Option<V::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        self.0.decode(from).map(Some)
    }
}

/// A list of `T`, each decoded as a `W`.
struct List<W, T> {
    bound: Bound,
    item: PhantomData<(W, T)>,
}

impl<'de, W: Deserialize<'de> + Into<T>, T> Visitor<'de> for List<W, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a list", self.bound.field)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        // The announced length is checked first and then not trusted: the list grows with its input.
        self.bound
            .check(items.size_hint().unwrap_or(0), "elements")?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<W>()? {
            list.push(item.into());
            self.bound.check(list.len(), "elements")?;
        }
        Ok(list)
    }
}

/// Writes a message, cut to what the other end accepts: no failure is too long to be told.
pub(crate) fn cut_message<S: Serializer>(message: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(cut(message, MESSAGE_BYTES_MAX))
}

/// The same for the name of the field that is wrong.
pub(crate) fn cut_field<S: Serializer>(field: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    match field {
        Some(field) => to.serialize_some(cut(field, LABEL_BYTES_MAX)),
        None => to.serialize_none(),
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = text
        .char_indices()
        .map(|(start, char)| start + char.len_utf8())
        .take_while(|end| *end <= bytes_max)
        .last();
    &text[..end.unwrap_or(0)]
}
