//! The embedded store: a directory, fjall below, serialisable transactions and group commit above.
//!
//! Opened by a node that has no other store, by tests and by tools. One process has it open at a
//! time. It never answers a commit before it is durable, and never waits for a clock.
//!
//! ```text
//! transaction ─ reads ──► view (a snapshot per group) ──► engine (fjall)
//!      └─ commit ──► queue ──► group: window (conflicts), space ──► engine ──► view, watch, answers
//! ```

mod directory;
mod engine;
mod group;
mod hash;
mod journal;
mod manifest;
mod queue;
mod space;
mod transaction;
mod view;
mod watch;
mod window;
mod writes;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::{BoxFuture, ready};

use self::directory::Directory;
use self::engine::{Engine, kept};
use self::group::Committer;
use self::queue::Queue;
use self::space::Space;
use self::transaction::EmbeddedTransaction;
use self::view::{View, Views};
use self::watch::Watches;
use super::{Error, Store, Transaction, Version};
use crate::Clock;

/// Where an embedded store lies and what it may take.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The store's own directory; created if need be.
    pub path: PathBuf,
    /// Free disk space below which commits are refused.
    pub reserve_bytes: u64,
    /// Memory for blocks that were read.
    pub cache_bytes: u64,
    /// Memory for writes that are not in tables yet; several times as much while flushes lag. Fixed
    /// when the store is created.
    pub memtable_bytes: u64,
    /// For the age of commits.
    pub clock: Clock,
}

impl EmbeddedConfig {
    /// The defaults, in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            // Room for a flush of the memtable and the next journal while the disk fills up.
            reserve_bytes: 64 * 1024 * 1024,
            // The hot blocks of half a million small actors, so that a node with a million of them asleep
            // takes under 200 MB for them; what is older is read from the disk.
            cache_bytes: 40 * 1024 * 1024,
            // Half of fjall's default: a flush then fits well into the reserve.
            memtable_bytes: 32 * 1024 * 1024,
            clock: Clock::system(),
        }
    }
}

/// A store in a directory of this machine.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
}

/// What a store and its transactions share.
#[derive(Debug)]
struct Shared {
    views: Arc<Views>,
    watches: Arc<Watches>,
    queue: Arc<Queue>,
    space: Arc<Space>,
    clock: Clock,
}

impl Embedded {
    /// Opens or creates the store. Blocks: for as long as it takes to read the journals.
    pub fn open(config: EmbeddedConfig) -> Result<Self, Error> {
        let directory = Directory::open(&config.path)?;
        let floor = directory.floor();
        let (engine, mut version) = Engine::open(directory, &config)?;
        if floor.is_some_and(|floor| version < floor) {
            return Err(engine.damaged("commits that were durable are missing"));
        }
        if version == 0 {
            // A version from the start, so that its absence later means loss.
            version = 1;
            let written = engine.write(version, std::iter::empty());
            written.map_err(|error| Error::Stopped(format!("{error:?}")))?;
        }
        let raised = engine.directory().raise_floor(version);
        raised.map_err(|error| Error::Stopped(format!("{}: {error}", config.path.display())))?;
        let engine = Arc::new(engine);
        let view = || View {
            version,
            snapshot: engine.snapshot(),
            engine: Arc::clone(&engine),
        };
        let views = Arc::new(Views::new(view()));
        let watches = Arc::new(Watches::default());
        let space = Arc::new(Space::new(config.path, config.reserve_bytes));
        let committer = Committer::new(
            &view(),
            Arc::clone(&views),
            Arc::clone(&watches),
            Arc::clone(&space),
            config.clock.clone(),
        );
        let queue = Queue::start(committer)?;
        Ok(Self {
            shared: Arc::new(Shared {
                views,
                watches,
                queue,
                space,
                clock: config.clock,
            }),
        })
    }

    /// Ends the store: commits that wait are finished, later ones are refused, threads are joined.
    /// The directory is free once the last transaction is dropped. Blocks for one commit or so.
    pub fn close(&self) {
        let Some(committer) = self.shared.queue.close() else {
            return;
        };
        let floor = committer.engine().directory();
        if let Err(error) = floor.raise_floor(committer.version()) {
            // It only makes a later check less sharp.
            tracing::warn!(%error, "the store's floor could not be noted");
        }
        self.shared.watches.fire_all(&Err(view::closed()));
        self.shared.views.close();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for Embedded {
    fn begin(&self) -> Box<dyn Transaction> {
        Box::new(EmbeddedTransaction::latest(Arc::clone(&self.shared)))
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        Box::new(EmbeddedTransaction::at(Arc::clone(&self.shared), version))
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        match self.health() {
            Ok(()) | Err(Error::Full { .. }) => self.shared.watches.add(kept(key)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn health(&self) -> Result<(), Error> {
        self.shared.queue.health()?;
        self.shared.space.check(self.shared.clock.monotonic(), 0)
    }
}
