//! The alarm of a session: a message to it when the credential of its connection has come to its end. The session
//! actor sets one for each connection, and the one before goes with its connection.

use ractor::ActorRef;
use tokio::task::AbortHandle;

use crate::identity::Term;

use crate::session::handle::ConnectionNumber;
use crate::session::message::Message;

/// Dropped, it does not ring.
pub(super) struct Alarm(AbortHandle);

impl Alarm {
    /// Rings once, at the end of the term.
    pub(super) fn set(
        term: Term,
        session: &ActorRef<Message>,
        connection: ConnectionNumber,
    ) -> Self {
        let session = session.clone();
        let ring = async move {
            term.ended().await;
            // A session that has ended needs no alarm.
            let _ = session.cast(Message::LookAtCredential(connection));
        };
        Self(tokio::spawn(ring).abort_handle())
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}
