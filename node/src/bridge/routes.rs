//! Which path answers what: DESIGN 10.

use actix_web::HttpRequest;
use actix_web::web::{self, ServiceConfig};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::problem::Problem;
use crate::bridge::rest::{self, Table};
use crate::bridge::{console, graphql, health, websocket};

/// Adds all routes.
pub(super) fn routes(config: &mut ServiceConfig) {
    table().register(config);
    config.configure(console::routes);
    config.configure(graphql::routes);
    config.route("/ws", web::to(websocket::serve));
}

/// What is answered by a request and its answer.
pub(super) fn table() -> Table {
    let health = Table::default()
        .get("/livez", health::livez, health::livez_doc)
        .get("/readyz", health::readyz, health::readyz_doc)
        .get("/healthz", health::healthz, health::healthz_doc)
        .get("/version", health::version, health::version_doc)
        .get("/metrics", health::metrics, health::metrics_doc);
    rest::table(health)
}

/// What answers where no route does.
pub(super) async fn nothing(request: HttpRequest) -> Result<&'static str, Problem> {
    Err(unknown(&request))
}

/// That nothing is at the path of a request.
pub(super) fn unknown(request: &HttpRequest) -> Problem {
    let path = request.path();
    let message = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => {
            format!("nothing answers at {path}; paths have no slash at their end: {shorter}")
        }
        Some(_) | None => format!("nothing answers at {path}; see /openapi.json"),
    };
    Failure::new(ErrorCode::NotFound, message).into()
}
