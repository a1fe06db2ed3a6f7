//! `/v1/config`: with what the node was started. Secrets are no part of it: they are in files that it names.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::Call;
use crate::identity::{Action, Permission, Resource, authorize};

pub(crate) async fn get(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let read = Permission::new(Resource::Config, Action::Read);
    let principal = &call.caller.principal;
    authorize(principal, read).inspect_err(|_| call.inside.service.denied(principal, read))?;
    Ok(answer::json(StatusCode::OK, &*call.inside.config))
}
