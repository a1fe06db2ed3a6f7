//! What an attempt has done and how it ended, as frames between nodes, and back.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::peer::StreamError;
use selvedge_protocol::codec::{self, Frame};
use selvedge_protocol::limits::{FRAME_LIST_LEN_MAX, LABEL_BYTES_MAX};
use selvedge_protocol::peer::processing as wire;

use crate::operation::{Compensation, Done, Fault, FinishedStep, NewWait, NewWaitOn, News, Sent};
use crate::processing::handler::{Cause, HandlerError};
use crate::processing::worker::Group;

/// The bytes of a frame.
pub(super) fn frame<F: Frame>(frame: &F) -> Result<Vec<u8>, StreamError> {
    let mut out = Vec::new();
    codec::encode(frame, &mut out).map_err(StreamError::Malformed)?;
    Ok(out)
}

/// The same for what a handler has done, of which there may be more than can be said.
pub(super) fn done_frame<F: Frame>(of: &F, done: &wire::Done) -> Result<Vec<u8>, HandlerError> {
    let lists = [
        done.steps.len(),
        done.promises.promises.len(),
        done.waits.len(),
        done.sends.len(),
        done.undone.len(),
    ];
    let fits = lists.iter().all(|length| *length <= FRAME_LIST_LEN_MAX);
    let too_large = |what: &str| {
        let message = format!("{what}; store it elsewhere and return where");
        HandlerError::new("too_large", message, Cause::Permanent)
    };
    if !fits {
        return Err(too_large(&format!(
            "more than {FRAME_LIST_LEN_MAX} things were done without an await in between"
        )));
    }
    let mut out = Vec::new();
    codec::encode(of, &mut out).map_err(|error| too_large(&error.to_string()))?;
    Ok(out)
}

pub(super) fn done(done: &Done) -> wire::Done {
    wire::Done {
        steps: steps(&done.steps),
        promises: promises(&done.compensations),
        waits: done.waits.iter().map(wait).collect(),
        sends: done
            .sends
            .iter()
            .map(|sent| wire::Send {
                to: sent.to.clone(),
                name: sent.name.clone(),
                body: sent.body.clone(),
            })
            .collect(),
        undone: done.undone.iter().map(name).collect(),
    }
}

pub(super) fn heard_done(done: wire::Done) -> Result<Done, StreamError> {
    Ok(Done {
        steps: heard_steps(done.steps)?,
        compensations: heard_promises(done.promises)?,
        waits: done
            .waits
            .into_iter()
            .map(heard_wait)
            .collect::<Result<_, _>>()?,
        sends: done
            .sends
            .into_iter()
            .map(|sent| Sent {
                to: sent.to,
                name: sent.name,
                body: sent.body,
            })
            .collect(),
        undone: done.undone.into_iter().map(heard_name).collect(),
    })
}

pub(super) fn steps(steps: &[FinishedStep]) -> Vec<wire::Step> {
    let steps = steps.iter();
    steps.map(|done| step(&done.name, &done.result)).collect()
}

pub(super) fn step(name: &str, result: &str) -> wire::Step {
    wire::Step {
        name: name.to_owned(),
        result: json(result),
    }
}

pub(super) fn heard_steps(steps: Vec<wire::Step>) -> Result<Vec<FinishedStep>, StreamError> {
    let heard = steps.into_iter().map(|step| {
        Ok(FinishedStep {
            name: step.name.into(),
            result: text(&step.result)?,
        })
    });
    heard.collect()
}

pub(super) fn promises(promises: &[Compensation]) -> wire::Promises {
    let promises = promises.iter().map(|undo| wire::Promise {
        name: undo.name.to_string(),
        data: json(&undo.data),
    });
    wire::Promises {
        promises: promises.collect(),
    }
}

pub(super) fn heard_promises(promises: wire::Promises) -> Result<Vec<Compensation>, StreamError> {
    let heard = promises.promises.into_iter().map(|promise| {
        Ok(Compensation {
            name: promise.name.into(),
            data: text(&promise.data)?,
        })
    });
    heard.collect()
}

fn wait(wait: &NewWait) -> wire::Wait {
    let on = match &wait.on {
        NewWaitOn::Time { ms } => wire::WaitOn::Time { ms: *ms },
        NewWaitOn::Until { until_ms } => wire::WaitOn::Until {
            until_ms: *until_ms,
        },
        NewWaitOn::Signal { signal, timeout_ms } => wire::WaitOn::Signal {
            signal: signal.to_string(),
            timeout_ms: *timeout_ms,
        },
        NewWaitOn::Call {
            operation_type,
            input,
        } => wire::WaitOn::Call {
            operation_type: operation_type.clone(),
            input: json(input),
        },
    };
    let name = wait.name.to_string();
    wire::Wait { name, on }
}

fn heard_wait(wait: wire::Wait) -> Result<NewWait, StreamError> {
    let on = match wait.on {
        wire::WaitOn::Time { ms } => NewWaitOn::Time { ms },
        wire::WaitOn::Until { until_ms } => NewWaitOn::Until { until_ms },
        wire::WaitOn::Signal { signal, timeout_ms } => NewWaitOn::Signal {
            signal: signal.into(),
            timeout_ms,
        },
        wire::WaitOn::Call {
            operation_type,
            input,
        } => NewWaitOn::Call {
            operation_type,
            input: text(&input)?,
        },
    };
    let name = wait.name.into();
    Ok(NewWait { name, on })
}

/// How an attempt ended. One that goes on, or never began, has not.
pub(super) fn ending(news: &News) -> Option<wire::Ending> {
    Some(match news {
        News::Succeeded(result) => wire::Ending::Succeeded {
            result: json(result),
        },
        News::Suspended { on } => wire::Ending::Suspended {
            on: on.iter().map(name).collect(),
        },
        News::Continued { input } => wire::Ending::Continued { input: json(input) },
        News::Failed {
            fault,
            permanent,
            retry_after_ms,
        } => wire::Ending::Failed {
            code: fault.code.clone(),
            message: fault.message.clone(),
            step: fault.step.clone().map(|mut step| {
                step.truncate(step.floor_char_boundary(LABEL_BYTES_MAX));
                step
            }),
            is_permanent: *permanent,
            retry_after_ms: *retry_after_ms,
        },
        News::Cancelled => wire::Ending::Stopped,
        News::PayloadMissing => wire::Ending::PayloadMissing,
        News::Running { .. } | News::NotStarted(_) => return None,
    })
}

pub(super) fn heard_ending(ending: wire::Ending) -> Result<News, StreamError> {
    Ok(match ending {
        wire::Ending::Succeeded { result } => News::Succeeded(text(&result)?),
        wire::Ending::Suspended { on } => News::Suspended {
            on: on.into_iter().map(heard_name).collect(),
        },
        wire::Ending::Continued { input } => News::Continued {
            input: text(&input)?,
        },
        wire::Ending::Failed {
            code,
            message,
            step,
            is_permanent,
            retry_after_ms,
        } => News::Failed {
            fault: Fault {
                code,
                message,
                step,
            },
            permanent: is_permanent,
            retry_after_ms,
        },
        wire::Ending::Stopped => News::Cancelled,
        wire::Ending::PayloadMissing => News::PayloadMissing,
    })
}

pub(super) fn json(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// JSON text is text at least; what else it is, its reader finds out.
pub(super) fn text(bytes: &[u8]) -> Result<Arc<str>, StreamError> {
    std::str::from_utf8(bytes)
        .map(Arc::from)
        .map_err(|_| StreamError::Cut)
}

fn name(name: &Arc<str>) -> wire::Name {
    wire::Name {
        name: name.to_string(),
    }
}

fn heard_name(name: wire::Name) -> Arc<str> {
    name.name.into()
}

impl From<wire::Group> for Group {
    fn from(group: wire::Group) -> Self {
        Self {
            tenant: group.tenant,
            operation_type: group.operation_type,
        }
    }
}

impl From<Group> for wire::Group {
    fn from(group: Group) -> Self {
        Self {
            tenant: group.tenant,
            operation_type: group.operation_type,
        }
    }
}
