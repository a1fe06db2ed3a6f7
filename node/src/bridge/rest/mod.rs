//! REST over what the node does: one handler per method and path, each one command, query or subscription of the
//! service behind all ways in. The table says which; [`call`] is what a handler knows of its request.

mod accept;
mod actors;
mod answer;
mod body;
mod call;
mod cluster;
mod config;
mod events;
mod identity;
mod operations;
mod parameters;
mod sessions;
mod streams;
mod table;

pub(super) use streams::Streams;
pub(super) use table::Table;

/// The API, version 1.
pub(super) fn table(table: Table) -> Table {
    table
        .post("/v1/operations", operations::submit)
        .get("/v1/operations", operations::list)
        .get("/v1/operations/{id}", operations::get)
        .get("/v1/operations/{id}/why", operations::why)
        .post("/v1/operations/{id}/cancel", operations::cancel)
        .post("/v1/operations/{id}/pause", operations::pause)
        .post("/v1/operations/{id}/resume", operations::resume)
        .post("/v1/operations/{id}/retry", operations::retry)
        .post("/v1/operations/{id}/signal", operations::signal)
        .get("/v1/operations/{id}/events", events::operation)
        .get("/v1/actors", actors::list)
        .get("/v1/actors/{kind}/{key}", actors::get)
        .post("/v1/actors/{kind}/{key}/commands", actors::command)
        .post("/v1/actors/{kind}/{key}/queries", actors::query)
        .get("/v1/actors/{kind}/{key}/events", events::actor)
        .get("/v1/sessions", sessions::list)
        .delete("/v1/sessions/{id}", sessions::close)
        .get("/v1/cluster", cluster::status)
        .get("/v1/cluster/plan", cluster::plan)
        .get("/v1/cluster/why", cluster::why)
        .post("/v1/cluster/nodes/{node}/drain", cluster::drain)
        .post("/v1/cluster/nodes/{node}/undrain", cluster::undrain)
        .delete("/v1/cluster/nodes/{node}", cluster::remove)
        .get("/v1/config", config::get)
}
