//! What the schema says of types, as far as requests are held to it before the library has them: read once from its
//! own text, so that it is the same by construction. [`variables`](crate::bridge::graphql::variables) asks it.
//!
//! Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, ServiceDocument, Type, TypeKind,
    TypeSystemDefinition,
};
use async_graphql::parser::{self, parse_schema};
use async_graphql::{Name, Positioned, Value};

/// All types by their names, and the directives.
#[derive(Debug, Default)]
pub(super) struct Types {
    types: HashMap<Name, Kind>,
    directives: HashMap<Name, Inputs>,
}

/// What sort of type it is.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar,
    Enum(Vec<Name>),
    Input(Inputs),
    /// An object, an interface or a union, which has no fields of its own.
    Output(HashMap<Name, Field>),
}

/// A field of an object or an interface.
#[derive(Debug)]
pub(super) struct Field {
    /// The name of its type, without lists and what may be null.
    pub(super) kind: Name,
    pub(super) arguments: Inputs,
}

/// Arguments, or fields of an input object.
pub(super) type Inputs = IndexMap<Name, Input>;

/// A place for a value.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) ty: Type,
    /// What stands there where nothing is given.
    pub(super) default: Option<Value>,
}

impl Types {
    /// Reads the text of a schema. What it asks of the schema itself is added.
    pub(super) fn read(text: &str) -> Result<Self, parser::Error> {
        let mut types = Self::default();
        types.add(parse_schema(INTROSPECTION)?);
        types.add(parse_schema(text)?);
        for name in ["Int", "Float", "String", "Boolean", "ID"] {
            types.types.insert(Name::new(name), Kind::Scalar);
        }
        Ok(types)
    }

    fn add(&mut self, document: ServiceDocument) {
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(_) => {}
                TypeSystemDefinition::Directive(directive) => {
                    let directive = directive.node;
                    let arguments = inputs(directive.arguments);
                    self.directives.insert(directive.name.node, arguments);
                }
                TypeSystemDefinition::Type(definition) => {
                    let definition = definition.node;
                    self.merge(definition.name.node, Kind::from(definition.kind));
                }
            }
        }
    }

    /// Adds a type, or fields to the one of its name.
    fn merge(&mut self, name: Name, kind: Kind) {
        match self.types.entry(name) {
            Entry::Vacant(place) => {
                place.insert(kind);
            }
            Entry::Occupied(mut known) => match (known.get_mut(), kind) {
                (Kind::Output(known), Kind::Output(fields)) => known.extend(fields),
                (known, kind) => *known = kind,
            },
        }
    }

    pub(super) fn kind(&self, name: &str) -> Option<&Kind> {
        self.types.get(name)
    }

    /// The fields of a type that has some.
    pub(super) fn fields(&self, name: &str) -> Option<&HashMap<Name, Field>> {
        match self.types.get(name)? {
            Kind::Output(fields) => Some(fields),
            Kind::Scalar | Kind::Enum(_) | Kind::Input(_) => None,
        }
    }

    /// The arguments of a directive.
    pub(super) fn directive(&self, name: &str) -> Option<&Inputs> {
        self.directives.get(name)
    }
}

impl From<TypeKind> for Kind {
    fn from(kind: TypeKind) -> Self {
        match kind {
            TypeKind::Scalar => Self::Scalar,
            TypeKind::Enum(kind) => {
                let values = kind.values.into_iter();
                Self::Enum(values.map(|value| value.node.value.node).collect())
            }
            TypeKind::InputObject(kind) => Self::Input(inputs(kind.fields)),
            TypeKind::Object(kind) => Self::Output(fields(kind.fields)),
            TypeKind::Interface(kind) => Self::Output(fields(kind.fields)),
            TypeKind::Union(_) => Self::Output(HashMap::new()),
        }
    }
}

fn fields(definitions: Vec<Positioned<FieldDefinition>>) -> HashMap<Name, Field> {
    let definitions = definitions.into_iter().map(|definition| {
        let definition = definition.node;
        let field = Field {
            kind: innermost(definition.ty.node),
            arguments: inputs(definition.arguments),
        };
        (definition.name.node, field)
    });
    definitions.collect()
}

fn inputs(definitions: Vec<Positioned<InputValueDefinition>>) -> Inputs {
    let definitions = definitions.into_iter().map(|definition| {
        let definition = definition.node;
        let input = Input {
            ty: definition.ty.node,
            default: definition.default_value.map(|value| value.node),
        };
        (definition.name.node, input)
    });
    definitions.collect()
}

fn innermost(ty: Type) -> Name {
    match ty.base {
        BaseType::Named(name) => name,
        BaseType::List(ty) => innermost(*ty),
    }
}

/// What every schema has: the specification's own, as far as it takes values.
const INTROSPECTION: &str = "
directive @skip(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
directive @include(if: Boolean!) on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT
type Query { __schema: __Schema! __type(name: String!): __Type }
type __Schema {
  types: [__Type!]! queryType: __Type! mutationType: __Type subscriptionType: __Type directives: [__Directive!]!
}
type __Type {
  fields(includeDeprecated: Boolean = false): [__Field!]
  enumValues(includeDeprecated: Boolean = false): [__EnumValue!]
  inputFields(includeDeprecated: Boolean = false): [__InputValue!]
  interfaces: [__Type!] possibleTypes: [__Type!] ofType: __Type
}
type __Field { args(includeDeprecated: Boolean = false): [__InputValue!]! type: __Type! }
type __Directive { args(includeDeprecated: Boolean = false): [__InputValue!]! }
type __InputValue { type: __Type! }
type __EnumValue { name: String! }
";
