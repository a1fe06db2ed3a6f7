//! The description of one method of one path, for OpenAPI: what it takes, what it answers, and how it refuses. The table
//! of routes has one beside each handler.

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};

/// A description in the making.
pub(crate) struct Doc {
    operation: OperationBuilder,
    /// Names and schemas of all types that it refers to.
    schemas: Vec<(String, RefOr<Schema>)>,
    statuses: Vec<u16>,
}

/// How an operation refuses, by status; each is a problem.
const REFUSALS: [(u16, &str); 14] = [
    (
        400,
        "The request cannot be read, or is of a version that is not spoken.",
    ),
    (401, "No valid credentials."),
    (403, "The principal may not do this."),
    (404, "There is no such thing."),
    (
        406,
        "The client accepts nothing that this path answers with.",
    ),
    (408, "The body did not come in time."),
    (409, "It is in conflict with what is there."),
    (412, "A precondition does not hold."),
    (413, "Something is larger than it may be."),
    (
        415,
        "The body is of another type or encoding than is taken.",
    ),
    (
        422,
        "A field, parameter or header is not valid; `field` names it.",
    ),
    (429, "A limit is used up; come back after `Retry-After`."),
    (
        503,
        "Not available at the moment; come back after `Retry-After`.",
    ),
    (504, "The request waited too long for its answer."),
];

impl Doc {
    /// Of the API: for principals, in a version and a tenant.
    pub(crate) fn api(id: &str, tag: &str, summary: &str) -> Self {
        Self::open(id, tag, summary)
            .security()
            .header(
                "Selvedge-Tenant",
                text("^[a-z0-9-]{1,63}$"),
                "The tenant to act in.",
            )
            .header(
                "Selvedge-Version",
                one_of(&["1"]),
                "The version of the API that is meant.",
            )
            .refuses(&[400, 401, 403, 406, 422, 429, 503, 504])
    }

    /// For everybody.
    pub(crate) fn open(id: &str, tag: &str, summary: &str) -> Self {
        Self {
            operation: OperationBuilder::new()
                .operation_id(Some(id))
                .tag(tag)
                .summary(Some(summary)),
            schemas: Vec::new(),
            statuses: Vec::new(),
        }
    }

    fn security(mut self) -> Self {
        let bearer = SecurityRequirement::new("bearer", Vec::<String>::new());
        self.operation = self.operation.security(bearer);
        self
    }

    pub(crate) fn path(self, name: &str, schema: ObjectBuilder, what: &str) -> Self {
        self.parameter(ParameterIn::Path, name, schema, what)
    }

    pub(crate) fn query(self, name: &str, schema: ObjectBuilder, what: &str) -> Self {
        self.parameter(ParameterIn::Query, name, schema, what)
    }

    /// A parameter without which nothing is answered.
    pub(crate) fn needs(mut self, name: &str, schema: ObjectBuilder, what: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::True)
            .description(Some(what))
            .schema(Some(schema.build()));
        self.operation = self.operation.parameter(parameter);
        self
    }

    pub(crate) fn header(self, name: &str, schema: ObjectBuilder, what: &str) -> Self {
        self.parameter(ParameterIn::Header, name, schema, what)
    }

    fn parameter(
        mut self,
        place: ParameterIn,
        name: &str,
        schema: ObjectBuilder,
        what: &str,
    ) -> Self {
        let required = match place {
            ParameterIn::Path => Required::True,
            _ => Required::False,
        };
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(what))
            .schema(Some(schema.build()));
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Takes this in JSON.
    pub(crate) fn body<T: ToSchema>(self, required: Required, example: Value) -> Self {
        let schema = self.reference::<T>();
        let (mut doc, reference) = schema;
        let content = ContentBuilder::new()
            .schema(Some(reference))
            .example(Some(example))
            .build();
        let body = RequestBodyBuilder::new()
            .required(Some(required))
            .content("application/json", content)
            .build();
        doc.operation = doc.operation.request_body(Some(body));
        doc.refuses(&[408, 413, 415])
    }

    /// Takes these members, as forms have them.
    pub(crate) fn form_of(mut self, needed: &[(&str, &str)], optional: &[(&str, &str)]) -> Self {
        let mut schema = ObjectBuilder::new().schema_type(Type::Object);
        for (name, what) in needed.iter().chain(optional) {
            let text = ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(*what));
            schema = schema.property(*name, text.build());
        }
        for (name, _) in needed {
            schema = schema.required(*name);
        }
        let content = ContentBuilder::new().schema(Some(schema.build())).build();
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content("application/x-www-form-urlencoded", content)
            .build();
        self.operation = self.operation.request_body(Some(body));
        self
    }

    /// Answers with this in JSON.
    pub(crate) fn answers<T: ToSchema>(self, status: u16, what: &str, example: Value) -> Self {
        let (doc, reference) = self.reference::<T>();
        let content = ContentBuilder::new()
            .schema(Some(reference))
            .example(Some(example))
            .build();
        let response = common(ResponseBuilder::new().description(what));
        let response = response.content("application/json", content);
        doc.response(status, response.build())
    }

    /// Refuses with this in JSON, or with a problem what is refused before it is known what it asks for.
    pub(crate) fn fails<T: ToSchema>(self, status: u16, what: &str, example: Value) -> Self {
        let (doc, reference) = self.reference::<T>();
        let content = ContentBuilder::new()
            .schema(Some(reference))
            .example(Some(example))
            .build();
        let response = common(ResponseBuilder::new().description(what))
            .content("application/json", content)
            .content("application/problem+json", problem());
        doc.response(status, response.build())
    }

    /// The same, with these headers beside.
    pub(crate) fn answers_with<T: ToSchema>(
        self,
        status: u16,
        what: &str,
        example: Value,
        headers: &[(&str, &str)],
    ) -> Self {
        let (doc, reference) = self.reference::<T>();
        let content = ContentBuilder::new()
            .schema(Some(reference))
            .example(Some(example))
            .build();
        let mut response = common(ResponseBuilder::new().description(what));
        for (name, what) in headers {
            response = response.header(*name, header(what));
        }
        doc.response(
            status,
            response.content("application/json", content).build(),
        )
    }

    /// Answers with nothing but this.
    pub(crate) fn says(self, status: u16, what: &str) -> Self {
        let response = common(ResponseBuilder::new().description(what));
        self.response(status, response.build())
    }

    /// Answers with text of this type.
    pub(crate) fn text(self, status: u16, what: &str, media: &str) -> Self {
        let content = ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
            .build();
        let response = common(ResponseBuilder::new().description(what));
        self.response(status, response.content(media, content).build())
    }

    /// Refuses with these as well.
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        for (status, what) in REFUSALS {
            if !statuses.contains(&status) || self.statuses.contains(&status) {
                continue;
            }
            let content = problem();
            let mut response = common(ResponseBuilder::new().description(what));
            match status {
                401 => {
                    response = response.header("WWW-Authenticate", header("How to authenticate."));
                }
                429 | 503 => response = response.header("Retry-After", header("Seconds.")),
                _ => {}
            }
            let response = response
                .content("application/problem+json", content)
                .build();
            self = self.response(status, response);
        }
        self
    }

    fn response(mut self, status: u16, response: Response) -> Self {
        self.statuses.push(status);
        self.operation = self.operation.response(status.to_string(), response);
        self
    }

    /// What it says, and the types that it says it with.
    pub(crate) fn end(self) -> (Operation, Vec<(String, RefOr<Schema>)>) {
        (self.operation.build(), self.schemas)
    }

    fn reference<T: ToSchema>(mut self) -> (Self, Ref) {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        (self, Ref::from_schema_name(name))
    }
}

/// What every answer says.
fn common(response: ResponseBuilder) -> ResponseBuilder {
    response
        .header("Selvedge-Version", header("The version of the API."))
        .header(
            "Selvedge-Request-Id",
            header(
                "By what the node's log has the request: the trace of `traceparent`, or a new id.",
            ),
        )
}

fn problem() -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build()
}

fn header(what: &str) -> utoipa::openapi::header::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .description(Some(what))
        .build()
}

/// Text of this pattern.
pub(crate) fn text(pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
}

/// Text of a length.
pub(crate) fn chars(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(min))
        .max_length(Some(max))
}

/// One of some texts.
pub(crate) fn one_of(values: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values.iter().copied()))
}

/// A whole number.
pub(crate) fn number(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(min))
        .maximum(Some(max))
}
