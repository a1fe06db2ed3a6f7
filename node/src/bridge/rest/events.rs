//! Events as they come (server-sent events, WHATWG HTML 9.2): of an operation up to its end, of an actor for as long as
//! somebody listens. What a slow reader has not taken waits in the store.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
};
use actix_web::web::Data;
use bytes::Bytes;
use futures::stream;
use selvedge_client::operation::OperationStatus;
use selvedge_cluster::actor::SubscriptionItem;
use selvedge_protocol::frame::{Consistency, Since};
use selvedge_protocol::limits::{EVENT_STREAM_BEAT_MS, EVENT_STREAM_RETRY_MS};
use selvedge_protocol::{Failure, Target, time};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::bridge::hold::Draining;
use crate::bridge::inside::Subscribed;
use crate::bridge::problem::Problem;
use crate::bridge::rest::call::Call;
use crate::bridge::rest::parameters::invalid;
use crate::bridge::rest::streams::{Place, Streams};
use crate::gateway::QueryCall;
use crate::identity::Term;

pub(crate) async fn operation(
    call: Call,
    streams: Data<Streams>,
    draining: Data<Draining>,
) -> Result<HttpResponse, Problem> {
    // From the first on, as `op watch`.
    let after = after(&call)?.unwrap_or(0);
    let target = Target::Operation(call.operation()?);
    // One that does not exist has no events to wait for.
    let query = QueryCall {
        target: target.clone(),
        name: "get".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline: call.deadline(),
    };
    let success = call.inside.query(&call.caller, query).await?;
    if is_final(&success.body) && after >= success.seq {
        // What tells a client that reconnects by itself that there is no more.
        return Ok(HttpResponse::NoContent().finish());
    }
    open(
        &call,
        target,
        Since::After(after),
        &streams,
        &draining,
        Until::Final,
    )
    .await
}

pub(crate) async fn actor(
    call: Call,
    streams: Data<Streams>,
    draining: Data<Draining>,
) -> Result<HttpResponse, Problem> {
    let since = after(&call)?.map_or(Since::Latest, Since::After);
    let target = Target::Actor(call.actor()?);
    open(&call, target, since, &streams, &draining, Until::Left).await
}

/// How long a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The operation is final.
    Final,
    /// The client leaves.
    Left,
}

/// The event that the client has had last: what it had on the stream before counts more than what it began with.
fn after(call: &Call) -> Result<Option<u64>, Problem> {
    let parameters = call.parameters(&["after"])?;
    let read = |field: &str, text: &str| {
        text.parse()
            .map_err(|_| invalid(field, "use the seq of an event, a whole number"))
    };
    match call.header(&LAST_EVENT_ID)? {
        Some(text) if !text.is_empty() => read("Last-Event-ID", &text).map(Some),
        Some(_) | None => {
            let text = parameters.text("after");
            text.map(|text| read("after", text)).transpose()
        }
    }
}

async fn open(
    call: &Call,
    target: Target,
    since: Since,
    streams: &Streams,
    draining: &Draining,
    until: Until,
) -> Result<HttpResponse, Problem> {
    let place = streams.take(&call.caller.principal)?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // Each event leaves when it comes, also through proxies.
        .insert_header((CONTENT_ENCODING, "identity"))
        .insert_header((NO_BUFFERING, HeaderValue::from_static("no")));
    if call.request().method() == Method::HEAD {
        return Ok(response.finish());
    }
    let events = call.inside.subscribe(&call.caller, target, since).await?;
    let mut beat = interval(Duration::from_millis(EVENT_STREAM_BEAT_MS));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let first = format!("retry: {EVENT_STREAM_RETRY_MS}\n\n");
    let source = Source {
        events,
        beat,
        draining: draining.clone(),
        term: call.inside.term(&call.caller),
        until,
        ready: VecDeque::from([Bytes::from(first)]),
        is_over: false,
        _place: place,
    };
    Ok(
        response.streaming(stream::unfold(source, |mut source| async move {
            let text = source.next().await?;
            Some((Ok::<_, Problem>(text), source))
        })),
    )
}

/// The text of a stream as it comes.
struct Source {
    events: Subscribed,
    beat: Interval,
    draining: Draining,
    /// That of the credential which it was opened with.
    term: Term,
    until: Until,
    ready: VecDeque<Bytes>,
    is_over: bool,
    _place: Place,
}

impl Source {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(text) = self.ready.pop_front() {
            return Some(text);
        }
        if self.is_over {
            return None;
        }
        let text = tokio::select! {
            biased;
            () = self.draining.begun() => {
                self.is_over = true;
                ": the node drains; come back for the rest\n\n".to_owned()
            }
            failure = self.term.ended() => {
                self.is_over = true;
                problem(failure)
            }
            item = self.events.items.recv() => match item {
                Some(Ok(item)) => self.item(&item),
                Some(Err(failure)) => {
                    self.is_over = true;
                    problem(failure)
                }
                None => return None,
            },
            _ = self.beat.tick() => ": is there\n\n".to_owned(),
        };
        self.beat.reset();
        Some(Bytes::from(text))
    }

    fn item(&mut self, item: &SubscriptionItem) -> String {
        match item {
            SubscriptionItem::Event(event) => {
                let status: Option<OperationStatus> = event.kind.parse().ok();
                self.is_over =
                    self.until == Until::Final && status.is_some_and(OperationStatus::is_final);
                let data = json!({
                    "seq": event.seq,
                    "type": &*event.kind,
                    "time": time::format(event.time_ms),
                    "data": raw(&event.data),
                });
                block(Some(event.seq), &event.kind, &data)
            }
            SubscriptionItem::Gap {
                after,
                seq,
                snapshot,
            } => {
                // `null`: it was kept as long as it was to be, and is no more.
                let is_gone = &**snapshot == b"null";
                self.is_over = self.until == Until::Final && (is_gone || is_final(snapshot));
                let data = json!({ "after": after, "seq": seq, "state": raw(snapshot) });
                block(Some(*seq), "gap", &data)
            }
            SubscriptionItem::Ephemeral { from, name, data } => {
                let data = json!({ "from": from.to_string(), "type": name, "data": raw(data) });
                block(None, "ephemeral", &data)
            }
        }
    }
}

/// The last words of a stream that failed.
fn problem(failure: Failure) -> String {
    format!(
        "event: problem\ndata: {}\n\n",
        Problem::from(failure).to_json()
    )
}

/// One event. JSON text has no line breaks, and a name of an application's is cut at its first.
fn block(id: Option<u64>, event: &str, data: &serde_json::Value) -> String {
    let event = event.split(['\r', '\n']).next().unwrap_or_default();
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("{id}event: {event}\ndata: {data}\n\n")
}

/// JSON text as a value; what says nothing is `null`.
fn raw(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap_or_default()
}

/// Whether JSON text is an operation that never changes again.
fn is_final(operation: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Status {
        status: OperationStatus,
    }
    let status = serde_json::from_slice::<Option<Status>>(operation);
    status.is_ok_and(|it| it.is_some_and(|it| it.status.is_final()))
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What nginx and those after its manner understand.
pub(crate) const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_block_whatever_is_in_it() {
        let data = json!({ "text": "one\r\ntwo\n\nthree" });
        let text = block(Some(7), "said\nid: 8", &data);
        assert_eq!(
            text,
            "id: 7\nevent: said\ndata: {\"text\":\"one\\r\\ntwo\\n\\nthree\"}\n\n"
        );
        assert_eq!(block(None, "e", &json!(1)), "event: e\ndata: 1\n\n");
    }

    #[test]
    fn only_a_final_operation_is_final() {
        assert!(is_final(br#"{"status":"failed","more":1}"#));
        assert!(!is_final(br#"{"status":"running"}"#));
        assert!(!is_final(b"null"));
        assert!(!is_final(b""));
    }
}
