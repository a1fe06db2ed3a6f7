//! What all who take part in a run share: where the node is, what is written to, and when it is over.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use selvedge_client::{Client, ClientBuilder, CommandId, Session};
use selvedge_cluster::Clock;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::operate::failure::CommandFailure;
use crate::operate::verify::form::Subject;

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) seed: u64,
    /// Part of every key and id, so that no two runs meet.
    pub(super) name: String,
    /// Of as many sorts as there are nodes: each goes to another one first.
    builders: Vec<ClientBuilder>,
    connected: AtomicUsize,
    /// A session beside those of the clients: what they repeat comes from here as well.
    pub(super) other: Session,
    pub(super) subjects: Vec<Subject>,
    /// The registers' values as last seen by anybody, so that a compare-and-set has a chance.
    pub(super) latest: Vec<AtomicU64>,
    /// Where sagas append to; nobody else does.
    pub(super) sent: Subject,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) clock: Clock,
    pub(super) began: Instant,
    tags: AtomicU64,
}

/// What a run is made of.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) seed: u64,
    pub(super) name: String,
    /// At least one.
    pub(super) builders: Vec<ClientBuilder>,
    pub(super) other: Session,
    pub(super) subjects: Vec<Subject>,
    pub(super) sent: Subject,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Run {
    pub(super) fn new(beginning: Beginning) -> Self {
        let clock = Clock::system();
        Self {
            seed: beginning.seed,
            name: beginning.name,
            builders: beginning
                .builders
                .into_iter()
                .map(|builder| builder.connect_timeout(PATIENCE))
                .collect(),
            connected: AtomicUsize::new(0),
            other: beginning.other,
            latest: beginning
                .subjects
                .iter()
                .map(|_| AtomicU64::new(0))
                .collect(),
            subjects: beginning.subjects,
            sent: beginning.sent,
            stopped: beginning.stopped,
            began: clock.monotonic(),
            clock,
            tags: AtomicU64::new(0),
        }
    }

    /// A number that names a change. Also bounds the run: what is checked is kept in memory until then.
    pub(super) fn tag(&self) -> u64 {
        1 + self.tags.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether nothing new is to begin.
    pub(super) fn is_over(&self) -> bool {
        *self.stopped.borrow() || self.tags.load(Ordering::Relaxed) >= CHANGES_MAX
    }

    /// Whether it ended early, with as much as is checked at a time.
    pub(super) fn is_full(&self) -> bool {
        self.tags.load(Ordering::Relaxed) >= CHANGES_MAX
    }

    pub(super) fn now_us(&self) -> u64 {
        let elapsed = self.clock.monotonic().duration_since(self.began);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn command_id(&self, tag: u64) -> CommandId {
        CommandId::from_text(&format!("{}-{tag}", self.name))
    }

    /// A session of its own, on the node whose turn it is.
    pub(super) async fn connect(&self) -> Result<Client, CommandFailure> {
        let turn = self.connected.fetch_add(1, Ordering::Relaxed);
        let builder = &self.builders[turn % self.builders.len()];
        Ok(builder.clone().connect().await?)
    }

    /// The decisions of one who takes part.
    pub(super) fn choices(&self, number: u64) -> Choices {
        Choices::new(self.seed, number)
    }
}

/// Random decisions: the same seed and number give the same.
#[derive(Debug)]
pub(super) struct Choices(Clock);

impl Choices {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        // A generator that counts up: another multiple for each keeps them apart.
        let seed = seed.wrapping_add(number.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(Clock::manual(0, seed))
    }

    /// A number below `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.0.random() % end.max(1)
    }

    /// A place in a list of this length.
    pub(super) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
}

/// How long a node may take for an answer, a restart included, before it counts as gone.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Changes of one run: with their events, what is kept of them stays under a gigabyte.
const CHANGES_MAX: u64 = 500_000;
