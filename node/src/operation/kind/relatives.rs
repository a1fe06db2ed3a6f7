//! What an operation hears from other actors: calls and cancels of those that called it, the ends of those
//! that it called, and refusals of its commands. Part of the kind.

use selvedge_cluster::actor::kind::{RefusedMessage, Urgency, json};
use selvedge_cluster::actor::{Context, Effects, Incoming, Refusal};
use selvedge_protocol::{ErrorCode, OperationId};

use crate::operation::child::{ChildError, ChildFinished, ChildSubmit};
use crate::operation::kind::{OperationKind, OperationState};
use crate::operation::record::Payload;
use crate::operation::submission::Submission;
use crate::operation::{child, machine};

impl OperationKind {
    /// An actor calls an operation. It hears of a refusal as of a failed one.
    pub(super) fn submit_child(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        body: &[u8],
    ) -> Result<Effects, Refusal> {
        let call: ChildSubmit = json::decode(body).map_err(|e| Refusal::invalid("body", e))?;
        let parent = call.parent.clone();
        let submitted = Submission::new(call.submit.get().as_bytes(), Payload::None)
            .map(|submission| submission.called_by(call.parent, call.created_by))
            .and_then(|submission| self.submit(state, context, submission, None));
        submitted.or_else(|Refusal(failure)| {
            let id = OperationId::new(context.address.key.as_str());
            let id = id.map_err(|error| Refusal::invalid("id", error.to_string()))?;
            let error = ChildError {
                code: failure.code.to_string(),
                message: failure.message,
            };
            Ok(Effects {
                messages: vec![child::refused(&parent, id, error)],
                ..Effects::default()
            })
        })
    }

    /// Whoever called it has no use for it any more. One that has ended by then is as good as cancelled.
    pub(super) fn cancel_child(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        match self.verb(state, context, command) {
            Err(Refusal(failure))
                if matches!(failure.code, ErrorCode::Conflict | ErrorCode::NotFound) =>
            {
                Ok(Effects {
                    urgency: Urgency::Never,
                    ..Effects::default()
                })
            }
            decided => decided,
        }
    }

    pub(super) fn message_refused(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        body: &[u8],
    ) -> Result<Effects, Refusal> {
        let refused: RefusedMessage =
            json::decode(body).map_err(|e| Refusal::invalid("body", e))?;
        self.decide(state, context, |record, _| {
            Ok(machine::send_refused(record, context.now_ms, &refused))
        })
    }

    pub(super) fn child_finished(
        &self,
        state: &mut OperationState,
        context: &Context<'_>,
        body: &[u8],
    ) -> Result<Effects, Refusal> {
        let finished: ChildFinished =
            json::decode(body).map_err(|e| Refusal::invalid("body", e))?;
        self.decide(state, context, |record, _| {
            machine::child_finished(record, context.now_ms, &finished)
        })
    }
}
