//! Writes frames as JSON: a serde serializer whose rules are those of the page. [`super::encode`] calls it.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{
    Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeTuple, Serializer,
};
use serde_json::value::RawValue;

use super::{BASE64_SUFFIX, Error, NUMBER_MAX, is_json_text};

/// What the fields for JSON text hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// JSON text, wherever it is some.
    Text,
    /// Bytes.
    Bytes,
}

/// Appends the frame, or nothing.
pub(super) fn encode<T: Serialize>(
    frame: &T,
    bodies: Bodies,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = out.len();
    let value = Value {
        out,
        place: Place::Whole,
        bodies,
    };
    let written = frame.serialize(value);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Where a value stands, and so what is written before it once its form is known.
#[derive(Debug, Clone, Copy)]
enum Place {
    Whole,
    /// Of an array.
    Element,
    /// A field of a structure.
    Member(Name),
    /// What a variant of an enum holds. The brace that closes it is written by whoever writes the variant.
    Variant(Name),
}

/// A field of a structure, or a variant of an enum.
#[derive(Debug, Clone, Copy)]
struct Name {
    owner: &'static str,
    field: &'static str,
}

/// A value to be written.
struct Value<'o> {
    out: &'o mut Vec<u8>,
    place: Place,
    bodies: Bodies,
}

impl<'o> Value<'o> {
    /// Writes what comes before the value; `suffix` is added to its name.
    fn begin(self, suffix: &str) -> &'o mut Vec<u8> {
        let Self { out, place, .. } = self;
        match place {
            Place::Whole => {}
            Place::Element => separate(out),
            Place::Member(name) => {
                separate(out);
                key(out, name.field, suffix);
            }
            Place::Variant(name) => {
                out.push(b'{');
                key(out, name.field, suffix);
            }
        }
        out
    }

    /// Writes what `serde_json` writes of it.
    fn plain<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(self.begin(""), value).map_err(|error| Error {
            field: None,
            reason: error.to_string(),
        })
    }

    fn base64(self, suffix: &str, bytes: &[u8]) {
        let out = self.begin(suffix);
        out.push(b'"');
        let start = out.len();
        let length = base64::encoded_len(bytes.len(), true).unwrap_or(0);
        out.resize(start + length, 0);
        // The room was just made, so nothing but a defect of the library could fail.
        let written = STANDARD.encode_slice(bytes, &mut out[start..]);
        assert_eq!(
            written.ok(),
            Some(length),
            "base64 of {} bytes",
            bytes.len()
        );
        out.push(b'"');
    }

    /// Bytes that should be JSON text.
    fn json_text(self, bytes: &[u8]) {
        let is_variant = matches!(self.place, Place::Variant(_));
        if bytes.is_empty() {
            if is_variant {
                self.begin("").extend_from_slice(b"null");
            }
            return;
        }
        let text = match self.bodies {
            Bodies::Text => serde_json::from_slice::<&RawValue>(bytes).ok(),
            Bodies::Bytes => None,
        };
        match text.map(RawValue::get) {
            // In a variant, null stands for no bytes.
            Some(text) if !(is_variant && text == "null") => {
                self.begin("").extend_from_slice(text.as_bytes());
            }
            Some(_) | None => self.base64(BASE64_SUFFIX, bytes),
        }
    }
}

fn separate(out: &mut Vec<u8>) {
    // Every value ends in another byte than these.
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// Names are letters and digits, and need no escapes.
fn key(out: &mut Vec<u8>, name: &str, suffix: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    out.extend_from_slice(b"\":");
}

macro_rules! plain {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            self.plain(&value)
        })*
    };
}

macro_rules! refused {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method(self, _value: $type) -> Result<(), Error> {
            Err(no_such_value())
        })*
    };
}

impl<'o> Serializer for Value<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'o>;
    type SerializeTuple = Items<'o>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Fields<'o>;
    type SerializeStructVariant = Fields<'o>;

    plain! {
        serialize_bool: bool,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_str: &str,
    }

    refused! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        if value <= NUMBER_MAX {
            return self.plain(&value);
        }
        let field = match self.place {
            Place::Member(name) | Place::Variant(name) => Some(String::from(name.field)),
            Place::Whole | Place::Element => None,
        };
        Err(Error {
            field,
            reason: format!("{value} is over {NUMBER_MAX}, the greatest number in JSON"),
        })
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        match self.place {
            Place::Member(name) | Place::Variant(name) if is_json_text(name.owner, name.field) => {
                self.json_text(bytes);
            }
            Place::Member(_) | Place::Variant(_) | Place::Element | Place::Whole => {
                self.base64("", bytes);
            }
        }
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        match self.place {
            Place::Member(_) => {}
            Place::Variant(_) | Place::Element | Place::Whole => {
                self.begin("").extend_from_slice(b"null");
            }
        }
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Err(no_such_value())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        Err(no_such_value())
    }

    fn serialize_unit_variant(
        self,
        _owner: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.plain(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        owner: &'static str,
        _index: u32,
        field: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let bodies = self.bodies;
        let out = self.begin("");
        let place = Place::Variant(Name { owner, field });
        value.serialize(Value {
            out: &mut *out,
            place,
            bodies,
        })?;
        out.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Items<'o>, Error> {
        let is_absent =
            length == Some(0) && matches!(self.place, Place::Member(name) if name.field == "ext");
        let bodies = self.bodies;
        if is_absent {
            let out = self.out;
            return Ok(Items {
                out,
                bodies,
                close: "",
            });
        }
        let out = self.begin("");
        out.push(b'[');
        Ok(Items {
            out,
            bodies,
            close: "]",
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<Items<'o>, Error> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleStruct, Error> {
        Err(no_such_value())
    }

    fn serialize_tuple_variant(
        self,
        _owner: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(no_such_value())
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Err(no_such_value())
    }

    fn serialize_struct(self, owner: &'static str, _length: usize) -> Result<Fields<'o>, Error> {
        let bodies = self.bodies;
        let out = self.begin("");
        out.push(b'{');
        Ok(Fields {
            out,
            bodies,
            owner,
            only: None,
            close: "}",
        })
    }

    /// A variant with one field holds the field's value, as the page's tables have it.
    fn serialize_struct_variant(
        self,
        owner: &'static str,
        _index: u32,
        field: &'static str,
        length: usize,
    ) -> Result<Fields<'o>, Error> {
        let bodies = self.bodies;
        let out = self.begin("");
        let only = (length == 1).then_some(Name { owner, field });
        if only.is_none() {
            out.push(b'{');
            key(out, field, "");
            out.push(b'{');
        }
        Ok(Fields {
            out,
            bodies,
            owner,
            close: if only.is_some() { "}" } else { "}}" },
            only,
        })
    }
}

/// An array that is being written.
struct Items<'o> {
    out: &'o mut Vec<u8>,
    bodies: Bodies,
    close: &'static str,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Value {
            out: self.out,
            place: Place::Element,
            bodies: self.bodies,
        })
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }

    fn end(self) -> Result<(), Error> {
        self.out.extend_from_slice(self.close.as_bytes());
        Ok(())
    }
}

impl SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeSeq::end(self)
    }
}

/// An object that is being written.
struct Fields<'o> {
    out: &'o mut Vec<u8>,
    bodies: Bodies,
    owner: &'static str,
    /// The variant whose only field stands for all of it.
    only: Option<Name>,
    close: &'static str,
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        field: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let owner = self.owner;
        value.serialize(Value {
            out: self.out,
            place: match self.only {
                Some(variant) => Place::Variant(variant),
                None => Place::Member(Name { owner, field }),
            },
            bodies: self.bodies,
        })
    }

    fn end(self) -> Result<(), Error> {
        self.out.extend_from_slice(self.close.as_bytes());
        Ok(())
    }
}

impl serde::ser::SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        field: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        SerializeStruct::serialize_field(self, field, value)
    }

    fn end(self) -> Result<(), Error> {
        SerializeStruct::end(self)
    }
}

fn no_such_value() -> Error {
    serde::ser::Error::custom("frames have no value of this type")
}

impl serde::ser::Error for Error {
    fn custom<T: Display>(reason: T) -> Self {
        Self {
            field: None,
            reason: reason.to_string(),
        }
    }
}
