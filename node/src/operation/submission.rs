//! A submit as it comes in: checked whole, once, before anything is decided.

use bytes::Bytes;
use selvedge_client::operation::{OperationStatus as Status, SubmitBody};
use selvedge_cluster::actor::{Context, Incoming, Refusal};
use selvedge_protocol::limits::{
    OPERATION_LABEL_BYTES_MAX, OPERATION_LABELS_MAX, PAYLOAD_BYTES_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, OperationId, time};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::operation::child::ChildParent;
use crate::operation::record::{Payload, Record, Waiting};
use crate::operation::subject;
use crate::processing::Policy;

/// The body of a submit whose payload is streamed: the node wraps what the client sent.
#[derive(Debug, Deserialize)]
struct StreamedBody<'a> {
    length: Option<u64>,
    stream: u64,
    #[serde(borrow)]
    submit: &'a RawValue,
}

/// A valid submit.
#[derive(Debug)]
pub(super) struct Submission {
    body: SubmitBody,
    run_at_ms: Option<u64>,
    deadline_ms: Option<u64>,
    payload: Payload,
    /// The number of the stream that its payload comes on.
    stream: Option<u64>,
    /// Of one that an actor calls: who does, and who stands as its creator.
    called: Option<(ChildParent, String)>,
}

/// The command body for a submit with a payload that comes on the stream of this number.
pub(super) fn wrap_streamed(length: Option<u64>, stream: u64, submit: &Bytes) -> Bytes {
    let length = length.map_or_else(|| "null".to_owned(), |length| length.to_string());
    let mut body = format!(r#"{{"length":{length},"stream":{stream},"submit":"#).into_bytes();
    body.extend_from_slice(submit);
    body.push(b'}');
    Bytes::from(body)
}

impl Submission {
    /// A submit whose payload, if any, is at hand.
    pub(super) fn plain(command: &Incoming<'_>) -> Result<Self, Refusal> {
        let payload = match command.payload {
            None => Payload::None,
            Some(bytes) if bytes.len() > PAYLOAD_BYTES_MAX => {
                return Err(Refusal(Failure::field(
                    ErrorCode::TooLarge,
                    "payload",
                    format!(
                        "a payload of {} bytes is over the {PAYLOAD_BYTES_MAX} that are stored; \
                         stream it",
                        bytes.len()
                    ),
                )));
            }
            Some(bytes) => {
                let mut hash = [0; 16];
                hash.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
                Payload::Stored {
                    length: bytes.len() as u64,
                    hash,
                }
            }
        };
        Self::new(command.body, payload)
    }

    /// A submit whose payload comes as a stream.
    pub(super) fn streamed(command: &Incoming<'_>) -> Result<Self, Refusal> {
        let body: StreamedBody<'_> = serde_json::from_slice(command.body).map_err(unreadable)?;
        let payload = Payload::Streamed {
            length: body.length,
        };
        let submission = Self::new(body.submit.get().as_bytes(), payload)?;
        Ok(Self {
            stream: Some(body.stream),
            ..submission
        })
    }

    pub(super) fn new(body: &[u8], payload: Payload) -> Result<Self, Refusal> {
        let body: SubmitBody = serde_json::from_slice(body).map_err(unreadable)?;
        if body.labels.len() > OPERATION_LABELS_MAX {
            return Err(Refusal::invalid(
                "labels",
                format!("an operation has at most {OPERATION_LABELS_MAX} labels"),
            ));
        }
        let fits = |text: &String| (1..=OPERATION_LABEL_BYTES_MAX).contains(&text.len());
        for (key, value) in &body.labels {
            if !fits(key) || !fits(value) || key.contains('=') {
                return Err(Refusal::invalid(
                    "labels",
                    format!(
                        "a label's key and value have 1 to {OPERATION_LABEL_BYTES_MAX} bytes, and \
                         the key no '='"
                    ),
                ));
            }
        }
        subject::check(&body.labels)?;
        Ok(Self {
            run_at_ms: moment("runAt", body.run_at.as_deref())?,
            deadline_ms: moment("deadline", body.deadline.as_deref())?,
            body,
            payload,
            stream: None,
            called: None,
        })
    }

    pub(super) fn called_by(mut self, parent: ChildParent, created_by: String) -> Self {
        self.called = Some((parent, created_by));
        self
    }

    pub(super) fn operation_type(&self) -> &selvedge_protocol::OperationType {
        &self.body.operation_type
    }

    /// The stream that its payload comes on, if it does.
    pub(super) const fn stream(&self) -> Option<u64> {
        self.stream
    }

    /// Whether `record` came of the same submit: type, input and payload.
    pub(super) fn is_same(&self, record: &Record) -> bool {
        let payload_is_same = match (&self.payload, &record.payload) {
            // A length that one side did not know tells nothing.
            (Payload::Streamed { length: Some(one) }, Payload::Streamed { length: Some(two) }) => {
                one == two
            }
            (Payload::Streamed { .. }, Payload::Streamed { .. }) => true,
            (one, two) => one == two,
        };
        payload_is_same
            && self.body.operation_type == record.operation_type
            && same_json(self.input(), &record.input)
    }

    /// The record of a new operation. `policy` is its type's; `None`: nobody here knows the type.
    pub(super) fn into_record(
        self,
        context: &Context<'_>,
        policy: Option<&Policy>,
    ) -> Result<Record, Refusal> {
        let now_ms = context.now_ms;
        let id = OperationId::new(context.address.key.as_str())
            .map_err(|error| Refusal::invalid("id", error.to_string()))?;
        if self
            .deadline_ms
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            return Err(Refusal::invalid(
                "deadline",
                "the deadline has passed already",
            ));
        }
        let total_ms = policy.and_then(|policy| policy.total_timeout).map(|total| {
            now_ms.saturating_add(u64::try_from(total.as_millis()).unwrap_or(u64::MAX))
        });
        let deadline_ms = match (self.deadline_ms, total_ms) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        let waiting = match self.run_at_ms {
            Some(until_ms) if until_ms > now_ms => Some(Waiting::Time { until_ms }),
            _ if policy.is_none() => Some(Waiting::Handler),
            _ if matches!(self.payload, Payload::Streamed { .. }) => Some(Waiting::Payload),
            _ => None,
        };
        let (parent, created_by) = match self.called.clone() {
            None => (None, context.principal.to_owned()),
            Some((parent, created_by)) => (Some(parent.into_parent()), created_by),
        };
        Ok(Record {
            id,
            tenant: context.tenant.clone(),
            status: if waiting.is_some() {
                Status::Waiting
            } else {
                Status::Pending
            },
            waiting,
            input: self.input().into(),
            payload: self.payload,
            metadata: self.body.metadata.map(|metadata| metadata.get().to_owned()),
            operation_type: self.body.operation_type,
            labels: self.body.labels,
            priority: self.body.priority,
            run_at_ms: self.run_at_ms,
            deadline_ms,
            created_by,
            created_ms: now_ms,
            updated_ms: now_ms,
            version: 1,
            run: 0,
            failures: 0,
            lost: 0,
            is_begun: false,
            parent,
            generation: 0,
            waits: Vec::new(),
            signals: Vec::new(),
            compensations: Vec::new(),
            is_settling: false,
            progress: None,
            steps: Vec::new(),
            result: None,
            error: None,
            attempt: 0,
            is_attempt_over: false,
        })
    }

    pub(super) fn input(&self) -> &str {
        self.body.input.as_ref().map_or("null", |input| input.get())
    }
}

/// Equal up to white space and the order of fields.
fn same_json(one: &str, two: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == two || (parse(one).is_some() && parse(one) == parse(two))
}

pub(super) fn moment(field: &str, text: Option<&str>) -> Result<Option<u64>, Refusal> {
    let Some(text) = text else {
        return Ok(None);
    };
    match time::parse(text) {
        Some(unix_ms) => Ok(Some(unix_ms)),
        None => Err(Refusal::invalid(
            field,
            "use an RFC 3339 time, for example 2026-01-31T12:00:00Z",
        )),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn unreadable(error: serde_json::Error) -> Refusal {
    Refusal::invalid("body", format!("the submit does not read: {error}"))
}
