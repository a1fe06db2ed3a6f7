//! What a handler of GraphQL works with, beside the request itself.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures::future::{Ready, ready};
use selvedge_protocol::{ErrorCode, Failure};

use crate::bridge::Inside;
use crate::bridge::graphql::engine::Engine;
use crate::bridge::hold::Draining;
use crate::bridge::problem::Problem;
use crate::bridge::rest::Streams;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) inside: Inside,
    pub(super) engine: Arc<Engine>,
    /// Places for what lasts as long as its client.
    pub(super) streams: Streams,
    pub(super) draining: Draining,
}

impl FromRequest for Served {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let served = Self::of(request).ok_or_else(|| {
            let message = "the server has no node behind it";
            Problem::from(Failure::new(ErrorCode::Internal, message))
        });
        ready(served)
    }
}

impl Served {
    fn of(request: &HttpRequest) -> Option<Self> {
        Some(Self {
            inside: Inside::clone(request.app_data::<Data<Inside>>()?),
            engine: Arc::clone(request.app_data::<Data<Engine>>()?),
            streams: Streams::clone(request.app_data::<Data<Streams>>()?),
            draining: Draining::clone(request.app_data::<Data<Draining>>()?),
        })
    }
}
