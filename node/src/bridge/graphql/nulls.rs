//! What stands where a field has failed: `null` where its type has it, else the nearest part of the answer around it
//! that may be null is (GraphQL October 2021, 6.4.4). The library leaves failed fields out instead, and what they are
//! part of as it is. The [`schema`](crate::bridge::graphql::schema) runs this around each field; it never decides what
//! fails, nor what is said of it. In a request without failures it costs one look at a flag for each field.
//!
//! And the other way round: what is there is no null, also if nothing of it was asked for, which is when all that was
//! is skipped or of other types. The library has null there as well, so such objects are asked for a field more, which
//! goes before anybody sees it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextResolve, ResolveInfo,
};
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, Selection, SelectionSet,
};
use async_graphql::{
    Name, PathSegment, Positioned, QueryPathNode, QueryPathSegment, Response, ServerError,
    ServerResult, Value,
};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Makes one for each request.
#[derive(Debug)]
pub(super) struct Nulls;

impl ExtensionFactory for Nulls {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Failed::default())
    }
}

/// What has failed so far of one execution. Those of one subscription follow each other.
#[derive(Debug, Default)]
struct Failed {
    is_any: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// Of fields that may be null; the library keeps those of others.
    errors: Vec<ServerError>,
    /// What has failed, as far as nobody has said yet whether it may be null.
    broken: HashSet<Path>,
    /// Where null is to stand.
    nulls: Vec<Path>,
}

/// Names of fields and numbers of items, from the root on. Numbers and names are never at the same place.
type Path = Vec<String>;

impl Failed {
    /// Settles what becomes of a field of this type and of its items, where something of it has failed, or it has
    /// itself.
    fn settle(&self, path: &QueryPathNode<'_>, ty: &str, outcome: Outcome) {
        let field = path.to_string_vec();
        let mut places = self.places.lock();
        let failed = places.broken.iter().filter(|it| it.starts_with(&field));
        let mut failed: Vec<Path> = failed.cloned().collect();
        for place in &failed {
            places.broken.remove(place);
        }
        match outcome {
            Outcome::Resolved => {}
            Outcome::Null(error) => {
                places.errors.push(error);
                failed.push(field.clone());
            }
            Outcome::Failed => failed.push(field.clone()),
        }
        for mut place in failed {
            let is_null = |place: &Path| is_nullable(ty, place.len() - field.len());
            while place.len() > field.len() && !is_null(&place) {
                place.pop();
            }
            if is_null(&place) {
                places.nulls.push(place);
            } else {
                place.pop();
                places.broken.insert(place);
            }
        }
        self.is_any.store(true, Ordering::Release);
    }
}

/// How a field went, what is within it apart.
enum Outcome {
    Resolved,
    /// It failed, and may be null. The library keeps the errors of others.
    Null(ServerError),
    /// It failed, and must not be null.
    Failed,
}

#[async_trait]
impl Extension for Failed {
    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let (path, ty) = (info.path_node, info.return_type);
        let is_leaf = info.field.selection_set.node.items.is_empty();
        let mut resolved = next.run(context, info).await;
        if let Ok(Some(Value::Object(fields))) = &mut resolved
            && !is_leaf
        {
            fields.shift_remove(HERE);
        }
        // Items are settled with their list, by the type that was declared: the library gives that of a reference to
        // the item, which never may be null.
        if matches!(path.segment, QueryPathSegment::Index(_)) {
            return resolved;
        }
        match resolved {
            Ok(value) => {
                if self.is_any.load(Ordering::Acquire) {
                    self.settle(path, ty, Outcome::Resolved);
                }
                Ok(value)
            }
            Err(error) if is_nullable(ty, 0) => {
                self.settle(path, ty, Outcome::Null(with_path(error, path)));
                Ok(Some(Value::Null))
            }
            Err(error) => {
                self.settle(path, ty, Outcome::Failed);
                Err(with_path(error, path))
            }
        }
    }

    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(context, name).await;
        if self.is_any.swap(false, Ordering::AcqRel) {
            let places = std::mem::take(&mut *self.places.lock());
            places.settle(&mut response);
        }
        if response.data == Value::Null && response.errors.is_empty() {
            response.data = Value::Object(IndexMap::new());
        }
        response
    }
}

impl Places {
    /// Puts null where it belongs.
    fn settle(self, response: &mut Response) {
        response.errors.extend(self.errors);
        if self.broken.contains(&Path::new()) {
            response.data = Value::Null;
        }
        for path in &self.nulls {
            put_null(&mut response.data, path);
        }
    }
}

/// Whether what is so many lists within a type may be null.
fn is_nullable(ty: &str, lists: usize) -> bool {
    match (ty.strip_suffix('!'), lists) {
        (sure, 0) => sure.is_none(),
        (sure, lists) => {
            let list = sure.unwrap_or(ty);
            let item = list.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            item.is_none_or(|item| is_nullable(item, lists - 1))
        }
    }
}

/// Puts null at a place. Where there is no such place, there is null around it.
fn put_null(value: &mut Value, path: &[String]) {
    let Some((name, within)) = path.split_first() else {
        *value = Value::Null;
        return;
    };
    match value {
        Value::Object(fields) => {
            let field = fields.entry(Name::new(name)).or_default();
            put_null(field, within);
        }
        Value::List(items) => {
            let item = name.parse().ok().and_then(|at: usize| items.get_mut(at));
            if let Some(item) = item {
                put_null(item, within);
            }
        }
        Value::Null
        | Value::Number(_)
        | Value::String(_)
        | Value::Boolean(_)
        | Value::Binary(_)
        | Value::Enum(_) => {}
    }
}

/// The error with its place, by which it is known from those of a request as a whole.
fn with_path(error: ServerError, path: &QueryPathNode<'_>) -> ServerError {
    if !error.path.is_empty() {
        return error;
    }
    let nodes: Vec<_> = std::iter::once(path).chain(path.parents()).collect();
    let segments = nodes.iter().rev().map(|node| match node.segment {
        QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
        QueryPathSegment::Index(index) => PathSegment::Index(index),
    });
    error.with_path(segments.collect())
}

/// Asks for a field more of each object that may be without one.
pub(super) fn mark(document: &mut ExecutableDocument) {
    for fragment in document.fragments.values_mut() {
        mark_within(&mut fragment.node.selection_set.node);
    }
    match &mut document.operations {
        DocumentOperations::Single(operation) => {
            mark_within(&mut operation.node.selection_set.node);
        }
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                mark_within(&mut operation.node.selection_set.node);
            }
        }
    }
}

fn mark_within(selection: &mut SelectionSet) {
    for item in &mut selection.items {
        match &mut item.node {
            Selection::FragmentSpread(_) => {}
            Selection::InlineFragment(fragment) => {
                mark_within(&mut fragment.node.selection_set.node);
            }
            Selection::Field(field) => {
                let within = &mut field.node.selection_set;
                mark_within(&mut within.node);
                let is_sure = |item: &Positioned<Selection>| matches!(&item.node, Selection::Field(field) if field.node.directives.is_empty());
                if !within.node.items.is_empty() && !within.node.items.iter().any(is_sure) {
                    let more = here(within);
                    within.node.items.push(more);
                }
            }
        }
    }
}

/// The field more.
fn here(within: &Positioned<SelectionSet>) -> Positioned<Selection> {
    let field = Field {
        alias: Some(within.position_node(Name::new(HERE))),
        name: within.position_node(Name::new("__typename")),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: within.position_node(SelectionSet::default()),
    };
    within.position_node(Selection::Field(within.position_node(field)))
}

/// Its name in answers. Those that begin so are not for others.
const HERE: &str = "__here";

#[cfg(test)]
mod tests;
