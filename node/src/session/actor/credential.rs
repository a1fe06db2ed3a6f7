//! The credential of a session's connection: looked at with each request and when its alarm rings. What it is decides
//! nothing here but whether the connection goes on.

use ractor::ActorRef;

use super::State;
use crate::identity::Term;
use crate::session::handle::ConnectionNumber;
use crate::session::link::End;
use crate::session::message::Message;

impl State {
    pub(super) fn look_at_credential(
        &mut self,
        myself: &ActorRef<Message>,
        connection: ConnectionNumber,
    ) {
        if !self.is_current(connection) || !self.is_let_in(myself) {
            return;
        }
        match self.alarm.check_idle() {
            Ok(()) => self.set_alarm(myself, connection),
            Err(failure) => {
                self.end(End::Failed(failure));
                self.work.leave();
                myself.stop(None);
            }
        }
    }

    pub(super) fn set_alarm(&mut self, myself: &ActorRef<Message>, connection: ConnectionNumber) {
        let principal = self.caller.principal.clone();
        let term = Term::new(Some(principal), self.clock.clone());
        self.alarm.set(term, myself, connection);
    }

    /// Whether the credential holds. Where it has expired the connection ends; with another the client may resume.
    pub(super) fn is_let_in(&mut self, myself: &ActorRef<Message>) -> bool {
        match self.caller.principal.check_present(&self.clock) {
            Ok(()) => true,
            Err(failure) => {
                self.service.ended(&self.caller.principal, &failure);
                self.expel(myself, failure);
                false
            }
        }
    }
}
