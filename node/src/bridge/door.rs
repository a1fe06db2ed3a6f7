//! The door of the HTTP port: lets connections in by where they come from, counts what became of them, and says in the log
//! when some are turned away. The front asks it for each; it never waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::gate::admission::{StreamLimits, Streams};
use selvedge_protocol::limits::BRIDGE_ACCOUNTS_MAX;
use tokio::time::Instant;

use crate::metrics::{self, Entered};

#[derive(Debug)]
pub(super) struct Door {
    clock: Clock,
    began: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    streams: Streams,
    /// When the log had a line of those who were turned away, and how many there were since.
    told: Option<Instant>,
    turned_away: u64,
}

/// Leave for a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    door: Arc<Door>,
    from: IpAddr,
}

/// Leave for a TLS handshake of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Shaking<'a>(&'a Entry);

impl Door {
    pub(super) fn new(limits: StreamLimits, clock: Clock) -> Arc<Self> {
        let streams = Streams::new(limits, BRIDGE_ACCOUNTS_MAX, clock.random());
        Arc::new(Self {
            began: clock.monotonic(),
            inner: Mutex::new(Inner {
                streams,
                told: None,
                turned_away: 0,
            }),
            clock,
        })
    }

    /// Lets a connection in, or not.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Entry> {
        let now = self.clock.monotonic();
        let may = self.inner.lock().streams.open(now - self.began, from);
        if !may {
            self.turned_away(now);
            return None;
        }
        metrics::http_connection(Entered::Yes);
        let door = Arc::clone(self);
        Some(Entry { door, from })
    }

    fn turned_away(&self, now: Instant) {
        metrics::http_connection(Entered::No);
        let mut inner = self.inner.lock();
        inner.turned_away += 1;
        if inner.told.is_some_and(|told| now < told + TELL) {
            return;
        }
        inner.told = Some(now);
        let count = std::mem::take(&mut inner.turned_away);
        drop(inner);
        tracing::warn!(count, "turning connections over HTTP away");
    }
}

impl Entry {
    /// Lets it begin TLS, or not.
    pub(super) fn shake(&self) -> Option<Shaking<'_>> {
        let may = self.door.inner.lock().streams.shakes(self.from);
        if !may {
            self.door.turned_away(self.door.clock.monotonic());
        }
        may.then_some(Shaking(self))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.door.inner.lock().streams.closed(self.from);
    }
}

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        let Entry { door, from } = self.0;
        door.inner.lock().streams.shaken(*from);
    }
}

/// The log has a line at most as often.
const TELL: Duration = Duration::from_secs(1);
