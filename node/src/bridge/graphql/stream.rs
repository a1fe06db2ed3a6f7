//! Answers as server-sent events, after the protocol `graphql-sse` in its mode of distinct connections: each operation
//! is a stream of its own, `next` has an answer, and `complete` is the end.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_ENCODING, HeaderValue};
use actix_web::web::Bytes;
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use selvedge_protocol::limits::EVENT_STREAM_BEAT_MS;
use tokio::time::{Duration, Interval, MissedTickBehavior, interval};

use crate::bridge::graphql::engine::{Answer, refused};
use crate::bridge::graphql::http::{json, mark};
use crate::bridge::graphql::media::Media;
use crate::bridge::hold::Draining;
use crate::bridge::rest::{NO_BUFFERING, Place};
use crate::identity::Term;

/// A stream of one answer.
pub(super) fn one(answer: Answer) -> BoxStream<'static, Answer> {
    stream::once(ready(answer)).boxed()
}

/// The answers, for as long as their reader stays and the node serves.
pub(super) fn response(answers: BoxStream<'static, Answer>, bounds: Bounds) -> HttpResponse {
    let mut beats = interval(Duration::from_millis(EVENT_STREAM_BEAT_MS));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        answers,
        beats,
        bounds,
    };
    let events = stream::unfold(Some(open), next).map(Ok::<_, Infallible>);
    let mut response = HttpResponse::Ok().streaming(events);
    let headers = response.headers_mut();
    mark(headers, Media::EventStream);
    // Compression would keep events back until there are enough of them, as proxies do that buffer.
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(NO_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// What bounds a stream beside its operation.
pub(super) struct Bounds {
    /// Given back at the end.
    pub(super) _place: Place,
    pub(super) draining: Draining,
    /// That of the credential which it was opened with.
    pub(super) term: Term,
}

struct Open {
    answers: BoxStream<'static, Answer>,
    beats: Interval,
    bounds: Bounds,
}

/// The first beat comes at once, and shows that the stream has begun.
async fn next(open: Option<Open>) -> Option<(Bytes, Option<Open>)> {
    let mut open = open?;
    tokio::select! {
        biased;
        // Without an end of the operation: its client goes on elsewhere.
        () = open.bounds.draining.begun() => None,
        failure = open.bounds.term.ended() => {
            let text = format!("{}{COMPLETE}", next_event(&refused(failure)));
            Some((Bytes::from(text), None))
        }
        answer = open.answers.next() => match answer {
            Some(answer) => Some((Bytes::from(next_event(&answer)), Some(open))),
            None => Some((Bytes::from_static(COMPLETE.as_bytes()), None)),
        },
        _ = open.beats.tick() => Some((Bytes::from_static(b":\n\n"), Some(open))),
    }
}

fn next_event(answer: &Answer) -> String {
    format!("event: next\ndata: {}\n\n", json(answer))
}

const COMPLETE: &str = "event: complete\ndata:\n\n";
