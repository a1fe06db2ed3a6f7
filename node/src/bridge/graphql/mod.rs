//! GraphQL: queries and mutations over HTTP after the GraphQL-over-HTTP specification, subscriptions over
//! `graphql-transport-ws` and as server-sent events. [`routes`](crate::bridge::routes) adds its path.
//!
//! A request goes through [`request`] (its parameters), [`scan`], [`document`] and [`variables`] (what it may ask for
//! at all, before anything is done for it), the [`schema`], and a [`call`] per operation, which is all that resolvers
//! reach the node by. Everything is bounded, see the limits whose names begin with `GRAPHQL`.

mod call;
mod document;
mod engine;
mod error;
mod http;
mod media;
mod nulls;
mod page;
mod persisted;
mod request;
mod scan;
mod schema;
mod served;
mod socket;
mod stream;
mod types;
mod variables;

use actix_web::web::{self, ServiceConfig};

pub(super) use engine::Engine;

/// Whether clients may ask for the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introspection {
    On,
    Off,
}

/// Adds the path. The application's data has an [`Engine`].
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/graphql")
            .route(web::get().to(http::get))
            .route(web::post().to(http::post))
            .default_service(web::to(http::no_such_method)),
    );
    config.route("/graphql/page.js", web::get().to(page::script));
    config.route("/graphql/page.css", web::get().to(page::style));
}
