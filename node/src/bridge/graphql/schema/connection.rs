//! Pages of lists, in the form that Relay gives them.

use async_graphql::connection::PageInfo;
use async_graphql::{Object, SimpleObject};

use crate::bridge::graphql::schema::actor::Actor;
use crate::bridge::graphql::schema::identity::Cursor;
use crate::bridge::graphql::schema::operation::Operation;

/// A page, with the cursor of each item.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<(Cursor, T)>,
    /// Whether something was asked for that is before it.
    pub(super) has_previous: bool,
    /// Where the next page begins; `None` after the last. A page whose filter found little may end after its last
    /// item, so that the next one does not look at the same again.
    pub(super) next: Option<Cursor>,
}

impl<T> Page<T> {
    fn info(&self) -> PageInfo {
        let cursor = |item: Option<&(Cursor, T)>| item.map(|(cursor, _)| cursor.encoded());
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.next.is_some(),
            start_cursor: cursor(self.items.first()),
            end_cursor: match &self.next {
                Some(next) => Some(next.encoded()),
                None => cursor(self.items.last()),
            },
        }
    }
}

/// A page of operations.
#[Object(name = "OperationConnection")]
impl Page<Operation> {
    async fn page_info(&self) -> PageInfo {
        self.info()
    }

    async fn edges(&self) -> Vec<OperationEdge> {
        let items = self.items.iter();
        items
            .map(|(cursor, node)| OperationEdge {
                cursor: cursor.encoded(),
                node: node.clone(),
            })
            .collect()
    }

    /// The items without their cursors.
    async fn nodes(&self) -> Vec<Operation> {
        self.items.iter().map(|(_, node)| node.clone()).collect()
    }
}

/// An operation in a page.
#[derive(Debug, SimpleObject)]
struct OperationEdge {
    cursor: String,
    node: Operation,
}

/// A page of actors.
#[Object(name = "ActorConnection")]
impl Page<Actor> {
    async fn page_info(&self) -> PageInfo {
        self.info()
    }

    async fn edges(&self) -> Vec<ActorEdge> {
        let items = self.items.iter();
        items
            .map(|(cursor, node)| ActorEdge {
                cursor: cursor.encoded(),
                node: node.clone(),
            })
            .collect()
    }

    /// The items without their cursors.
    async fn nodes(&self) -> Vec<Actor> {
        self.items.iter().map(|(_, node)| node.clone()).collect()
    }
}

/// An actor in a page.
#[derive(Debug, SimpleObject)]
struct ActorEdge {
    cursor: String,
    node: Actor,
}
