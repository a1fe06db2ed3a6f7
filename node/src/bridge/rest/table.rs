//! The table of what answers which method of which path. From it follow the routes, what `Allow` names, the answers to
//! OPTIONS, and the list that the description is checked against.
//!
//! It decides nothing about a request but whether somebody answers it.

use std::collections::BTreeMap;

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Responder, Route, guard};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::problem::Problem;
use crate::bridge::rest::doc::Doc;

/// Paths, each with the methods that it answers.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<&'static str, Vec<Answering>>);

/// What answers a method.
struct Answering {
    method: Method,
    route: Route,
    doc: fn() -> Doc,
}

impl Table {
    /// Answers GET, and so HEAD.
    pub(crate) fn get<F, A>(self, path: &'static str, handler: F, doc: fn() -> Doc) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let either = guard::Any(guard::Get()).or(guard::Head());
        self.add(
            Method::GET,
            path,
            web::route().guard(either).to(handler),
            doc,
        )
    }

    pub(crate) fn post<F, A>(self, path: &'static str, handler: F, doc: fn() -> Doc) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add(Method::POST, path, web::post().to(handler), doc)
    }

    pub(crate) fn patch<F, A>(self, path: &'static str, handler: F, doc: fn() -> Doc) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add(Method::PATCH, path, web::patch().to(handler), doc)
    }

    pub(crate) fn put<F, A>(self, path: &'static str, handler: F, doc: fn() -> Doc) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add(Method::PUT, path, web::put().to(handler), doc)
    }

    pub(crate) fn delete<F, A>(self, path: &'static str, handler: F, doc: fn() -> Doc) -> Self
    where
        F: Handler<A>,
        A: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.add(Method::DELETE, path, web::delete().to(handler), doc)
    }

    fn add(mut self, method: Method, path: &'static str, route: Route, doc: fn() -> Doc) -> Self {
        let answering = Answering { method, route, doc };
        self.0.entry(path).or_default().push(answering);
        self
    }

    /// What it answers, but for HEAD and OPTIONS, which follow.
    #[cfg(test)]
    pub(crate) fn list(&self) -> Vec<(Method, &'static str)> {
        let each = self.0.iter();
        each.flat_map(|(path, routes)| routes.iter().map(|it| (it.method.clone(), *path)))
            .collect()
    }

    /// The same with what each takes and answers.
    pub(crate) fn documented(&self) -> Vec<(Method, &'static str, Doc)> {
        let each = self.0.iter();
        each.flat_map(|(path, routes)| {
            let document = |it: &Answering| (it.method.clone(), *path, (it.doc)());
            routes.iter().map(document)
        })
        .collect()
    }

    /// Adds the routes to a server.
    pub(crate) fn register(self, config: &mut ServiceConfig) {
        for (path, routes) in self.0 {
            let allow = allow(routes.iter().map(|it| &it.method));
            let mut resource = web::resource(path);
            for Answering { route, .. } in routes {
                resource = resource.route(route);
            }
            let otherwise = move |request: HttpRequest| {
                let allow = allow.clone();
                async move { otherwise(&request, allow) }
            };
            config.service(resource.default_service(web::to(otherwise)));
        }
    }
}

fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> String {
    let mut names = Vec::new();
    for method in methods {
        names.push(method.as_str());
        if method == Method::GET {
            names.push("HEAD");
        }
    }
    names.push("OPTIONS");
    names.join(", ")
}

/// The answer to a method that no handler of the path has.
fn otherwise(request: &HttpRequest, allow: String) -> Result<HttpResponse, Problem> {
    let header = HeaderValue::from_str(&allow).unwrap_or(HeaderValue::from_static("OPTIONS"));
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent()
            .insert_header((ALLOW, header))
            .finish());
    }
    let message = format!("{} is not answered here; use {allow}", request.method());
    let failure = Failure::new(ErrorCode::UnknownCommand, message);
    let problem = Problem::with_status(failure, StatusCode::METHOD_NOT_ALLOWED);
    Err(problem.header(ALLOW, header))
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
