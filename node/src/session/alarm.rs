//! The alarm of a session: a message to it when the credential of its connection may have expired. The session actor
//! sets one for each connection, and the one before goes with its connection.

use std::time::Duration;

use ractor::ActorRef;
use tokio::task::AbortHandle;

use crate::session::handle::ConnectionNumber;
use crate::session::message::Message;

/// Dropped, it does not ring.
pub(super) struct Alarm(AbortHandle);

impl Alarm {
    /// Rings after this time.
    pub(super) fn set(
        after: Duration,
        session: &ActorRef<Message>,
        connection: ConnectionNumber,
    ) -> Self {
        let ring = move || Message::LookAtCredential(connection);
        Self(session.send_after(after, ring).abort_handle())
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.abort();
    }
}
