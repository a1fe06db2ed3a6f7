//! Measures a parsed GraphQL document before it is validated and executed: cycles of fragments, and what the document
//! is once they are put where they are named. Each fragment is measured once, so that this takes as long as the
//! document is, whatever it grows to; what comes after takes as long as what it grows to.
//!
//! Pure.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use selvedge_protocol::limits::{
    GRAPHQL_ALIASES_MAX, GRAPHQL_DEPTH_MAX, GRAPHQL_DIRECTIVES_MAX, GRAPHQL_FIELDS_MAX,
    GRAPHQL_INTROSPECTION_COST_MAX, GRAPHQL_OPERATIONS_MAX, GRAPHQL_ROOT_FIELDS_MAX,
};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::graphql::Introspection;

/// Checks the whole document against all limits.
pub(super) fn check(
    document: &ExecutableDocument,
    introspection: Introspection,
) -> Result<(), Failure> {
    let operations = document.operations.iter();
    if operations.len() > GRAPHQL_OPERATIONS_MAX {
        return Err(too_large(format!(
            "the document has more than {GRAPHQL_OPERATIONS_MAX} operations; send those that are used"
        )));
    }
    let mut measure = Measure {
        document,
        fragments: HashMap::new(),
        aliases: 0,
        directives: 0,
    };
    for name in document.fragments.keys() {
        measure.fragment(name)?;
    }
    let mut fields = 0_usize;
    for (_, operation) in operations {
        let operation = &operation.node;
        measure.directives += operation.directives.len();
        for variable in &operation.variable_definitions {
            measure.directives += variable.node.directives.len();
        }
        let size = measure.selection(&operation.selection_set.node)?;
        fields = fields.saturating_add(size.fields);
        of_operation(operation, size, introspection)?;
    }
    let Measure {
        aliases,
        directives,
        ..
    } = measure;
    for (what, count, most, remedy) in [
        (
            "fields",
            fields,
            GRAPHQL_FIELDS_MAX,
            "ask for less at a time",
        ),
        (
            "aliases",
            aliases,
            GRAPHQL_ALIASES_MAX,
            "ask for lists, or in several requests",
        ),
        (
            "directives",
            directives,
            GRAPHQL_DIRECTIVES_MAX,
            "leave out what is not needed",
        ),
    ] {
        if count > most {
            return Err(too_large(format!(
                "the document has more than {most} {what}; {remedy}"
            )));
        }
    }
    told_once(document)
}

/// Whether each mutation has each of its fields once: the library executes one that is there twice as often, where the
/// specification has it once.
fn told_once(document: &ExecutableDocument) -> Result<(), Failure> {
    let operations = document.operations.iter().map(|(_, it)| &it.node);
    for mutation in operations.filter(|it| it.ty == OperationType::Mutation) {
        let root = &mutation.selection_set.node;
        if let Some(key) = repeated(document, root, &mut HashSet::new()) {
            return Err(Failure::field(
                ErrorCode::Invalid,
                "query",
                format!(
                    "a mutation has the field {key} more than once at its root: name it once, or under other aliases"
                ),
            ));
        }
    }
    Ok(())
}

/// A name in answers that a selection gives more than once. Its size is bounded before.
fn repeated<'a>(
    document: &'a ExecutableDocument,
    selection: &'a SelectionSet,
    known: &mut HashSet<&'a str>,
) -> Option<&'a str> {
    selection.items.iter().find_map(|item| match &item.node {
        Selection::Field(field) => {
            let key = field.node.response_key().node.as_str();
            (!known.insert(key)).then_some(key)
        }
        Selection::InlineFragment(fragment) => {
            repeated(document, &fragment.node.selection_set.node, known)
        }
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
            repeated(document, &fragment.node.selection_set.node, known)
        }
    })
}

/// The operation that a request is for. `None` where its name does not tell.
pub(super) fn chosen<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(known, _)| known.is_some_and(|known| known == name)),
        None if operations.len() == 1 => operations.next(),
        None => None,
    };
    found.map(|(_, operation)| &operation.node)
}

fn of_operation(
    operation: &OperationDefinition,
    size: Size,
    introspection: Introspection,
) -> Result<(), Failure> {
    if size.depth > GRAPHQL_DEPTH_MAX {
        return Err(too_large(format!(
            "the document has fields more than {GRAPHQL_DEPTH_MAX} deep; ask for less at a time"
        )));
    }
    if size.width > GRAPHQL_ROOT_FIELDS_MAX {
        return Err(too_large(format!(
            "an operation has more than {GRAPHQL_ROOT_FIELDS_MAX} fields at its root; ask in several requests"
        )));
    }
    // The library takes no notice of fragments there.
    let root = operation.selection_set.node.items.as_slice();
    let is_one = matches!(root, [only] if matches!(only.node, Selection::Field(_)));
    if operation.ty == OperationType::Subscription && !is_one {
        return Err(Failure::field(
            ErrorCode::Invalid,
            "query",
            "a subscription has one field at its root, not in a fragment; subscribe several times",
        ));
    }
    if size.schema_cost == 0 {
        return Ok(());
    }
    match introspection {
        Introspection::Off => Err(Failure::field(
            ErrorCode::PermissionDenied,
            "query",
            "this node does not tell its schema; set graphql_introspection in its [bridge]",
        )),
        Introspection::On if size.schema_cost > GRAPHQL_INTROSPECTION_COST_MAX => {
            Err(too_large(format!(
                "the question for the schema may have an answer of {} values, more than the \
                 {GRAPHQL_INTROSPECTION_COST_MAX} that it may have; ask for less at a time",
                size.schema_cost
            )))
        }
        Introspection::On => Ok(()),
    }
}

/// What a selection is with all fragments in their places.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Fields within each other.
    depth: usize,
    /// All fields, and places of fragments.
    fields: usize,
    /// Those that are not within others.
    width: usize,
    /// What it costs if it is about the schema.
    cost: usize,
    /// What its fields about the schema cost.
    schema_cost: usize,
}

impl Size {
    fn beside(self, other: Self) -> Self {
        Self {
            depth: self.depth.max(other.depth),
            fields: self.fields.saturating_add(other.fields),
            width: self.width.saturating_add(other.width),
            cost: self.cost.saturating_add(other.cost),
            schema_cost: self.schema_cost.saturating_add(other.schema_cost),
        }
    }

    /// The place where a fragment is named: looking through it is work as well, even if it is empty.
    fn named(self) -> Self {
        Self {
            fields: self.fields.saturating_add(1),
            ..self
        }
    }

    /// The field that has this selection.
    fn within(self, field: &Field) -> Self {
        let name = field.name.node.as_str();
        let cost = self.cost.saturating_add(1).saturating_mul(items(name));
        let is_schema = matches!(name, "__schema" | "__type");
        Self {
            depth: self.depth + 1,
            fields: self.fields.saturating_add(1),
            width: 1,
            cost,
            schema_cost: match is_schema {
                true => cost,
                false => self.schema_cost,
            },
        }
    }
}

/// About as many items as a list of the schema has on average.
fn items(field: &str) -> usize {
    match field {
        "types" => 64,
        "fields" => 8,
        "inputFields" | "enumValues" | "possibleTypes" | "directives" => 4,
        "args" | "interfaces" => 2,
        _ => 1,
    }
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    /// `None`: its measuring is under way.
    fragments: HashMap<&'a str, Option<Size>>,
    aliases: usize,
    directives: usize,
}

impl<'a> Measure<'a> {
    fn fragment(&mut self, name: &'a str) -> Result<Size, Failure> {
        match self.fragments.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                return Err(Failure::field(
                    ErrorCode::Invalid,
                    "query",
                    format!("the fragment {name} contains itself"),
                ));
            }
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            // Validation says so.
            return Ok(Size::default());
        };
        self.fragments.insert(name, None);
        self.directives += fragment.node.directives.len();
        let size = self.selection(&fragment.node.selection_set.node)?;
        self.fragments.insert(name, Some(size));
        Ok(size)
    }

    fn selection(&mut self, selection: &'a SelectionSet) -> Result<Size, Failure> {
        let mut size = Size::default();
        for item in &selection.items {
            self.directives += item.node.directives().len();
            let part = match &item.node {
                Selection::Field(field) => {
                    self.aliases += usize::from(field.node.alias.is_some());
                    self.selection(&field.node.selection_set.node)?
                        .within(&field.node)
                }
                Selection::FragmentSpread(spread) => self
                    .fragment(spread.node.fragment_name.node.as_str())?
                    .named(),
                Selection::InlineFragment(fragment) => {
                    self.selection(&fragment.node.selection_set.node)?.named()
                }
            };
            size = size.beside(part);
        }
        Ok(size)
    }
}

fn too_large(message: String) -> Failure {
    Failure::field(ErrorCode::TooLarge, "query", message)
}

#[cfg(test)]
mod tests;
