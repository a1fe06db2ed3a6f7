//! Prepares requests and executes them: what HTTP, streams of events and WebSockets have in common.

use std::fmt;
use std::sync::Arc;

use actix_web::http::StatusCode;
use async_graphql::parser::parse_query;
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError, Value};
use futures::stream::{BoxStream, StreamExt, once};
use selvedge_protocol::limits::{GRAPHQL_COST_MAX, GRAPHQL_ERRORS_MAX, GRAPHQL_REQUEST_MS_MAX};
use selvedge_protocol::{ErrorCode, Failure};
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::time::{Duration, timeout_at};

use crate::bridge::Inside;
use crate::bridge::graphql::call::Call;
use crate::bridge::graphql::document::{check, chosen};
use crate::bridge::graphql::error::{CODE, server_error, with_code};
use crate::bridge::graphql::media::Media;
use crate::bridge::graphql::persisted::{Persisted, hash};
use crate::bridge::graphql::request::Parameters;
use crate::bridge::graphql::scan::scan;
use crate::bridge::graphql::schema::{Schema, schema};
use crate::bridge::graphql::types::Types;
use crate::bridge::graphql::{Introspection, nulls, variables};
use crate::gateway::Caller;

/// One per node.
pub(in crate::bridge) struct Engine {
    schema: Schema,
    types: Types,
    introspection: Introspection,
    persisted: Persisted,
}

/// A request that may be executed.
#[derive(Debug)]
pub(super) struct Prepared {
    request: Request,
    operation: OperationType,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was not executed, or not to its end.
    Refused(Vec<ServerError>, Cause),
    /// It was, with errors or without.
    Executed(Box<Response>),
}

/// Why a request was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is no GraphQL request.
    Malformed,
    /// Its document, its variables or the name of its operation.
    Document,
    /// Its time is over.
    Late,
}

impl Engine {
    pub(in crate::bridge) fn new(introspection: Introspection) -> Self {
        let schema = schema(introspection);
        let types = match Types::read(&schema.sdl()) {
            Ok(types) => types,
            Err(error) => panic!("the schema is GraphQL as the library writes it: {error}"),
        };
        Self {
            schema,
            types,
            introspection,
            persisted: Persisted::default(),
        }
    }

    /// Whether clients may ask for the schema.
    pub(super) const fn introspection(&self) -> Introspection {
        self.introspection
    }

    /// Checks a request, up to what the schema says of it.
    pub(super) fn prepare(&self, mut parameters: Parameters) -> Result<Prepared, Answer> {
        let document = self.document(&parameters)?;
        scan(&document).map_err(refused)?;
        let mut variables = parameters.take_variables();
        let mut parsed = parse_query(&document)
            .map_err(|error| Answer::Refused(vec![with_code(error.into())], Cause::Document))?;
        check(&parsed, self.introspection).map_err(refused)?;
        let name = parameters.operation_name.as_deref();
        let Some(chosen) = chosen(&parsed, name) else {
            return Err(refused(Failure::field(
                ErrorCode::Invalid,
                "operationName",
                "use the name of one of the document's operations",
            )));
        };
        let operation = chosen.ty;
        variables::check(&self.types, &parsed)
            .and_then(|()| variables::bind(&self.types, &parsed, chosen, &mut variables))
            .map_err(refused)?;
        if let Some(persisted) = parameters.persisted().and_then(|it| it.hash()) {
            self.persisted.keep(persisted, &document);
        }
        nulls::mark(&mut parsed);
        let mut request = Request::new(document);
        request.set_parsed_query(parsed);
        request.operation_name = parameters.operation_name;
        request.variables = variables;
        Ok(Prepared { request, operation })
    }

    /// The document of a request, or the one that it names.
    fn document(&self, parameters: &Parameters) -> Result<String, Answer> {
        let document = parameters.query.as_deref().filter(|it| !it.is_empty());
        let invalid = |field: &str, message: &str| {
            refused(Failure::field(ErrorCode::Invalid, field, message))
        };
        let Some(persisted) = parameters.persisted() else {
            return document.map(str::to_owned).ok_or_else(|| {
                let message = "send a GraphQL document";
                let failure = Failure::field(ErrorCode::Malformed, "query", message);
                Answer::Refused(vec![server_error(failure)], Cause::Malformed)
            });
        };
        if persisted.version != 1 {
            return Err(invalid(
                "extensions.persistedQuery.version",
                "use version 1",
            ));
        }
        let Some(named) = persisted.hash() else {
            return Err(invalid(
                "extensions.persistedQuery.sha256Hash",
                "use 64 hexadecimal digits",
            ));
        };
        match document {
            Some(document) if hash(document) == named => Ok(document.to_owned()),
            Some(_) => Err(invalid(
                "extensions.persistedQuery.sha256Hash",
                "provided sha does not match query",
            )),
            None => match self.persisted.find(&named) {
                Some(document) => Ok(String::from(&*document)),
                None => Err(persisted_unknown()),
            },
        }
    }

    /// Executes a query or mutation.
    pub(super) async fn execute(
        &self,
        prepared: Prepared,
        inside: &Inside,
        caller: Caller,
    ) -> Answer {
        if prepared.operation == OperationType::Subscription {
            return refused(Failure::field(
                ErrorCode::Invalid,
                "query",
                "a subscription needs Accept: text/event-stream, or a WebSocket of graphql-transport-ws",
            ));
        }
        let deadline = inside.clock.monotonic() + Duration::from_millis(GRAPHQL_REQUEST_MS_MAX);
        let call = Call::new(inside.clone(), caller, Some(deadline));
        let executing = self.schema.execute(prepared.request.data(call));
        match timeout_at(deadline, executing).await {
            Ok(response) => answer(response),
            Err(_) => Answer::Refused(vec![server_error(late())], Cause::Late),
        }
    }

    /// The answers to an operation of any sort, one after another.
    pub(super) fn stream(
        self: Arc<Self>,
        prepared: Prepared,
        inside: Inside,
        caller: Caller,
    ) -> BoxStream<'static, Answer> {
        match prepared.operation {
            OperationType::Query | OperationType::Mutation => {
                once(async move { self.execute(prepared, &inside, caller).await }).boxed()
            }
            OperationType::Subscription => {
                let call = Call::new(inside, caller, None);
                let answers = self.schema.execute_stream(prepared.request.data(call));
                answers.map(event).boxed()
            }
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.introspection).finish()
    }
}

impl Prepared {
    /// Whether it changes anything.
    pub(super) fn is_mutation(&self) -> bool {
        self.operation == OperationType::Mutation
    }
}

impl Answer {
    /// The status of an answer of this type. What is a GraphQL request is answered with 200 as
    /// `application/json`, which intermediaries may make as well.
    pub(super) fn status(&self, media: Media) -> StatusCode {
        match (self, media) {
            (Self::Executed(_), _) => StatusCode::OK,
            (Self::Refused(_, Cause::Malformed), _) => StatusCode::BAD_REQUEST,
            (Self::Refused(_, Cause::Document), Media::GraphqlResponse) => StatusCode::BAD_REQUEST,
            (Self::Refused(_, Cause::Document), Media::Json | Media::EventStream) => StatusCode::OK,
            (Self::Refused(_, Cause::Late), _) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Executed(response) => response.serialize(to),
            // Without `data`, which says that nothing was executed.
            Self::Refused(errors, _) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("errors", errors)?;
                map.end()
            }
        }
    }
}

/// A request that is refused for what it asks.
pub(super) fn refused(failure: Failure) -> Answer {
    Answer::Refused(vec![server_error(failure)], Cause::Document)
}

/// What the library made of a request. Errors of execution have the path of their field; others are of what comes
/// before it.
fn answer(mut response: Response) -> Answer {
    let is_before = response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty());
    let errors = std::mem::take(&mut response.errors).into_iter();
    let errors = errors.map(|error| match error.message == TOO_COMPLEX {
        true => server_error(too_costly()),
        false => with_code(error),
    });
    match is_before {
        true => Answer::Refused(errors.take(GRAPHQL_ERRORS_MAX).collect(), Cause::Document),
        false => {
            response.errors = errors.collect();
            Answer::Executed(Box::new(response))
        }
    }
}

/// The same of a subscription. Where its field has failed, and not a part of an event, there are no events, or none any
/// more.
fn event(response: Response) -> Answer {
    match answer(response) {
        Answer::Executed(response)
            if response.data == Value::Null
                && response.errors.iter().all(|error| error.path.len() == 1) =>
        {
            Answer::Refused(response.errors, Cause::Document)
        }
        answer => answer,
    }
}

/// In the words by which Apollo's clients know it.
fn persisted_unknown() -> Answer {
    let mut error = ServerError::new("PersistedQueryNotFound", None);
    let values = error.extensions.get_or_insert_default();
    values.set(CODE, "PERSISTED_QUERY_NOT_FOUND");
    Answer::Refused(vec![error], Cause::Document)
}

fn too_costly() -> Failure {
    Failure::field(
        ErrorCode::TooLarge,
        "query",
        format!(
            "the document may cost more than {GRAPHQL_COST_MAX}: a field is 1, one that is asked of an actor 10, a \
             list as many times its items as `first` says; ask for shorter pages or fewer fields"
        ),
    )
}

fn late() -> Failure {
    Failure::new(
        ErrorCode::DeadlineExceeded,
        format!(
            "the request took longer than {GRAPHQL_REQUEST_MS_MAX} ms; what it told may be done all the same: send \
             it again with the same ids, or ask"
        ),
    )
}

/// What the library says of a document that costs too much, without a word of what helps.
const TOO_COMPLEX: &str = "Query is too complex.";

#[cfg(test)]
mod tests {
    use async_graphql::PathSegment;

    use super::*;

    #[test]
    fn an_event_that_cannot_be_is_an_answer_and_a_field_that_fails_is_the_end() {
        let failed = |path: &[&str]| {
            let path = path.iter().map(|it| PathSegment::Field((*it).to_owned()));
            let error = ServerError::new("it failed", None).with_path(path.collect());
            event(Response::from_errors(vec![error]))
        };
        assert!(matches!(failed(&[]), Answer::Refused(..)));
        assert!(matches!(failed(&["watch"]), Answer::Refused(..)));
        assert!(matches!(failed(&["watch", "part"]), Answer::Executed(_)));
    }
}
