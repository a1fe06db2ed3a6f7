//! The console: the pages that operators open at `/`, built from `client/web/console` and part of the binary.
//!
//! Whoever comes gets them; what they show is asked for with a token, as everybody asks.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EntityTag, Header, IfNoneMatch};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rust_embed::RustEmbed;

use crate::bridge::problem::Problem;
use crate::bridge::routes;

/// What the build of the console leaves.
#[derive(RustEmbed)]
#[folder = "../client/web/console/dist"]
struct Files;

/// The page; all others are its parts.
const PAGE: &str = "index.html";

/// Adds the page and its parts.
pub(super) fn routes(config: &mut ServiceConfig) {
    let both = |path: &str, config: &mut ServiceConfig| {
        config.route(path, web::get().to(file));
        config.route(path, web::head().to(file));
    };
    both("/", config);
    for path in Files::iter().filter(|path| path != PAGE) {
        both(&format!("/{path}"), config);
    }
}

async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = match request.path().trim_start_matches('/') {
        "" => PAGE,
        path => path,
    };
    let Some(file) = Files::get(path) else {
        return Err(routes::unknown(&request));
    };
    let hash = BASE64_URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash());
    let tag = EntityTag::new_strong(hash);
    let is_known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|it| it.weak_eq(&tag)),
        Err(_) => false,
    };
    // Parts have the hash of what they hold in their name.
    let kept = match path.starts_with("assets/") {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let status = match is_known {
        true => StatusCode::NOT_MODIFIED,
        false => StatusCode::OK,
    };
    let mut answer = HttpResponse::build(status);
    answer
        .insert_header((CACHE_CONTROL, kept))
        .insert_header((ETAG, tag));
    Ok(match is_known {
        true => answer.finish(),
        false => answer
            .insert_header((CONTENT_TYPE, content_type(path)))
            .body(file.data.into_owned()),
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, kind)| kind) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_the_page_names_is_there_and_of_a_known_sort() {
        let page = Files::get(PAGE).unwrap().data;
        let page = std::str::from_utf8(&page).unwrap();
        let named: Vec<_> = page
            .split('"')
            .filter(|text| text.starts_with("./") || text.starts_with("/"))
            .map(|text| text.trim_start_matches("./").trim_start_matches('/'))
            .filter(|path| !path.is_empty())
            .collect();
        assert!(named.len() >= 2, "{named:?}");
        for path in named {
            assert!(
                Files::get(path).is_some(),
                "{path} is not there: build the console"
            );
        }
        for path in Files::iter() {
            assert_ne!(content_type(&path), "application/octet-stream", "{path}");
        }
    }
}
