//! Answers to queries that wait for a proof that their slot is still this host's: one read of the fence
//! for all that wait in a slot. Needed where another process can write to the store.

use std::sync::Arc;

use parking_lot::Mutex;
use ractor::ActorRef;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;

use crate::actor::activation::Message;
use crate::actor::commit::fence;
use crate::actor::core::{Core, failure};
use crate::actor::mailbox::Caller;
use crate::actor::request::{AnswerSink, ReplyTo};
use crate::slot::Answer;

/// Whose answer has to be proven.
#[derive(Debug)]
pub(crate) struct Of {
    pub(crate) slot: u16,
    /// At which its actor was loaded.
    pub(crate) epoch: u64,
    pub(crate) activation: ActorRef<Message>,
}

/// A caller that is answered once the slot was seen to have the epoch still, after the answer was made.
pub(crate) fn required(core: &Arc<Core>, of: Of, caller: Caller) -> Caller {
    let sink = Proof {
        core: Arc::clone(core),
        of,
        caller: Mutex::new(Some(caller)),
    };
    Caller::new(ReplyTo::new(Arc::new(sink), 0), None)
}

struct Proof {
    core: Arc<Core>,
    of: Of,
    caller: Mutex<Option<Caller>>,
}

impl AnswerSink for Proof {
    fn answer(&self, _token: u64, outcome: Outcome) {
        let Some(caller) = self.caller.lock().take() else {
            return;
        };
        let slot = &self.core.slots[usize::from(self.of.slot)];
        let mut unproven = slot.unproven.lock();
        unproven.answers.push(Answer {
            caller,
            outcome,
            epoch: self.of.epoch,
            activation: self.of.activation.clone(),
        });
        if !std::mem::replace(&mut unproven.is_proving, true) {
            tokio::spawn(prove(Arc::clone(&self.core), self.of.slot));
        }
    }
}

/// Proves and answers until nobody waits.
async fn prove(core: Arc<Core>, number: u16) {
    let slot = &core.slots[usize::from(number)];
    loop {
        let answers = {
            let mut unproven = slot.unproven.lock();
            if unproven.answers.is_empty() {
                unproven.is_proving = false;
                return;
            }
            std::mem::take(&mut unproven.answers)
        };
        let ours = slot.epoch();
        let present = fence(&core, number).await;
        if present.as_ref().is_ok_and(|present| *present != ours) {
            slot.lose(ours);
        }
        for answer in answers {
            let Answer {
                caller,
                outcome,
                epoch,
                activation,
            } = answer;
            match present {
                Ok(present) if present == epoch => caller.answer(outcome),
                Ok(_) | Err(_) => {
                    let text = "this node cannot prove that it owns the actor; ask again";
                    caller.answer(failure(ErrorCode::Unavailable, text));
                }
            }
            // The caller had its place there until now. Not bounded by permits: one for each that was given back.
            let _ = activation.send_message(Message::Rest);
        }
    }
}
