//! REST over what the node does: one handler per method and path, each one command, query or subscription of the
//! service behind all ways in. The table says which; [`call`] is what a handler knows of its request.

mod accept;
mod actors;
mod answer;
mod body;
mod call;
mod cluster;
mod condition;
mod config;
mod description;
mod doc;
mod events;
mod identity;
mod openapi;
mod operations;
mod parameters;
mod schema;
mod sessions;
mod streams;
mod subjects;
mod table;

pub(super) use doc::Doc;
pub(super) use events::NO_BUFFERING;
pub(super) use streams::{Place, Streams};
pub(super) use table::Table;

/// The API, version 1, and its description.
pub(super) fn table(table: Table) -> Table {
    described(of_subjects(administered(of_actors(of_operations(table)))))
}

fn of_operations(table: Table) -> Table {
    table
        .post("/v1/operations", operations::submit, description::submit)
        .get("/v1/operations", operations::list, description::operations)
        .get(
            "/v1/operations/{id}",
            operations::get,
            description::operation_get,
        )
        .get(
            "/v1/operations/{id}/why",
            operations::why,
            description::operation_why,
        )
        .post(
            "/v1/operations/{id}/cancel",
            operations::cancel,
            description::cancel,
        )
        .post(
            "/v1/operations/{id}/pause",
            operations::pause,
            description::pause,
        )
        .post(
            "/v1/operations/{id}/resume",
            operations::resume,
            description::resume,
        )
        .post(
            "/v1/operations/{id}/retry",
            operations::retry,
            description::retry,
        )
        .post(
            "/v1/operations/{id}/signal",
            operations::signal,
            description::signal,
        )
        .get(
            "/v1/operations/{id}/events",
            events::operation,
            description::operation_events,
        )
}

fn of_actors(table: Table) -> Table {
    table
        .get("/v1/actors", actors::list, description::actors)
        .get(
            "/v1/actors/{kind}/{key}",
            actors::get,
            description::actor_get,
        )
        .post(
            "/v1/actors/{kind}/{key}/commands",
            actors::command,
            description::actor_command,
        )
        .post(
            "/v1/actors/{kind}/{key}/queries",
            actors::query,
            description::actor_query,
        )
        .get(
            "/v1/actors/{kind}/{key}/events",
            events::actor,
            description::actor_events,
        )
}

fn administered(table: Table) -> Table {
    table
        .get("/v1/sessions", sessions::list, description::sessions)
        .delete(
            "/v1/sessions/{id}",
            sessions::close,
            description::session_close,
        )
        .get("/v1/cluster", cluster::status, description::cluster_status)
        .get("/v1/cluster/plan", cluster::plan, description::cluster_plan)
        .get("/v1/cluster/why", cluster::why, description::cluster_why)
        .post(
            "/v1/cluster/nodes/{node}/drain",
            cluster::drain,
            description::node_drain,
        )
        .post(
            "/v1/cluster/nodes/{node}/undrain",
            cluster::undrain,
            description::node_undrain,
        )
        .delete(
            "/v1/cluster/nodes/{node}",
            cluster::remove,
            description::node_remove,
        )
        .get("/v1/config", config::get, description::config)
}

fn of_subjects(table: Table) -> Table {
    table
        .get("/v1/subjects", subjects::list, description::subjects)
        .get("/v1/subjects/{id}", subjects::get, description::subject_get)
        .get(
            "/v1/subjects/{id}/export",
            subjects::export,
            description::subject_export,
        )
        .post(
            "/v1/subjects/{id}/erase",
            subjects::erase,
            description::subject_erase,
        )
        .post(
            "/v1/subjects/{id}/consents",
            subjects::consent,
            description::subject_consent,
        )
}

fn described(table: Table) -> Table {
    table
        .get("/openapi.json", openapi::json, description::openapi)
        .get("/docs", openapi::page, description::docs)
        .get("/docs/page.js", openapi::script, description::docs_script)
        .get("/docs/page.css", openapi::style, description::docs_style)
}
