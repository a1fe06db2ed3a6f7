//! How things are named over all types, as Relay wants it: `operation/ID`, `actor/KIND/KEY` and `node/NAME`. Ids of
//! operations have no '/', so one is never taken for another, and either form is taken where an operation is meant.
//!
//! And the cursors of pages, which are opaque to clients.

use async_graphql::ID;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use selvedge_client::operation::Operation;
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, IdError, OperationId, time};

use crate::bridge::graphql::error::Refusal;

/// What a global id names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GlobalId {
    Operation(OperationId),
    Actor(ActorAddress),
    ClusterNode(String),
}

impl GlobalId {
    /// Reads an id of the argument `field`.
    pub(super) fn parse(field: &str, id: &str) -> Result<Self, Refusal> {
        let invalid = |error: IdError| Refusal::invalid(field, error.to_string());
        match id.split_once('/') {
            Some((OPERATION, id)) => Ok(Self::Operation(OperationId::new(id).map_err(invalid)?)),
            Some((ACTOR, address)) => Ok(Self::Actor(address.parse().map_err(invalid)?)),
            Some((NODE, name)) => Ok(Self::ClusterNode(name.to_owned())),
            Some(_) | None => Err(Refusal::invalid(
                field,
                "use an id as the field `id` of an operation, an actor or a node of the cluster has it",
            )),
        }
    }
}

/// The operation that a client names, by its own id or the global one.
pub(super) fn operation(field: &str, id: &str) -> Result<OperationId, Refusal> {
    let own = id
        .strip_prefix(OPERATION)
        .and_then(|rest| rest.strip_prefix('/'));
    OperationId::new(own.unwrap_or(id)).map_err(|error| Refusal::invalid(field, error.to_string()))
}

pub(super) fn actor_kind(text: &str) -> Result<ActorKind, Refusal> {
    ActorKind::new(text).map_err(|error| Refusal::invalid("kind", error.to_string()))
}

pub(super) fn actor(kind: &str, key: &str) -> Result<ActorAddress, Refusal> {
    Ok(ActorAddress {
        kind: actor_kind(kind)?,
        key: ActorKey::new(key).map_err(|error| Refusal::invalid("key", error.to_string()))?,
    })
}

pub(super) fn operation_id(id: &OperationId) -> ID {
    ID(format!("{OPERATION}/{id}"))
}

pub(super) fn actor_id(address: &ActorAddress) -> ID {
    ID(format!("{ACTOR}/{address}"))
}

pub(super) fn node_id(name: &str) -> ID {
    ID(format!("{NODE}/{name}"))
}

/// A place in a list, as the inside knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) String);

impl Cursor {
    /// Where a list of operations goes on after this one.
    pub(super) fn of_operation(operation: &Operation) -> Self {
        let created_ms = time::parse(&operation.created_at).unwrap_or_default();
        Self(format!("{created_ms}.{}", operation.id))
    }

    pub(super) fn encoded(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// Reads the argument `after`.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Self)
            .ok_or_else(|| {
                Refusal::invalid(
                    "after",
                    "use the cursor of an edge, or the endCursor of a page",
                )
            })
    }
}

const OPERATION: &str = "operation";
const ACTOR: &str = "actor";
const NODE: &str = "node";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_one_id_that_leads_back_to_it() {
        let operation_ = OperationId::new("actor:x").unwrap();
        let address = actor("room", "a/b").unwrap();
        for (id, named) in [
            (operation_id(&operation_), GlobalId::Operation(operation_)),
            (actor_id(&address), GlobalId::Actor(address)),
            (
                node_id("node-1"),
                GlobalId::ClusterNode("node-1".to_owned()),
            ),
        ] {
            assert_eq!(GlobalId::parse("id", &id).ok(), Some(named));
        }
        for wrong in [
            "",
            "a1",
            "operation/",
            "operation/a b",
            "actor/room",
            "room/42",
            "x/y/z",
        ] {
            let refusal = GlobalId::parse("id", wrong).unwrap_err();
            assert_eq!(refusal.0.field.as_deref(), Some("id"), "{wrong}");
        }
    }

    #[test]
    fn an_operation_is_known_by_both_its_ids() {
        for id in ["a1", "operation/a1"] {
            assert_eq!(operation("id", id).ok().unwrap().as_str(), "a1");
        }
        assert_eq!(
            operation("id", "operation").ok().unwrap().as_str(),
            "operation"
        );
        assert!(operation("id", "a/b").is_err());
    }

    #[test]
    fn cursors_are_read_as_they_were_written() {
        let cursor = Cursor("17.a1".to_owned());
        assert_eq!(Cursor::parse(&cursor.encoded()).ok(), Some(cursor));
        for wrong in ["!", "17.a1", "/w=="] {
            let refusal = Cursor::parse(wrong).unwrap_err();
            assert_eq!(refusal.0.field.as_deref(), Some("after"), "{wrong}");
        }
    }
}
