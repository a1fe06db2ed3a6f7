//! How an activation hears of the erasure of whom it is about. Part of the activation.

use ractor::ActorRef;

use crate::actor::activation::{Message, Phase, Running};
use crate::actor::machine::Broken;
use crate::privacy::ScopedSubject;

impl Running {
    /// Lets the activation hear of the erasure of whom its state is about.
    pub(super) fn attend(&mut self, myself: &ActorRef<Message>) -> Result<(), Broken> {
        let Phase::Ready(machine) = &mut self.phase else {
            return Ok(());
        };
        if self.attending.is_some() {
            return Ok(());
        }
        if let Some(of) = machine.subject()? {
            let joined = self.core.attendance.join(of, myself, self.generation);
            self.attending = Some(joined.ok_or(Broken)?);
        }
        Ok(())
    }

    /// Whom it is about was erased: nothing of that stays in memory, and who follows it looks again.
    pub(super) fn erased(&mut self, myself: &ActorRef<Message>, of: &ScopedSubject) {
        let (Phase::Ready(machine) | Phase::Ending(machine)) = &mut self.phase else {
            return;
        };
        // It may be for who was here before.
        if machine.subject() != Ok(Some(of.clone())) {
            return;
        }
        machine.erased();
        self.slot().hub.let_go(&self.name.actor);
        self.end(myself);
    }
}
