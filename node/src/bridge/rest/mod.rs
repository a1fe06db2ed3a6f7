//! REST over what the node does: one handler per method and path, each one command, query or subscription of the
//! service behind all ways in. The table says which; [`call`] is what a handler knows of its request.

mod accept;
mod actors;
mod answer;
mod audit;
mod body;
mod call;
mod cluster;
mod condition;
mod config;
mod description;
mod directory;
mod directory_doc;
mod doc;
mod events;
mod identity;
mod limits;
mod login;
mod oauth;
mod openapi;
mod operations;
mod parameters;
mod schema;
mod sessions;
mod streams;
mod subjects;
mod table;
mod users;
mod users_doc;

pub(super) use doc::Doc;
pub(super) use events::NO_BUFFERING;
pub(super) use streams::{Place, Streams};
pub(super) use table::Table;

/// The API, version 1, and its description.
pub(super) fn table(table: Table) -> Table {
    let table = administered(of_actors(of_operations(table)));
    described(of_subjects(oauth::of_oauth(of_users(of_directory(table)))))
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
        .get("/v1/audit", audit::list, description::audit)
        .post("/v1/audit/verify", audit::verify, description::audit_verify)
        .get("/v1/limits", limits::list, limits::of_list)
        .get("/v1/limits/top", limits::top, limits::of_top)
        .get("/v1/limits/{scope}/{name}", limits::get, limits::of_get)
        .put("/v1/limits/{scope}/{name}", limits::set, limits::of_set)
        .delete(
            "/v1/limits/{scope}/{name}",
            limits::delete,
            limits::of_delete,
        )
}

fn of_directory(table: Table) -> Table {
    let (role, key) = ("/v1/roles/{name}", "/v1/api-keys/{id}");
    table
        .get("/v1/roles", directory::roles, directory_doc::roles)
        .get(role, directory::role, directory_doc::role)
        .put(role, directory::set_role, directory_doc::set_role)
        .delete(role, directory::remove_role, directory_doc::remove_role)
        .get("/v1/api-keys", directory::api_keys, directory_doc::api_keys)
        .post(
            "/v1/api-keys",
            directory::make_api_key,
            directory_doc::make_api_key,
        )
        .get(key, directory::api_key, directory_doc::api_key)
        .delete(
            key,
            directory::remove_api_key,
            directory_doc::remove_api_key,
        )
        .post(
            "/v1/api-keys/{id}/revoke",
            directory::revoke_api_key,
            directory_doc::revoke_api_key,
        )
        .delete(
            "/v1/sessions",
            directory::close_sessions,
            directory_doc::close_sessions,
        )
}

fn of_users(table: Table) -> Table {
    let (user, password) = ("/v1/users/{id}", "/v1/users/{id}/password");
    table
        .get("/v1/users", users::users, users_doc::users)
        .post("/v1/users", users::create, users_doc::create)
        .get(user, users::user, users_doc::user)
        .patch(user, users::change, users_doc::change)
        .delete(user, users::remove, users_doc::remove)
        .put(password, users::set_password, users_doc::set_password)
        .get("/v1/users/{id}/logins", users::logins, users_doc::logins)
        .delete(
            "/v1/users/{id}/logins/{login}",
            users::end_login,
            users_doc::end_login,
        )
        .post("/v1/login", login::log_in, users_doc::log_in)
        .post(
            "/v1/password",
            login::change_password,
            users_doc::change_password,
        )
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
