//! `/v1/subjects`: the persons that data is about. What is stored about one is handed out or erased here, and what they
//! consent to is recorded.

use std::collections::VecDeque;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::Payload;
use bytes::Bytes;
use futures::stream;
use selvedge_cluster::actor::Identity;
use selvedge_protocol::frame::{Consistency, Success};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, Failure, SubjectId, Target};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::bridge::Inside;
use crate::bridge::problem::Problem;
use crate::bridge::rest::answer;
use crate::bridge::rest::call::{Call, wrong};
use crate::gateway::{Caller, CommandCall, CommandPayload, QueryCall, SUBJECT};

/// The body of a consent.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConsentSubmission)]
pub(crate) struct Consent {
    /// What the data is used for.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$")]
    purpose: String,
    /// `false`: it is withdrawn.
    granted: bool,
    /// How it was given.
    #[serde(default)]
    #[schema(max_length = 1024)]
    note: String,
}

/// The body of `erase`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What came of an erasure, as a page of it says.
#[derive(Debug, Deserialize)]
struct Erased {
    erased: String,
    actors: u64,
    cursor: Option<String>,
}

/// A page of an export. Its items are handed through as they are.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    cursor: Option<Value>,
}

pub(crate) async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let parameters = call.parameters(&["cursor", "limit"])?;
    let limit = parameters.limit()?.min(SUBJECTS_LISTED_MAX);
    let after = parameters.text("cursor").map(SubjectId::new).transpose();
    let after = after.map_err(|error| wrong("cursor", &error))?;
    let body = json!({ "after": after, "limit": limit });
    let success = ask(&call.inside, &call.caller, of("*")?, "list", &body).await?;
    let page: Value = serde_json::from_slice(&success.body).map_err(|_| answer::unreadable())?;
    let next = page["cursor"]
        .as_str()
        .map(|next| parameters.with_cursor(next));
    Ok(answer::page(&call, success.body, next.as_deref()))
}

pub(crate) async fn get(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let success = ask(
        &call.inside,
        &call.caller,
        subject(&call)?,
        "get",
        &json!({}),
    )
    .await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

pub(crate) async fn consent(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let consent: Consent = call.body(payload).await?;
    let body = serde_json::to_value(consent).map_err(|_| answer::unreadable())?;
    let success = tell(&call, subject(&call)?, "consent", &body).await?;
    Ok(answer::text(StatusCode::OK, success.body))
}

/// Goes on until all is cleared: should the client leave, a repeat goes on from there.
pub(crate) async fn erase(call: Call, payload: Payload) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let _: Option<Nothing> = call.optional(payload).await?;
    let target = subject(&call)?;
    let mut first = None;
    let (mut actors, mut after) = (0, None);
    loop {
        let body = json!({ "after": after });
        let success = tell(&call, target.clone(), "erase", &body).await?;
        let page: Erased =
            serde_json::from_slice(&success.body).map_err(|_| answer::unreadable())?;
        actors += page.actors;
        let erased = first.get_or_insert(page.erased);
        if page.cursor.is_none() {
            let body = json!({ "subject": call.part("id")?, "erased": erased, "actors": actors });
            return Ok(answer::json(StatusCode::OK, body));
        }
        after = page.cursor;
    }
}

/// One document, made of as many queries as it takes while it is read.
pub(crate) async fn export(call: Call) -> Result<HttpResponse, Problem> {
    call.parameters(&[])?;
    let target = subject(&call)?;
    let mut source = Source {
        inside: call.inside.get_ref().clone(),
        caller: call.caller.clone(),
        target,
        cursor: None,
        ready: VecDeque::new(),
        is_first: true,
        is_over: false,
    };
    // What is refused is so with its status, before anything is sent.
    let head = json!({ "subject": call.part("id")?, "tenant": call.caller.principal.tenant });
    let head = head.to_string();
    let head = format!("{},\"items\":[", head.trim_end_matches('}'));
    source.ready.push_back(Bytes::from(head));
    source.read().await?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"subject.json\""))
        .streaming(stream::unfold(source, |mut source| async move {
            let next = source.next().await.transpose()?;
            Some((next, source))
        })))
}

/// An export as far as it was read.
struct Source {
    inside: Inside,
    caller: Caller,
    target: Target,
    cursor: Option<Value>,
    ready: VecDeque<Bytes>,
    is_first: bool,
    is_over: bool,
}

impl Source {
    /// An error cuts the document short, so that nobody takes it for whole.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Ok(Some(text));
            }
            if self.is_over {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let body = json!({ "cursor": self.cursor });
        let target = self.target.clone();
        let success = ask(&self.inside, &self.caller, target, "export", &body).await?;
        let page: Page<'_> = serde_json::from_slice(&success.body).map_err(|error| {
            Failure::new(selvedge_protocol::ErrorCode::Internal, error.to_string())
        })?;
        let mut text = Vec::new();
        for item in page.items {
            if !std::mem::take(&mut self.is_first) {
                text.push(b',');
            }
            text.extend_from_slice(item.get().as_bytes());
        }
        self.cursor = page.cursor;
        if self.cursor.is_none() {
            text.extend_from_slice(b"]}");
            self.is_over = true;
        }
        if !text.is_empty() {
            self.ready.push_back(text.into());
        }
        Ok(())
    }
}

async fn ask(
    inside: &Inside,
    caller: &Caller,
    target: Target,
    name: &str,
    body: &Value,
) -> Result<Success, Failure> {
    let query = QueryCall {
        target,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        consistency: Consistency::Linearizable,
        deadline: None,
    };
    inside.query(caller, query).await
}

async fn tell(call: &Call, target: Target, name: &str, body: &Value) -> Result<Success, Failure> {
    let command = CommandCall {
        target,
        // A repeat does no harm.
        identity: Identity::Natural,
        name: name.to_owned(),
        body: Bytes::from(body.to_string()),
        payload: CommandPayload::None,
        if_version: None,
        deadline: call.deadline(),
    };
    call.inside.command(&call.caller, command).await
}

fn subject(call: &Call) -> Result<Target, Problem> {
    let id = SubjectId::new(call.part("id")?).map_err(|error| wrong("id", &error))?;
    of(id.as_str())
}

fn of(key: &str) -> Result<Target, Problem> {
    Ok(Target::Actor(ActorAddress {
        kind: ActorKind::new(SUBJECT).map_err(|error| wrong("kind", &error))?,
        key: ActorKey::new(key).map_err(|error| wrong("id", &error))?,
    }))
}

/// A page, as the node has it.
const SUBJECTS_LISTED_MAX: usize = selvedge_protocol::limits::SUBJECTS_PAGE_MAX;
