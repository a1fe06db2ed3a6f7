//! The schema: what can be asked, told and watched by GraphQL. The same as by any other way, through the one service:
//! nothing here decides, and nothing is read but through [`Call`](crate::bridge::graphql::call::Call).
//!
//! A field that may fail may be null, so that what was asked for beside it is answered all the same.

mod actor;
mod cluster;
mod connection;
mod identity;
mod mutation;
mod operation;
mod query;
mod scalar;
mod subscription;

use selvedge_protocol::limits::{GRAPHQL_COST_MAX, GRAPHQL_NESTING_MAX};

use crate::bridge::graphql::Introspection;
use crate::bridge::graphql::nulls::Nulls;
use mutation::Mutation;
use query::Query;
pub(super) use scalar::{DateTime, UInt64};
use subscription::Subscription;

/// All of it.
pub(super) type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// Makes the schema.
pub(super) fn schema(introspection: Introspection) -> Schema {
    let schema = Schema::build(Query, Mutation, Subscription)
        .limit_complexity(GRAPHQL_COST_MAX)
        .limit_recursive_depth(GRAPHQL_NESTING_MAX)
        .extension(Nulls);
    match introspection {
        Introspection::On => schema.finish(),
        // Suggestions would tell the schema bit by bit.
        Introspection::Off => schema
            .disable_introspection()
            .disable_suggestions()
            .finish(),
    }
}
