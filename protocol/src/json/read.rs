//! Reads frames from JSON: a serde deserializer around that of `serde_json`, whose rules are those of the page.
//! [`super::decode`] calls it.
//!
//! It finds fields that are missing, unknown or there twice itself, so that errors name them, gives the ones that
//! may be left out their defaults, and lends JSON values and texts from the message.

mod members;

use std::cell::RefCell;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;

use self::members::{Named, Names};
use super::{Error, NUMBER_MAX};

/// The frame that the text is.
pub(super) fn decode<F: DeserializeOwned>(text: &str) -> Result<F, Error> {
    let trace = Trace::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = F::deserialize(Value {
        inner: &mut json,
        form: Form::Plain,
        trace: &trace,
    });
    read.and_then(|frame| json.end().map(|()| frame))
        .map_err(|error| Error {
            field: trace.path(),
            reason: error.to_string(),
        })
}

/// The way to the member that is wrong, from within: written once, while the error makes its way out.
#[derive(Default)]
struct Trace(RefCell<Vec<String>>);

impl Trace {
    fn at<T, E>(&self, name: &str, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() {
            // Names come from outside as well; some characters tell which was meant.
            let shown = name.chars().take(NAME_CHARS_MAX).collect();
            self.0.borrow_mut().push(shown);
        }
        result
    }

    fn path(self) -> Option<String> {
        let mut names = self.0.into_inner();
        names.reverse();
        (!names.is_empty()).then(|| names.join("."))
    }
}

/// Longer than any name of a field.
const NAME_CHARS_MAX: usize = 64;

/// How bytes are written where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Text in base64, where it is bytes at all.
    Plain,
    /// A JSON value, which are the bytes.
    JsonText,
    /// The same in a variant of an enum, where null stands for no bytes.
    JsonTextOrNull,
}

/// A value of the message.
struct Value<'t, D> {
    inner: D,
    form: Form,
    trace: &'t Trace,
}

macro_rules! as_it_is {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Value<'_, D> {
    type Error = D::Error;

    as_it_is! {
        deserialize_bool deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_str deserialize_string
    }

    // Of these, frames have none.
    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char unit map identifier ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, D::Error> {
        Err(D::Error::custom("frames have no value of this type"))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_u64(Exact(visitor))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let text = match self.form {
            Form::Plain => return self.inner.deserialize_str(Base64(visitor)),
            Form::JsonText => <&RawValue>::deserialize(self.inner)?.get(),
            Form::JsonTextOrNull => match <&RawValue>::deserialize(self.inner)?.get() {
                "null" => "",
                other => other,
            },
        };
        visitor.visit_borrowed_bytes(text.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { inner, form, trace } = self;
        inner.deserialize_option(Inside {
            visitor,
            form,
            trace,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { inner, form, trace } = self;
        inner.deserialize_seq(Inside {
            visitor,
            form,
            trace,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        owner: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let trace = self.trace;
        self.inner.deserialize_map(Named {
            visitor,
            names: Names {
                owner,
                names,
                trace,
            },
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        owner: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let trace = self.trace;
        let names = Names {
            owner,
            names,
            trace,
        };
        self.inner
            .deserialize_enum(owner, names.names, Named { visitor, names })
    }
}

/// Reads a value in its form.
struct Seed<'t, S> {
    seed: S,
    form: Form,
    trace: &'t Trace,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let Self { seed, form, trace } = self;
        seed.deserialize(Value { inner, form, trace })
    }
}

/// A visitor that sees numbers up to the greatest.
struct Exact<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Exact<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number without fraction, from 0 to {NUMBER_MAX}")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<V::Value, E> {
        if value > NUMBER_MAX {
            return Err(E::invalid_value(
                serde::de::Unexpected::Unsigned(value),
                &self,
            ));
        }
        self.0.visit_u64(value)
    }
}

/// A visitor of bytes that sees text.
struct Base64<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Base64<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in base64 with padding (RFC 4648 section 4)")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<V::Value, E> {
        match STANDARD.decode(text) {
            Ok(bytes) => self.0.visit_byte_buf(bytes),
            Err(error) => Err(E::custom(format_args!(
                "not base64 with padding (RFC 4648 section 4): {error}"
            ))),
        }
    }
}

/// A visitor of options and arrays, whose insides are values of the message as well.
struct Inside<'t, V> {
    visitor: V,
    form: Form,
    trace: &'t Trace,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Inside<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let Self {
            visitor,
            form,
            trace,
        } = self;
        visitor.visit_some(Value { inner, form, trace })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let trace = self.trace;
        self.visitor.visit_seq(Elements { inner, trace })
    }
}

struct Elements<'t, A> {
    inner: A,
    trace: &'t Trace,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(Seed {
            seed,
            form: Form::Plain,
            trace: self.trace,
        })
    }
}
