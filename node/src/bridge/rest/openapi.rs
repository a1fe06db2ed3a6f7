//! The description of the API, OpenAPI 3.1, made from the table of routes; and a page that shows it and lets it be
//! tried, from files of our own.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use utoipa::ToSchema;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContactBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Paths,
};

use crate::bridge::problem::Told;
use crate::bridge::rest::doc::Doc;
use crate::bridge::routes;

/// `/openapi.json`.
pub(crate) async fn json() -> HttpResponse {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let described = describe(routes::table().documented());
        described.to_json().map(Bytes::from).unwrap_or_default()
    });
    file("application/json", text.clone())
}

/// `/docs`.
pub(crate) async fn page() -> HttpResponse {
    file("text/html; charset=utf-8", include_str!("docs/page.html"))
}

pub(crate) async fn script() -> HttpResponse {
    file(
        "text/javascript; charset=utf-8",
        include_str!("docs/page.js"),
    )
}

pub(crate) async fn style() -> HttpResponse {
    file("text/css; charset=utf-8", include_str!("docs/page.css"))
}

fn file(media: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media))
        // It is of the binary, which may be another after the next start.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(body.into())
}

/// The description of these methods of these paths.
pub(crate) fn describe(routes: Vec<(Method, &'static str, Doc)>) -> OpenApi {
    let mut paths = Paths::new();
    let mut schemas = BTreeMap::new();
    for (method, path, doc) in routes {
        let (operation, named) = doc.end();
        schemas.extend(named);
        let method = match method {
            Method::POST => HttpMethod::Post,
            Method::PUT => HttpMethod::Put,
            Method::PATCH => HttpMethod::Patch,
            Method::DELETE => HttpMethod::Delete,
            // The table knows no others.
            _ => HttpMethod::Get,
        };
        let item = PathItem::new(method, operation);
        match paths.paths.get_mut(path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(path.to_owned(), item);
            }
        }
    }
    let mut problem = Vec::new();
    Told::schemas(&mut problem);
    schemas.extend(problem);
    schemas.insert(
        Told::name().into_owned(),
        <Told as utoipa::PartialSchema>::schema(),
    );
    let mut components = Components::new();
    components.schemas = schemas.into_iter().collect();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token of a principal."))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let info = InfoBuilder::new()
        .title("Selvedge")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .contact(Some(
            ContactBuilder::new()
                .name(Some("The Selvedge project"))
                .build(),
        ))
        .build();
    let tags =
        TAGS.map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build());
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

const ABOUT: &str = "Durable actors and operations over HTTP. An answer of success to a command is committed and durable. \
     Errors are problems (RFC 9457) with a stable `code`. Times are RFC 3339, UTC.";

const TAGS: [(&str, &str); 6] = [
    ("operations", "Durable jobs."),
    ("actors", "Durable state machines with one owner each."),
    ("sessions", "Relations of clients to this node."),
    ("cluster", "The nodes, for an administrator."),
    ("limits", "What tenants and principals may use."),
    ("node", "How this node is, for everybody."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn described() -> Value {
        serde_json::to_value(describe(routes::table().documented())).unwrap()
    }

    /// Every value within a value.
    fn walk<'a>(value: &'a Value, seen: &mut impl FnMut(&'a Value)) {
        seen(value);
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, seen)),
            Value::Object(fields) => fields.values().for_each(|item| walk(item, seen)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let described = described();
        assert_eq!(described["openapi"], "3.1.0");
        let routes: BTreeSet<_> = routes::table()
            .list()
            .into_iter()
            .map(|(method, path)| (method.as_str().to_lowercase(), path.to_owned()))
            .collect();
        let paths = described["paths"].as_object().unwrap();
        let documented: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (method.clone(), path.clone()))
            })
            .collect();
        assert_eq!(routes, documented);
        assert!(routes.len() > 30, "{routes:?}");
    }

    #[test]
    fn every_part_of_a_path_is_a_parameter_and_every_operation_has_a_name() {
        let described = described();
        let mut names = BTreeSet::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} is there twice");
                let none = Vec::new();
                let parameters = operation["parameters"].as_array().unwrap_or(&none);
                let in_path: BTreeSet<_> = parameters
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                let parts: BTreeSet<_> = path
                    .split('/')
                    .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                    .collect();
                assert_eq!(in_path, parts, "{path}");
                let is_api = path.starts_with("/v1/");
                // Who has no token yet comes to these; who asks about one shows another.
                let is_open = ["/v1/login", "/v1/password"].contains(&path.as_str());
                let is_closed = is_api && !is_open || path == "/oauth/introspect";
                assert_eq!(operation["security"].is_array(), is_closed, "{path}");
                // OAuth has refusals of its own.
                if path.starts_with("/oauth/") {
                    continue;
                }
                let may_refuse = is_api || path.starts_with("/.well-known/");
                let responses = operation["responses"].as_object().unwrap();
                for (status, response) in responses {
                    let is_refusal = may_refuse && status.starts_with(['4', '5']);
                    let content = &response["content"]["application/problem+json"];
                    assert_eq!(content.is_object(), is_refusal, "{path} {status}");
                }
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let described = described();
        let mut count = 0;
        walk(&described, &mut |value| {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return;
            };
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(
                described.pointer(pointer).is_some(),
                "{reference} leads nowhere"
            );
            count += 1;
        });
        assert!(count > 100, "{count}");
    }
}
