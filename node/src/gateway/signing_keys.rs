//! The command of administrators about the keys that the cluster's tokens are signed with: its body and answer, see `wire.md`.
//! What it does is [`Logins`]'.

use selvedge_cluster::actor::ReplyTo;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, Failure, Target, time};
use serde::Deserialize;
use serde_json::json as value;

use crate::gateway::directory::{Answer, json, outcome, parse};
use crate::gateway::{Caller, CommandCall};
use crate::identity::{Logins, Rotated, Rotation};

/// What is asked for, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Asked(Result<Rotate, Failure>);

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// The present keys are known to somebody else.
    #[serde(default)]
    now: bool,
}

impl Asked {
    /// `None`: it is about something else.
    pub(super) fn of(call: &CommandCall) -> Option<Self> {
        let is_it = call.target == Target::Cluster && call.name == ROTATE;
        is_it.then(|| Self(parse(&call.body)))
    }
}

/// Executes it for who may. Never waits.
pub(super) fn command(
    logins: Option<&Logins>,
    caller: &Caller,
    (permitted, asked): (Result<(), Failure>, Asked),
    reply: ReplyTo,
) {
    let logins = logins.cloned().ok_or_else(|| {
        let message = "this node gives no tokens; ask one with the role bridge";
        Failure::new(ErrorCode::Unavailable, message)
    });
    let told = permitted.and_then(|()| Ok((asked.0?, logins?)));
    let (Rotate { now }, logins) = match told {
        Ok(told) => told,
        Err(failure) => return reply.answer(Outcome::Failure(failure)),
    };
    let by = caller.principal.clone();
    tracing::info!(principal = &*by.name, now, "another signing key is wanted");
    // On its own task: a caller that goes away does not leave it half done.
    tokio::spawn(async move {
        let how = match now {
            true => Rotation::Now,
            false => Rotation::Ahead,
        };
        let rotated = logins.rotate_keys(&by, how).await;
        reply.answer(outcome(rotated.and_then(|rotated| shown(&rotated))));
    });
}

fn shown(rotated: &Rotated) -> Answer {
    let shown = value!({
        "id": rotated.id,
        "signsFrom": time::format(rotated.signs_from_ms),
        "removed": rotated.removed,
    });
    json(&shown, 0)
}

const ROTATE: &str = "signing-key.rotate";
