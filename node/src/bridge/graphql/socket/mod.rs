//! GraphQL over a WebSocket: the protocol `graphql-transport-ws`. One task per connection, on the thread that serves
//! it, which waits for what its client says, for answers and for its clocks.
//!
//! A client that does not read is let go: nothing is kept for it but what fits into one send.

mod message;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use actix_web::http::header::SEC_WEBSOCKET_PROTOCOL;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, ResponseError, rt};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{AbortHandle, BoxStream, SelectAll, abortable, once};
use selvedge_protocol::limits::{
    GRAPHQL_BODY_BYTES_MAX, GRAPHQL_SOCKET_ID_BYTES_MAX, GRAPHQL_SOCKET_INIT_MS_MAX,
    GRAPHQL_SOCKET_OPERATIONS_MAX, GRAPHQL_SOCKET_PING_MS, GRAPHQL_SOCKET_SEND_MS_MAX,
};
use selvedge_protocol::{ErrorCode, Failure};
use tokio::time::{Duration, MissedTickBehavior, interval, sleep_until, timeout};

use crate::bridge::credentials::Credentials;
use crate::bridge::graphql::engine::{Answer, refused};
use crate::bridge::graphql::http::json;
use crate::bridge::graphql::request::Parameters;
use crate::bridge::graphql::served::Served;
use crate::bridge::graphql::stream;
use crate::bridge::problem::Problem;
use crate::bridge::rest::Place;
use crate::gateway::Caller;
use crate::identity::Term;
use message::{Close, FromClient, Init, ToClient};

/// The subprotocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// Makes a WebSocket of a request.
pub(super) fn open(request: &HttpRequest, payload: Payload, served: Served) -> HttpResponse {
    let refuse = |field: &str, message: &str| {
        Problem::from(Failure::field(ErrorCode::Malformed, field, message)).error_response()
    };
    let opened = actix_ws::handle_with_protocols(request, payload, &[PROTOCOL]);
    let Ok((response, session, messages)) = opened else {
        return refuse("Upgrade", "this is no handshake of a WebSocket (RFC 6455)");
    };
    if !response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return refuse(
            "Sec-WebSocket-Protocol",
            "use graphql-transport-ws; graphql-ws, which is older, is not spoken",
        );
    }
    let messages = messages
        .max_frame_size(GRAPHQL_BODY_BYTES_MAX)
        .aggregate_continuations()
        .max_continuation_size(GRAPHQL_BODY_BYTES_MAX);
    let clock = served.inside.clock.clone();
    let connection = Connection {
        session,
        served,
        caller: None,
        term: Term::new(None, clock),
        operations: HashMap::new(),
        answers: SelectAll::new(),
    };
    rt::spawn(connection.run(messages));
    response
}

struct Connection {
    session: Session,
    served: Served,
    /// Who it is, and the place that it has among all; `None`: it has not said.
    caller: Option<(Caller, Place)>,
    /// That of its credential.
    term: Term,
    /// Operations under way, by the ids that the client gave them.
    operations: HashMap<String, AbortHandle>,
    answers: SelectAll<BoxStream<'static, (String, Step)>>,
}

/// What comes next of an operation.
enum Step {
    Answer(Answer),
    End,
}

/// How a connection ends.
enum End {
    /// It is closed for a reason.
    Close(Close),
    /// The client has left, or does not read or answer.
    Gone,
}

impl Connection {
    async fn run(mut self, messages: AggregatedMessageStream) {
        match self.serve(messages).await {
            End::Gone => {}
            End::Close(close) => {
                tracing::debug!(?close, "a GraphQL connection is closed");
                let reason = CloseReason {
                    code: CloseCode::from(close.code()),
                    description: Some(close.reason()),
                };
                // It may have left.
                let _ = self.session.close(Some(reason)).await;
            }
        }
    }

    async fn serve(&mut self, mut messages: AggregatedMessageStream) -> End {
        let init_by = self.served.inside.clock.monotonic()
            + Duration::from_millis(GRAPHQL_SOCKET_INIT_MS_MAX);
        let ping = Duration::from_millis(GRAPHQL_SOCKET_PING_MS);
        let mut pings = interval(ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = self.served.draining.clone();
        let mut heard = self.served.inside.clock.monotonic();
        loop {
            let done = tokio::select! {
                message = messages.recv() => {
                    heard = self.served.inside.clock.monotonic();
                    match message {
                        Some(Ok(message)) => self.hear(message).await,
                        Some(Err(error)) => {
                            let what = format!("{error}; a message has at most {GRAPHQL_BODY_BYTES_MAX} bytes");
                            Err(End::Close(Close::BadMessage(what)))
                        }
                        None => Err(End::Gone),
                    }
                }
                Some((id, step)) = self.answers.next(), if !self.answers.is_empty() => {
                    self.tell(&id, step).await
                }
                _ = pings.tick() => {
                    let silence = self.served.inside.clock.monotonic().saturating_duration_since(heard);
                    self.ping(silence < 3 * ping).await
                }
                failure = self.term.ended() => Err(End::Close(no_more(failure))),
                () = draining.begun() => Err(End::Close(Close::GoingAway)),
                () = sleep_until(init_by), if self.caller.is_none() => {
                    Err(End::Close(Close::InitLate))
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: AggregatedMessage) -> Result<(), End> {
        let text = match message {
            AggregatedMessage::Text(text) => text,
            AggregatedMessage::Binary(_) => {
                let what = "use text".to_owned();
                return Err(End::Close(Close::BadMessage(what)));
            }
            AggregatedMessage::Ping(data) => {
                return self.session.pong(&data).await.map_err(|_| End::Gone);
            }
            AggregatedMessage::Pong(_) => return Ok(()),
            AggregatedMessage::Close(_) => return Err(End::Gone),
        };
        let message = serde_json::from_str(&text)
            .map_err(|error| End::Close(Close::BadMessage(error.to_string())))?;
        match message {
            FromClient::ConnectionInit { payload } => self.init(payload.unwrap_or_default()).await,
            FromClient::Ping { payload } => self.send(&ToClient::Pong { payload }).await,
            FromClient::Pong {} => Ok(()),
            FromClient::Subscribe { id, payload } => self.begin(id, payload).map_err(End::Close),
            FromClient::Complete { id } => {
                self.forget(&id);
                Ok(())
            }
        }
    }

    async fn init(&mut self, init: Init) -> Result<(), End> {
        if self.caller.is_some() {
            return Err(End::Close(Close::InitTwice));
        }
        let credentials = Credentials {
            authorization: ("payload.authorization", init.authorization.as_deref()),
            tenant: ("payload.tenant", init.tenant.as_deref()),
        };
        let caller = credentials.caller(&self.served.inside).await;
        let caller = caller.map_err(|failure| End::Close(no_more(failure)))?;
        let place = self.served.streams.take(&caller.principal);
        let place = place.map_err(|failure| End::Close(Close::Busy(failure.message)))?;
        self.term = self.served.inside.term(&caller);
        self.caller = Some((caller, place));
        self.send(&ToClient::ConnectionAck).await
    }

    /// Begins an operation.
    fn begin(&mut self, id: String, parameters: Parameters) -> Result<(), Close> {
        let Some((caller, _)) = &self.caller else {
            return Err(Close::NotAcknowledged);
        };
        let present = caller.principal.check_present(&self.served.inside.clock);
        present.map_err(no_more)?;
        if !(1..=GRAPHQL_SOCKET_ID_BYTES_MAX).contains(&id.len()) {
            return Err(Close::BadMessage(format!(
                "id: use 1 to {GRAPHQL_SOCKET_ID_BYTES_MAX} bytes"
            )));
        }
        if self.operations.contains_key(&id) {
            return Err(Close::IdInUse(id));
        }
        let answers = if self.operations.len() >= GRAPHQL_SOCKET_OPERATIONS_MAX {
            stream::one(refused(Failure::new(
                ErrorCode::LimitExceeded,
                format!(
                    "{GRAPHQL_SOCKET_OPERATIONS_MAX} operations are under way on this connection; complete one"
                ),
            )))
        } else {
            match self.served.engine.prepare(parameters) {
                Ok(prepared) => {
                    let engine = Arc::clone(&self.served.engine);
                    engine.stream(prepared, self.served.inside.clone(), caller.clone())
                }
                Err(answer) => stream::one(answer),
            }
        };
        let name = id.clone();
        let steps = answers
            .map(Step::Answer)
            .chain(once(ready(Step::End)))
            .map(move |step| (name.clone(), step));
        let (steps, abort) = abortable(steps);
        self.operations.insert(id, abort);
        self.answers.push(steps.boxed());
        Ok(())
    }

    /// Tells the client what comes next of an operation.
    async fn tell(&mut self, id: &str, step: Step) -> Result<(), End> {
        match step {
            Step::Answer(answer @ Answer::Executed(_)) => {
                let payload = &answer;
                self.send(&ToClient::Next { id, payload }).await
            }
            Step::Answer(Answer::Refused(errors, _)) => {
                // It ends with this.
                self.forget(id);
                let payload = &errors;
                self.send(&ToClient::Error { id, payload }).await
            }
            Step::End => {
                self.forget(id);
                self.send(&ToClient::Complete { id }).await
            }
        }
    }

    fn forget(&mut self, id: &str) {
        // One that is not there has ended by itself meanwhile.
        if let Some(abort) = self.operations.remove(id) {
            abort.abort();
        }
    }

    async fn ping(&mut self, is_there: bool) -> Result<(), End> {
        match is_there {
            true => self.session.ping(b"").await.map_err(|_| End::Gone),
            false => Err(End::Gone),
        }
    }

    async fn send(&mut self, message: &ToClient<'_>) -> Result<(), End> {
        let sending = self.session.text(json(message));
        match timeout(Duration::from_millis(GRAPHQL_SOCKET_SEND_MS_MAX), sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.caller).finish()
    }
}

/// Somebody is let in no more, or not as what they were: those come again and go on.
fn no_more(failure: Failure) -> Close {
    match failure.code.may_be_retried() {
        true => Close::Busy(failure.message),
        false => Close::Forbidden(failure.message),
    }
}
