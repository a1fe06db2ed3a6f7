//! The alarm of a session: a message to it when the credential of its connection has come to its end, or when it may
//! have been idle for as long as it may. The session actor sets one for each connection, and the one before goes with
//! its connection.

use std::time::Duration;

use ractor::ActorRef;
use selvedge_protocol::frame::ClientFrame;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::identity::Term;
use crate::session::handle::ConnectionNumber;
use crate::session::message::Message;

/// The alarm, and since when its session has asked for nothing.
pub(super) struct Alarm {
    /// How long it may; `None`: for ever.
    idle: Option<Duration>,
    asked: Instant,
    set: Option<Set>,
}

/// Dropped, it does not ring.
struct Set(AbortHandle);

impl Alarm {
    pub(super) fn new(idle: Option<Duration>) -> Self {
        Self {
            idle,
            asked: Instant::now(),
            set: None,
        }
    }

    /// The client has asked for something.
    pub(super) const fn asked(&mut self, now: Instant) {
        self.asked = now;
    }

    /// That the client has not been idle for too long.
    pub(super) fn check_idle(&self) -> Result<(), Failure> {
        match self.left() {
            Some(left) if left.is_zero() => Err(Failure::new(
                ErrorCode::SessionExpired,
                "nothing was asked for as long as may be here; open a new session",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Rings once, at the end of the term or when the client may be idle. Most credentials need none.
    pub(super) fn set(
        &mut self,
        term: Term,
        session: &ActorRef<Message>,
        connection: ConnectionNumber,
    ) {
        let left = self.left();
        if !term.may_end() && left.is_none() {
            return self.clear();
        }
        let session = session.clone();
        let ring = async move {
            match left {
                None => drop(term.ended().await),
                Some(left) => drop(timeout(left, term.ended()).await),
            }
            // A session that has ended needs no alarm.
            let _ = session.cast(Message::LookAtCredential(connection));
        };
        self.set = Some(Set(tokio::spawn(ring).abort_handle()));
    }

    pub(super) fn clear(&mut self) {
        self.set = None;
    }

    fn left(&self) -> Option<Duration> {
        Some(self.idle?.saturating_sub(self.asked.elapsed()))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether somebody is at work there, and not only a connection.
pub(super) const fn is_asking(frame: &ClientFrame) -> bool {
    !matches!(frame, ClientFrame::Ping(_) | ClientFrame::Ack(_))
}
