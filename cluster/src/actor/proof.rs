//! Answers to queries that wait for a proof that their slot is still this host's: one read of the fence
//! for all that wait in a slot. Needed where another process can write to the store.

use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::Outcome;

use crate::actor::commit::fence;
use crate::actor::core::{Core, failure};
use crate::actor::mailbox::Caller;
use crate::actor::request::{AnswerSink, ReplyTo};
use crate::slot::Answer;

/// A caller that is answered once the slot was seen to have the epoch still, at which its actor was loaded, after
/// the answer was made.
pub(crate) fn required(core: &Arc<Core>, slot: u16, epoch: u64, caller: Caller) -> Caller {
    let sink = Proof {
        core: Arc::clone(core),
        slot,
        epoch,
        caller: Mutex::new(Some(caller)),
    };
    Caller::new(ReplyTo::new(Arc::new(sink), 0), None)
}

struct Proof {
    core: Arc<Core>,
    slot: u16,
    epoch: u64,
    caller: Mutex<Option<Caller>>,
}

impl AnswerSink for Proof {
    fn answer(&self, _token: u64, outcome: Outcome) {
        let Some(caller) = self.caller.lock().take() else {
            return;
        };
        let slot = &self.core.slots[usize::from(self.slot)];
        let mut unproven = slot.unproven.lock();
        unproven.answers.push(Answer {
            caller,
            outcome,
            epoch: self.epoch,
        });
        if !std::mem::replace(&mut unproven.is_proving, true) {
            tokio::spawn(prove(Arc::clone(&self.core), self.slot));
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
            } = answer;
            match present {
                Ok(present) if present == epoch => caller.answer(outcome),
                Ok(_) | Err(_) => {
                    let text = "this node cannot prove that it owns the actor; ask again";
                    caller.answer(failure(ErrorCode::Unavailable, text));
                }
            }
        }
    }
}
