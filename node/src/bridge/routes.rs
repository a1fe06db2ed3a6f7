//! Which path answers what: DESIGN 10.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::problem::Problem;
use crate::bridge::{health, websocket};

/// Adds all routes.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/livez", web::get().to(health::livez))
        .route("/readyz", web::get().to(health::readyz))
        .route("/healthz", web::get().to(health::readyz))
        .route("/version", web::get().to(health::version))
        .route("/metrics", web::get().to(health::metrics))
        .route("/ws", web::to(websocket::serve));
}

/// What answers where no route does.
pub(super) async fn nothing(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    let failure = Failure::new(
        ErrorCode::NotFound,
        format!(
            "nothing answers {} {path}; see /openapi.json",
            request.method()
        ),
    );
    Problem::from(failure).error_response()
}
