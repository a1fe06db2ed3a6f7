//! One group of commits: checked in order, merged, written with one fsync, published, answered.
//!
//! The committer has one owner at a time, whoever leads. It decides; it never waits for a transaction.

use std::fmt;
use std::sync::Arc;

use selvedge_protocol::limits::STORE_TRANSACTION_BYTES_MAX;
use tokio::sync::oneshot;

use super::super::{CommitDone, Committed, Error, Order, Version};
use super::engine::{Engine, Slice, WriteError};
use super::hash::HashedKey;
use super::space::Space;
use super::view::{View, Views, closed};
use super::watch::Watches;
use super::window::{Reads, Window};
use super::writes::{Stamped, Write};
use crate::Clock;

/// A transaction that wants to commit.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) version: Version,
    pub(super) reads: Reads,
    pub(super) keys: Vec<(HashedKey, Write)>,
    pub(super) cleared: Vec<(Slice, Slice)>,
    pub(super) stamped: Vec<Stamped>,
    pub(super) conflicts: Vec<HashedKey>,
    pub(super) bytes: usize,
    pub(super) answer: Answer,
}

pub(super) type Outcome = Result<Committed, Error>;

/// Who hears how a commit went.
pub(super) enum Answer {
    Channel(oneshot::Sender<Outcome>),
    Call(CommitDone),
}

impl Answer {
    pub(super) fn give(self, outcome: Outcome) {
        match self {
            // Who no longer waits does not need to know.
            Self::Channel(sender) => drop(sender.send(outcome)),
            Self::Call(done) => done(outcome),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// What decides and writes groups.
#[derive(Debug)]
pub(super) struct Committer {
    engine: Arc<Engine>,
    views: Arc<Views>,
    watches: Arc<Watches>,
    window: Window,
    space: Arc<Space>,
    clock: Clock,
    version: Version,
    /// The group's changes, one a key.
    changes: Vec<(HashedKey, Option<Slice>)>,
    outcomes: Vec<(Answer, Outcome)>,
    bytes_since_floor: usize,
}

impl Committer {
    pub(super) fn new(
        view: &View,
        views: Arc<Views>,
        watches: Arc<Watches>,
        space: Arc<Space>,
        clock: Clock,
    ) -> Self {
        Self {
            engine: Arc::clone(&view.engine),
            views,
            watches,
            window: Window::new(view.version),
            space,
            clock,
            version: view.version,
            changes: Vec::new(),
            outcomes: Vec::new(),
            bytes_since_floor: 0,
        }
    }

    /// Commits what can be committed and answers every request, unless the store cannot go on.
    pub(super) fn commit(&mut self, group: &mut Vec<Request>) -> Result<(), Failure> {
        let now = self.clock.monotonic();
        let bytes = group.iter().map(|request| request.bytes).sum();
        if let Err(full) = self.space.check(now, bytes) {
            for request in group.drain(..) {
                request.answer.give(Err(full.clone()));
            }
            return Ok(());
        }
        let version = self.version + 1;
        self.window.start_group(version, now);
        for (order, request) in group.drain(..).enumerate() {
            self.decide(version, order, request);
        }
        if self.outcomes.iter().all(|(_, outcome)| outcome.is_err()) {
            self.answer();
            return Ok(());
        }
        if let Err(error) = self.write(version, bytes) {
            return Err(self.fail(error));
        }
        self.version = version;
        self.answer();
        Ok(())
    }

    /// The last version.
    pub(super) const fn version(&self) -> Version {
        self.version
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Checks one request and merges its writes into the group's.
    fn decide(&mut self, version: Version, order: usize, request: Request) {
        let versionstamp = versionstamp(version, order);
        let outcome = match self.window.check(request.version, &request.reads) {
            Ok(()) => self.merge(
                &versionstamp,
                request.cleared,
                request.keys,
                request.stamped,
            ),
            Err(error) => Err(error),
        };
        if outcome.is_ok() {
            for key in request.conflicts {
                self.window.write(key);
            }
        }
        let outcome = outcome.map(|()| Committed {
            version,
            versionstamp,
        });
        self.outcomes.push((request.answer, outcome));
    }

    fn merge(
        &mut self,
        versionstamp: &[u8; 10],
        cleared: Vec<(Slice, Slice)>,
        keys: Vec<(HashedKey, Write)>,
        stamped: Vec<Stamped>,
    ) -> Result<(), Error> {
        // What can fail comes before anything that cannot be taken back.
        let mut gone = Vec::new();
        for (begin, end) in &cleared {
            self.keys_between(begin, end, &mut gone)?;
        }
        let bases = self.bases(&keys)?;
        for key in gone {
            self.change(key, |_| None);
        }
        for (begin, end) in cleared {
            self.window.clear(begin, end);
        }
        for (key, write) in keys {
            let base = bases.iter().find(|(added, _)| *added == key.key);
            let base = base.and_then(|(_, value)| value.as_deref());
            self.change(key, |written| match written {
                Some(value) => write.over(value.as_deref()),
                None => write.over(base),
            });
        }
        for Stamped {
            prefix,
            suffix,
            value,
        } in stamped
        {
            let key = Slice::from([&*prefix, versionstamp, &*suffix].concat());
            self.change(HashedKey::new(key), |_| Some(value));
        }
        Ok(())
    }

    /// Notes a change and what the key's value is then, from what the group has already written to it.
    fn change(
        &mut self,
        key: HashedKey,
        value: impl FnOnce(Option<&Option<Slice>>) -> Option<Slice>,
    ) {
        if self.window.write(key.clone()) {
            // Written before in this group, or another key of the same hash was: rare, and few to search.
            let mut changes = self.changes.iter_mut().rev();
            if let Some((_, written)) = changes.find(|(written, _)| *written == key) {
                *written = value(Some(written));
                return;
            }
        }
        self.changes.push((key, value(None)));
    }

    /// What the store has under the keys that are added to.
    fn bases(&self, keys: &[(HashedKey, Write)]) -> Result<Vec<(Slice, Option<Slice>)>, Error> {
        let mut bases = Vec::new();
        for (key, write) in keys {
            if matches!(write, Write::Add(_)) {
                let view = self.views.latest().ok_or_else(closed)?;
                let value = self.engine.value(&view.snapshot, &key.key)?;
                bases.push((key.key.clone(), value));
            }
        }
        Ok(bases)
    }

    /// The keys that a cleared range removes. The engine clears single keys only.
    fn keys_between(
        &self,
        begin: &Slice,
        end: &Slice,
        found: &mut Vec<HashedKey>,
    ) -> Result<(), Error> {
        let view = self.views.latest().ok_or_else(closed)?;
        let stored = self
            .engine
            .pairs(&view.snapshot, (begin, end), Order::Ascending);
        let mut bytes = found.iter().map(|found| found.key.len()).sum::<usize>();
        for pair in stored {
            let (key, _) = pair?;
            bytes += key.len();
            if bytes > STORE_TRANSACTION_BYTES_MAX {
                return Err(Error::TooLarge {
                    what: "cleared range with keys",
                    bytes,
                    limit: STORE_TRANSACTION_BYTES_MAX,
                });
            }
            found.push(HashedKey::new(key));
        }
        let written = self.changes.iter().map(|(key, _)| key);
        found.extend(
            written
                .filter(|written| *begin <= written.key && written.key < *end)
                .cloned(),
        );
        Ok(())
    }

    /// Makes the group's changes durable, and then visible.
    fn write(&mut self, version: Version, bytes: usize) -> Result<(), WriteError> {
        let is_watched = !self.watches.is_empty();
        let watched: Vec<Slice> = match is_watched {
            true => self
                .changes
                .iter()
                .map(|(key, _)| key.key.clone())
                .collect(),
            false => Vec::new(),
        };
        let changes = self.changes.drain(..).map(|(key, value)| (key.key, value));
        self.engine.write(version, changes)?;
        let view = View {
            version,
            snapshot: self.engine.snapshot(),
            engine: Arc::clone(&self.engine),
        };
        self.views.publish(view, self.window.oldest());
        for key in &watched {
            self.watches.fire(key);
        }
        if !is_watched && !self.watches.is_empty() {
            // They came while the group was written, and may have read what was before: by chance, then.
            self.watches.fire_all(&Ok(()));
        }
        self.bytes_since_floor += bytes;
        if self.bytes_since_floor >= FLOOR_EVERY_BYTES {
            self.bytes_since_floor = 0;
            if let Err(error) = self.engine.directory().raise_floor(version) {
                // It only makes a later check less sharp.
                tracing::warn!(%error, "the store's floor could not be noted");
            }
        }
        Ok(())
    }

    fn answer(&mut self) {
        for (answer, outcome) in self.outcomes.drain(..) {
            answer.give(outcome);
        }
    }

    /// What the group has to be told when its write failed.
    fn fail(&mut self, error: WriteError) -> Failure {
        let (reason, outcome) = match error {
            WriteError::Refused(reason) => (reason.clone(), Error::Stopped(reason)),
            WriteError::Unknown(reason) => (reason, Error::CommitUnknown),
        };
        let answers = self.outcomes.drain(..);
        Failure {
            reason,
            answers: answers
                .map(|(answer, decided)| (answer, decided.and_then(|_| Err(outcome.clone()))))
                .collect(),
        }
    }
}

/// Why a store stops, and what its last group is told once it has.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) answers: Vec<(Answer, Outcome)>,
}

/// Eight bytes of version and two of the place within its group, as FoundationDB has it.
fn versionstamp(version: Version, order: usize) -> [u8; 10] {
    let mut stamp = [0; 10];
    let order = u16::try_from(order).unwrap_or(u16::MAX);
    stamp[..8].copy_from_slice(&version.to_be_bytes());
    stamp[8..].copy_from_slice(&order.to_be_bytes());
    stamp
}

/// A fraction of a journal: a missing one is noticed, and the fsyncs do not count.
const FLOOR_EVERY_BYTES: usize = 16 * 1024 * 1024;
