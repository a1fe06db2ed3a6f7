//! The page on which a person asks, tells and watches by GraphQL: files of our own, for browsers, on nodes that tell
//! their schema. It has no secrets, and does nothing that its reader's token may not do.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use actix_web::{HttpRequest, HttpResponse};

use crate::bridge::graphql::Introspection;
use crate::bridge::graphql::served::Served;
use crate::bridge::problem::Problem;
use crate::bridge::routes;

/// Answers `GET /graphql` to browsers.
pub(super) fn html() -> HttpResponse {
    let mut page = file("text/html; charset=utf-8", include_str!("page/page.html"));
    // What else is there is for others.
    page.headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    page
}

/// Answers `GET /graphql/page.js`.
pub(super) async fn script(request: HttpRequest, served: Served) -> Result<HttpResponse, Problem> {
    let script = include_str!("page/page.js");
    part(&request, &served, "text/javascript; charset=utf-8", script)
}

/// Answers `GET /graphql/page.css`.
pub(super) async fn style(request: HttpRequest, served: Served) -> Result<HttpResponse, Problem> {
    let style = include_str!("page/page.css");
    part(&request, &served, "text/css; charset=utf-8", style)
}

/// A part of the page, where there is one.
fn part(
    request: &HttpRequest,
    served: &Served,
    media: &'static str,
    body: &'static str,
) -> Result<HttpResponse, Problem> {
    match served.engine.introspection() {
        Introspection::On => Ok(file(media, body)),
        Introspection::Off => Err(routes::unknown(request)),
    }
}

fn file(media: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media))
        // It is of the binary, which may be another after the next start.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(body)
}
