//! Operations that other actors call: the submit that a call becomes, the end that is told to the caller,
//! the cancel that reaches what it calls. Messages of the outbox, so each arrives effectively once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{Kind, Message};
use selvedge_protocol::limits::{CHOSEN_ID_BYTES_MAX, INLINE_BYTES_MAX, OPERATION_DEPTH_MAX};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, IdError, OperationId, OperationType};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::operation::kind::{CANCEL, OperationKind};
use crate::operation::record::{Fault, Parent, Record, Wait, WaitOn};
use crate::operation::subject;

/// From an actor that calls an operation: a [`ChildSubmit`].
pub(crate) const SUBMIT_CHILD: &str = "submit.child";
/// To the caller, when the operation has ended: a [`ChildFinished`].
pub(crate) const CHILD_FINISHED: &str = "child.finished";

/// The body of [`SUBMIT_CHILD`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChildSubmit {
    pub(crate) parent: ChildParent,
    /// Who is to stand as its creator: whoever created the caller.
    pub(crate) created_by: String,
    /// The body of a plain submit.
    pub(crate) submit: Box<RawValue>,
}

/// Who calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChildParent {
    pub(crate) actor: ActorAddress,
    pub(crate) name: String,
    pub(crate) depth: u16,
}

/// The body of [`CHILD_FINISHED`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChildFinished {
    /// The caller's name for the call.
    pub(crate) name: String,
    pub(crate) operation: OperationId,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ChildError>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChildError {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A call on its way.
pub(super) struct Called {
    pub(super) operation: OperationId,
    pub(super) message: Message,
}

/// The call of an operation by a step.
pub(super) fn called(
    record: &Record,
    step: &str,
    operation_type: &OperationType,
    input: &str,
) -> Result<Called, Fault> {
    let depth = record.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
    if depth > OPERATION_DEPTH_MAX {
        let message = format!("operations call each other {OPERATION_DEPTH_MAX} deep at most");
        return Err(fault("too_deep", message));
    }
    let invalid = |error: IdError| fault("invalid_call", error.to_string());
    let operation = child_id(record, step).map_err(invalid)?;
    let input = RawValue::from_string(input.to_owned())
        .map_err(|error| fault("invalid_call", error.to_string()))?;
    let submit = serde_json::value::to_raw_value(&Submit {
        operation_type,
        input: &input,
        priority: record.priority,
        labels: record
            .labels
            .get_key_value(subject::LABEL)
            .into_iter()
            .collect(),
    })
    .map_err(|error| fault("invalid_call", error.to_string()))?;
    let body = json::encode(&ChildSubmit {
        parent: ChildParent {
            actor: address(&record.id).map_err(invalid)?,
            name: step.to_owned(),
            depth,
        },
        created_by: record.created_by.clone(),
        submit,
    });
    if body.len() > INLINE_BYTES_MAX {
        let message = format!(
            "the input of a call is over {INLINE_BYTES_MAX} bytes; store it elsewhere and pass where"
        );
        return Err(fault("too_large", message));
    }
    let message = Message {
        to: address(&operation).map_err(invalid)?,
        name: SUBMIT_CHILD.to_owned(),
        body,
    };
    Ok(Called { operation, message })
}

#[derive(Serialize)]
struct Submit<'a> {
    #[serde(rename = "type")]
    operation_type: &'a OperationType,
    input: &'a RawValue,
    priority: i32,
    /// What it is called with is about whom the caller is about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a String, &'a String>,
}

/// Tells whoever called the operation how it has ended.
pub(super) fn told_parent(record: &Record) -> Option<Message> {
    let parent = record.parent.as_ref()?;
    let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
    let error = record.error.as_ref().map(|error| ChildError {
        code: error.code.clone(),
        message: error.message.clone(),
    });
    let finished = ChildFinished {
        name: parent.name.to_string(),
        operation: record.id.clone(),
        status: record.status.name().to_owned(),
        result: record.result.as_deref().and_then(raw),
        error,
    };
    Some(finished.message(parent.actor.clone()))
}

/// Tells the caller that what it called was not even accepted.
pub(super) fn refused(parent: &ChildParent, id: OperationId, error: ChildError) -> Message {
    let finished = ChildFinished {
        name: parent.name.clone(),
        operation: id,
        status: "failed".to_owned(),
        result: None,
        error: Some(error),
    };
    finished.message(parent.actor.clone())
}

/// Cancels what a step has called.
pub(super) fn cancelled(wait: &Wait) -> Option<Message> {
    let WaitOn::Call { operation } = &wait.on else {
        return None;
    };
    Some(Message {
        to: address(operation).ok()?,
        name: CANCEL.to_owned(),
        body: Bytes::from_static(b"{}"),
    })
}

impl ChildFinished {
    fn message(mut self, to: ActorAddress) -> Message {
        let mut body = json::encode(&self);
        if body.len() > INLINE_BYTES_MAX {
            self.result = None;
            self.error = Some(too_large());
            body = json::encode(&self);
        }
        Message {
            to,
            name: CHILD_FINISHED.to_owned(),
            body,
        }
    }

    /// About the bytes of the step's result.
    pub(super) fn size(&self) -> usize {
        let error = self.error.as_ref();
        self.result.as_ref().map_or(0, |result| result.get().len())
            + error.map_or(0, |error| error.code.len() + error.message.len())
    }

    /// The result of the step that has called, JSON text; one for which there is no room is an error.
    pub(super) fn step_result(&self, has_room: bool) -> Arc<str> {
        #[derive(Serialize)]
        struct StepResult<'a> {
            status: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            result: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a ChildError>,
        }
        let too_large = too_large();
        let result = StepResult {
            status: &self.status,
            result: self.result.as_deref().filter(|_| has_room),
            error: match has_room {
                true => self.error.as_ref(),
                false => Some(&too_large),
            },
        };
        serde_json::to_string(&result).map_or_else(|_| Arc::from("null"), Arc::from)
    }
}

impl ChildParent {
    pub(super) fn into_parent(self) -> Parent {
        Parent {
            actor: self.actor,
            name: Arc::from(self.name),
            depth: self.depth,
        }
    }
}

/// The id of the operation that a step calls: the same however often the step begins.
fn child_id(record: &Record, step: &str) -> Result<OperationId, IdError> {
    let mut hasher = blake3::Hasher::new();
    for part in [record.id.as_str(), step] {
        hasher.update(part.as_bytes()).update(&[0]);
    }
    hasher.update(&record.generation.to_le_bytes());
    let hash = hasher.finalize().to_hex();
    // Under its caller's name while there is room for it: for the eyes of people.
    let (prefix, hash) = (record.id.as_str(), &hash[..16]);
    let kept = prefix.len().min(CHOSEN_ID_BYTES_MAX - 1 - hash.len());
    OperationId::new(format!("{}.{hash}", &prefix[..kept]))
}

/// The actor that an operation is.
fn address(id: &OperationId) -> Result<ActorAddress, IdError> {
    Ok(ActorAddress {
        kind: ActorKind::new(OperationKind::NAME)?,
        key: ActorKey::new(id.as_str())?,
    })
}

fn too_large() -> ChildError {
    ChildError {
        code: "too_large".to_owned(),
        message: "the result is too large to be handed over; read it from the operation".to_owned(),
    }
}

fn fault(code: &str, message: String) -> Fault {
    Fault {
        code: code.to_owned(),
        message,
        step: None,
    }
}
