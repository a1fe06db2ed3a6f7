//! The variables of a request, held to the specification before the library has them: where each may be used (GraphQL
//! October 2021, 5.8.5), which values it takes (6.1.2), and that a place whose variable has no value keeps its default
//! (6.4.1). The library looks at the values of arguments alone, and at these in part. The engine calls it.
//!
//! Pure. What is wrong with a document otherwise is left to the library, which says so.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet, Type, VariableDefinition,
};
use async_graphql::{Name, Positioned, ScalarType, Value, Variables};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::graphql::schema::{DateTime, UInt64};
use crate::bridge::graphql::types::{Input, Inputs, Kind, Types};

/// Whether each variable of each operation is used where its type fits, and each value of the document as well.
pub(super) fn check(types: &Types, document: &ExecutableDocument) -> Result<(), Failure> {
    document
        .operations
        .iter()
        .try_for_each(|(_, operation)| Uses::of(types, document, &operation.node).map(|_| ()))
}

/// Whether each variable has a value that its type takes. Where one has none that need not, the default of its place
/// is its value.
pub(super) fn bind(
    types: &Types,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    values: &mut Variables,
) -> Result<(), Failure> {
    for definition in &operation.variable_definitions {
        let VariableDefinition {
            name,
            var_type,
            default_value,
            ..
        } = &definition.node;
        let name = &name.node;
        let wrong = match values.get(name) {
            None if var_type.node.nullable || default_value.is_some() => continue,
            given => {
                let given = given.unwrap_or(&Value::Null);
                fits(types, &var_type.node, given, &format!("variables.{name}"))
            }
        };
        wrong.map_err(|Wrong { at, remedy }| Failure::field(ErrorCode::Invalid, at, remedy))?;
    }
    let uses = Uses::of(types, document, operation)?;
    for (name, default) in uses.defaults {
        values.entry(name).or_insert_with(|| default.clone());
    }
    Ok(())
}

/// The uses of the variables of one operation.
struct Uses<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
    definitions: HashMap<&'a str, &'a VariableDefinition>,
    /// Fragments that were looked through.
    fragments: HashSet<&'a str>,
    /// Of variables that may have no value, where null cannot stand for it.
    defaults: HashMap<Name, &'a Value>,
}

impl<'a> Uses<'a> {
    fn of(
        types: &'a Types,
        document: &'a ExecutableDocument,
        operation: &'a OperationDefinition,
    ) -> Result<Self, Failure> {
        let definitions = operation.variable_definitions.iter();
        let mut uses = Self {
            types,
            document,
            definitions: definitions
                .map(|definition| (definition.node.name.node.as_str(), &definition.node))
                .collect(),
            fragments: HashSet::new(),
            defaults: HashMap::new(),
        };
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        uses.directives(&operation.directives)?;
        uses.selection(root, &operation.selection_set.node)?;
        Ok(uses)
    }

    fn selection(&mut self, kind: &'a str, selection: &'a SelectionSet) -> Result<(), Failure> {
        for item in &selection.items {
            self.directives(item.node.directives())?;
            match &item.node {
                Selection::Field(field) => self.field(kind, &field.node)?,
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let kind = condition.map_or(kind, |condition| condition.node.on.node.as_str());
                    self.selection(kind, &fragment.node.selection_set.node)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let Some(fragment) = self.document.fragments.get(name) else {
                        continue;
                    };
                    if self.fragments.insert(name) {
                        let kind = fragment.node.type_condition.node.on.node.as_str();
                        self.directives(&fragment.node.directives)?;
                        self.selection(kind, &fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, kind: &str, field: &'a Field) -> Result<(), Failure> {
        let types = self.types;
        let fields = types.fields(kind);
        let Some(known) = fields.and_then(|fields| fields.get(&field.name.node)) else {
            return Ok(());
        };
        for (name, value) in &field.arguments {
            let Ok(value) = value.node.clone().into_const_with(marked);
            self.argument(&known.arguments, &name.node, &value)?;
        }
        self.selection(&known.kind, &field.selection_set.node)
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>]) -> Result<(), Failure> {
        let types = self.types;
        for directive in directives {
            let Some(known) = types.directive(&directive.node.name.node) else {
                continue;
            };
            for (name, value) in &directive.node.arguments {
                let Ok(value) = value.node.clone().into_const_with(marked);
                self.argument(known, &name.node, &value)?;
            }
        }
        Ok(())
    }

    fn argument(&mut self, known: &'a Inputs, name: &Name, value: &Value) -> Result<(), Failure> {
        match known.get(name) {
            Some(Input { ty, default }) => self.value(ty, default.as_ref(), value, name.as_str()),
            None => Ok(()),
        }
    }

    /// A value of the document at a place for one, which has this type and default.
    fn value(
        &mut self,
        ty: &'a Type,
        default: Option<&'a Value>,
        value: &Value,
        at: &str,
    ) -> Result<(), Failure> {
        if let Some(name) = variable(value) {
            return self.variable(ty, default, name, at);
        }
        match (value, &ty.base) {
            (Value::List(items), BaseType::List(ty)) => {
                let mut items = items.iter().enumerate();
                items.try_for_each(|(index, item)| {
                    self.value(ty, None, item, &format!("{at}[{index}]"))
                })
            }
            // A list of one.
            (Value::Object(_), BaseType::List(ty)) => self.value(ty, None, value, at),
            (Value::Object(given), BaseType::Named(kind)) => {
                let types = self.types;
                let Some(Kind::Input(fields)) = types.kind(kind) else {
                    return Ok(());
                };
                given
                    .iter()
                    .try_for_each(|(name, value)| match fields.get(name) {
                        Some(Input { ty, default }) => {
                            self.value(ty, default.as_ref(), value, &format!("{at}.{name}"))
                        }
                        None => Ok(()),
                    })
            }
            (value, _) => fits(self.types, ty, value, at).map_err(|wrong| {
                let Wrong { at, remedy } = wrong;
                Failure::field(ErrorCode::Invalid, "query", format!("{at}: {remedy}"))
            }),
        }
    }

    fn variable(
        &mut self,
        ty: &'a Type,
        default: Option<&'a Value>,
        name: &str,
        at: &str,
    ) -> Result<(), Failure> {
        let Some(definition) = self.definitions.get(name).copied() else {
            return Ok(());
        };
        let own = definition.default_value.as_ref().map(|own| &own.node);
        let has_default = [own, default]
            .into_iter()
            .flatten()
            .any(|value| *value != Value::Null);
        let given = &definition.var_type.node;
        let is_value = ty.nullable || !given.nullable || has_default;
        if !(is_value && is_of(&given.base, &ty.base)) {
            let message =
                format!("{at} takes {ty}, and ${name} is of the type {given}; declare it as {ty}");
            return Err(Failure::field(ErrorCode::Invalid, "query", message));
        }
        if let (None, false, Some(default)) = (own, ty.nullable, default) {
            self.defaults.insert(Name::new(name), default);
        }
        Ok(())
    }
}

/// A value that its place does not take.
struct Wrong {
    at: String,
    remedy: String,
}

/// Whether a type takes a value.
fn fits(types: &Types, ty: &Type, value: &Value, at: &str) -> Result<(), Wrong> {
    let wrong = |remedy: String| {
        Err(Wrong {
            at: at.to_owned(),
            remedy,
        })
    };
    let kind = match (value, &ty.base) {
        (Value::Null, _) if ty.nullable => return Ok(()),
        (Value::Null, _) => return wrong(format!("it needs a value of the type {ty}")),
        (Value::List(items), BaseType::List(ty)) => {
            let mut items = items.iter().enumerate();
            return items
                .try_for_each(|(index, item)| fits(types, ty, item, &format!("{at}[{index}]")));
        }
        (value, BaseType::List(ty)) => return fits(types, ty, value, at),
        (_, BaseType::Named(kind)) => kind,
    };
    match types.kind(kind) {
        // The library says so.
        None | Some(Kind::Output(_)) => Ok(()),
        Some(Kind::Scalar) => match instead(kind, value) {
            Some(remedy) => wrong(format!("{kind} is {remedy}")),
            None => Ok(()),
        },
        Some(Kind::Enum(names)) => match value {
            Value::String(name) if names.iter().any(|known| known == name) => Ok(()),
            Value::Enum(name) if names.contains(name) => Ok(()),
            _ => wrong(format!("{kind} is one of {}", names.join(", "))),
        },
        Some(Kind::Input(fields)) => {
            let Value::Object(given) = value else {
                return wrong(format!("{kind} is an object"));
            };
            if let Some(unknown) = given.keys().find(|name| !fields.contains_key(*name)) {
                let names: Vec<_> = fields.keys().map(Name::as_str).collect();
                let at = format!("{at}.{unknown}");
                let remedy = format!("{kind} has no such field; it has {}", names.join(", "));
                return Err(Wrong { at, remedy });
            }
            fields.iter().try_for_each(|(name, Input { ty, default })| {
                let at = format!("{at}.{name}");
                match given.get(name) {
                    Some(value) => fits(types, ty, value, &at),
                    None if default.is_some() => Ok(()),
                    None => fits(types, ty, &Value::Null, &at),
                }
            })
        }
    }
}

/// What a scalar takes, where it is not this value.
fn instead(scalar: &str, value: &Value) -> Option<&'static str> {
    let (is_taken, takes) = match (scalar, value) {
        ("Int", value) => (
            matches!(value, Value::Number(it) if it.as_i64().is_some_and(|it| i32::try_from(it).is_ok())),
            "a whole number from -2147483648 to 2147483647",
        ),
        ("Float", value) => (matches!(value, Value::Number(_)), "a number"),
        ("String", value) => (matches!(value, Value::String(_)), "text"),
        ("Boolean", value) => (matches!(value, Value::Boolean(_)), "true or false"),
        ("ID", value) => (
            matches!(value, Value::String(_)) || matches!(value, Value::Number(it) if it.is_i64()),
            "text or a whole number",
        ),
        ("UInt64", value) => (
            UInt64::is_valid(value),
            "a whole number from 0 on, or its digits as text",
        ),
        ("DateTime", value) => (DateTime::is_valid(value), "a time as text (RFC 3339)"),
        _ => return None,
    };
    (!is_taken).then_some(takes)
}

/// Whether what is of one type is of the other, null apart.
fn is_of(given: &BaseType, ty: &BaseType) -> bool {
    match (given, ty) {
        (BaseType::Named(given), BaseType::Named(ty)) => given == ty,
        (BaseType::List(given), BaseType::List(ty)) => {
            (ty.nullable || !given.nullable) && is_of(&given.base, &ty.base)
        }
        (BaseType::Named(_), BaseType::List(_)) | (BaseType::List(_), BaseType::Named(_)) => false,
    }
}

/// A variable in the place of its value, as no value is: values of the library have none, and a value with variables is
/// of a type that it does not show.
fn marked(name: Name) -> Result<Value, Infallible> {
    Ok(Value::Enum(Name::new(format!("${name}"))))
}

/// The name of the variable that stands for a value.
fn variable(value: &Value) -> Option<&str> {
    match value {
        Value::Enum(name) => name.strip_prefix('$'),
        Value::Null
        | Value::Number(_)
        | Value::String(_)
        | Value::Boolean(_)
        | Value::Binary(_)
        | Value::List(_)
        | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
