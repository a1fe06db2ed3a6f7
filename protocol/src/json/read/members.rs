//! The members of objects and the variants of enums, by name: what is unknown, missing or there twice is found here.
//! [`super`] reads structures and enums through it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Form, Seed, Trace, Value};
use crate::json::{BASE64_SUFFIX, default, is_json_text};

/// The fields of a structure, or the variants of an enum.
#[derive(Clone, Copy)]
pub(super) struct Names<'t> {
    pub(super) owner: &'static str,
    pub(super) names: &'static [&'static str],
    pub(super) trace: &'t Trace,
}

/// One of them, as the message names it.
#[derive(Clone, Copy)]
pub(super) struct Found {
    index: usize,
    is_base64: bool,
}

impl Names<'_> {
    fn find(&self, text: &str) -> Option<Found> {
        let position = |text| self.names.iter().position(|name| *name == text);
        if let Some(index) = position(text) {
            let is_base64 = false;
            return Some(Found { index, is_base64 });
        }
        let index = position(text.strip_suffix(BASE64_SUFFIX)?)?;
        is_json_text(self.owner, self.names[index]).then_some(Found {
            index,
            is_base64: true,
        })
    }

    fn form(&self, found: Found, text: Form) -> Form {
        if !found.is_base64 && is_json_text(self.owner, self.names[found.index]) {
            text
        } else {
            Form::Plain
        }
    }
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Found, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Names<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.names.join(", "))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Found, E> {
        let found = self.find(text).ok_or_else(|| {
            E::custom(format_args!(
                "not known here, only {}",
                self.names.join(", ")
            ))
        });
        self.trace.at(text, found)
    }
}

/// A visitor of objects and enums.
pub(super) struct Named<'t, V> {
    pub(super) visitor: V,
    pub(super) names: Names<'t>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {}", self.names.names.join(", "))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Members {
            inner,
            names: self.names,
            seen: 0,
            is_over: false,
            next: Next::Absent(0),
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let names = self.names;
        self.visitor.visit_enum(Variants { inner, names })
    }
}

/// The members of an object, then those that it leaves out.
struct Members<'t, A> {
    inner: A,
    names: Names<'t>,
    /// One bit for each name.
    seen: u32,
    is_over: bool,
    next: Next,
}

/// The member whose value is read next.
#[derive(Clone, Copy)]
enum Next {
    Present(Found),
    Absent(usize),
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let names = self.names.names;
        let found = if self.is_over {
            None
        } else {
            self.inner.next_key_seed(self.names)?
        };
        let index = match found {
            Some(found) => {
                self.next = Next::Present(found);
                let name = names[found.index];
                if self.seen & (1 << found.index) != 0 {
                    let twice = Err(A::Error::custom("is there twice"));
                    return self.names.trace.at(name, twice);
                }
                found.index
            }
            None => {
                self.is_over = true;
                let absent = (0..names.len()).find(|index| self.seen & (1 << index) == 0);
                let Some(index) = absent else {
                    return Ok(None);
                };
                self.next = Next::Absent(index);
                index
            }
        };
        self.seen |= 1 << index;
        let name = names[index].into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let Names {
            owner,
            names,
            trace,
        } = self.names;
        match self.next {
            Next::Present(found) => {
                let form = self.names.form(found, Form::JsonText);
                let value = self.inner.next_value_seed(Seed { seed, form, trace });
                trace.at(names[found.index], value)
            }
            Next::Absent(index) => {
                let name = names[index];
                let value = match default(owner, name) {
                    Some(json) => {
                        let mut json = serde_json::Deserializer::from_str(json);
                        let inner = &mut json;
                        let form = Form::Plain;
                        let value = seed.deserialize(Value { inner, form, trace });
                        value.map_err(A::Error::custom)
                    }
                    None => seed.deserialize(Absent {
                        is_json_text: is_json_text(owner, name),
                        error: PhantomData,
                    }),
                };
                trace.at(name, value)
            }
        }
    }
}

/// The value of a member that is not there.
struct Absent<E> {
    is_json_text: bool,
    error: PhantomData<E>,
}

impl<'de, E: serde::de::Error> Deserializer<'de> for Absent<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, E> {
        Err(E::custom("is missing"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        if self.is_json_text {
            visitor.visit_borrowed_bytes(&[])
        } else {
            self.deserialize_any(visitor)
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The variants of an enum.
struct Variants<'t, A> {
    inner: A,
    names: Names<'t>,
}

impl<'de, 't, A: EnumAccess<'de>> EnumAccess<'de> for Variants<'t, A> {
    type Error = A::Error;
    type Variant = Held<'t, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let names = self.names;
        let (found, inner) = self.inner.variant_seed(names)?;
        let variant = seed.deserialize(names.names[found.index].into_deserializer())?;
        Ok((
            variant,
            Held {
                inner,
                names,
                found,
            },
        ))
    }
}

/// What the variant holds.
struct Held<'t, A> {
    inner: A,
    names: Names<'t>,
    found: Found,
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Held<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        let name = self.names.names[self.found.index];
        self.names.trace.at(name, self.inner.unit_variant())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let trace = self.names.trace;
        let form = self.names.form(self.found, Form::JsonTextOrNull);
        let value = self.inner.newtype_variant_seed(Seed { seed, form, trace });
        trace.at(self.names.names[self.found.index], value)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, visitor)
    }

    /// A variant with one field holds the field's value.
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let Names { owner, trace, .. } = self.names;
        let names = Names {
            owner,
            names: fields,
            trace,
        };
        let value = if fields.len() == 1 {
            self.inner.newtype_variant_seed(Only { visitor, trace })
        } else {
            self.inner.struct_variant(fields, Named { visitor, names })
        };
        trace.at(self.names.names[self.found.index], value)
    }
}

/// The only field of a variant.
struct Only<'t, V> {
    visitor: V,
    trace: &'t Trace,
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Only<'_, V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let trace = self.trace;
        let form = Form::Plain;
        self.visitor
            .visit_seq(One(Some(Value { inner, form, trace })))
    }
}

/// A list of one element.
struct One<D>(Option<D>);

impl<'de, D: Deserializer<'de>> SeqAccess<'de> for One<D> {
    type Error = D::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, D::Error> {
        self.0.take().map(|from| seed.deserialize(from)).transpose()
    }
}
