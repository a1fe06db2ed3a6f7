//! The membership of this node while it runs: a task that joins, beats, and keeps the view of the cluster, and
//! the handle on it. The node's start makes it; whatever has to know the cluster reads its view.
//!
//! It decides nothing: [`Service`] and its machine do. It never owns a slot; ownership follows its view.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_protocol::limits::NODES_MAX;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::Clock;
use crate::membership::machine::{Ousted, Timing};
use crate::membership::service::{Joining, Service};
use crate::membership::view::View;
use crate::peer::Target;
use crate::store::{self, Store};

mod bell;
mod rounds;

use rounds::Rounds;

/// How a node is a member.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    pub joining: Joining,
    /// How many slots the cluster has, as fixed in its store when it was created.
    pub slots: u16,
    pub timing: Timing,
}

/// A cheap handle on a node's membership. When the last one is dropped, its rounds end at once, as in a
/// crash: the cluster finds out by its silence.
#[derive(Debug, Clone)]
pub struct Member {
    shared: Arc<Shared>,
    standing: watch::Receiver<Standing>,
    _life: Arc<Life>,
}

/// What a node is to its cluster, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Member,
    /// No round has succeeded for [`Timing::dead`]: others may take its slots any moment.
    Doubtful,
    /// It is not a member, and owns nothing. One that was declared dead joins anew by itself.
    Out(Ousted),
    /// It has left in order.
    Left,
}

/// Why a node cannot be a member any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Two processes have one name, and this one was there first.
    #[error(
        "another process runs under the name {name} and has joined the cluster with it; give each node a \
         --name of its own and start this one again"
    )]
    Replaced { name: String },
    /// A defect: see the log.
    #[error("the membership of node {name} has ended by itself; see its log, and start it again")]
    Ended { name: String },
}

/// How a node left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It owned nothing any more.
    Emptied,
    /// It still owned something when its time was over: others take that by force.
    Late,
    /// Its store was away, so it could neither say that it leaves nor hand anything over: others take what it
    /// owned once they have the store and find it dead.
    CutOff,
}

/// Answers which other nodes cannot be reached at the moment, of those that this one needs and of these as well,
/// which others doubt. Asked with each beat; must not wait.
pub type Reach = dyn Fn(Instant, &[Target]) -> Vec<String> + Send + Sync;

/// What the handle and the task share.
struct Shared {
    name: String,
    view: watch::Sender<Arc<View>>,
    wish: watch::Sender<Wish>,
    poked: Notify,
    /// Nodes to which a link broke, until the next round.
    suspects: Mutex<BTreeSet<String>>,
    reach: OnceLock<Box<Reach>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.name)
    }
}

/// What the node wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stay,
    /// To own nothing.
    Empty,
    /// To be no member.
    End,
}

#[derive(Debug)]
struct Life(AbortHandle);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Standing {
    /// Whether the node may own slots.
    pub const fn is_in(self) -> bool {
        match self {
            Self::Member | Self::Doubtful => true,
            Self::Out(_) | Self::Left => false,
        }
    }
}

impl Member {
    /// Joins the cluster and begins to beat. There is a view when this completes.
    pub async fn start(
        config: MemberConfig,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Self, store::Error> {
        let name = config.joining.name.clone();
        let mut service = Service::join(
            Arc::clone(&store),
            &clock,
            config.slots,
            config.joining.clone(),
            config.timing,
        )
        .await?;
        // The first node of a cluster makes its first plan here.
        let mut rounds = 1;
        while let Err(error) = service.round(|| clock.monotonic()).await {
            let may_pass = error.may_be_retried() || matches!(error, store::Error::CommitUnknown);
            if !may_pass || rounds == FIRST_ROUNDS_MAX {
                return Err(error);
            }
            rounds += 1;
            sleep(config.timing.beat).await;
        }
        let view = service.view().await?;
        let shared = Arc::new(Shared {
            name,
            view: watch::Sender::new(Arc::new(view)),
            wish: watch::Sender::new(Wish::Stay),
            poked: Notify::new(),
            suspects: Mutex::default(),
            reach: OnceLock::new(),
        });
        let (told, standing) = watch::channel(Standing::Member);
        let rounds = Rounds::new(config, store, clock, service, Arc::clone(&shared), told);
        let life = Life(tokio::spawn(rounds.run()).abort_handle());
        Ok(Self {
            shared,
            standing,
            _life: Arc::new(life),
        })
    }

    /// The name that the node joined under.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The cluster as this node sees it, now and from now on.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.subscribe()
    }

    /// What this node is, now and from now on. Ends when the membership does.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Has the view read anew soon: something does not fit it. Any number of calls is one read at a time.
    pub fn poke(&self) {
        self.shared.poked.notify_one();
    }

    /// From now on this says which nodes cannot be reached, and the cluster is told: one that most others
    /// cannot reach owns nothing until they can. The first call counts.
    pub fn reports(&self, reach: Box<Reach>) {
        // A later one would say the same.
        let _ = self.shared.reach.set(reach);
    }

    /// A link to a node broke: unless that proves alive, it is judged sooner.
    pub fn suspect(&self, node: &str) {
        let mut suspects = self.shared.suspects.lock();
        if suspects.len() < NODES_MAX && !suspects.contains(node) {
            suspects.insert(node.to_owned());
        }
    }

    /// Completes if this node cannot be a member any more; the process has to end.
    pub async fn failed(&self) -> MemberError {
        let mut standing = self.standing();
        let name = self.name().to_owned();
        let is_replaced = |standing: &Standing| *standing == Standing::Out(Ousted::Replaced);
        if standing.wait_for(is_replaced).await.is_ok() {
            return MemberError::Replaced { name };
        }
        let last = *standing.borrow();
        if last == Standing::Left {
            std::future::pending::<()>().await;
        }
        MemberError::Ended { name }
    }

    /// Leaves in order: the plan gives what this node owns to others, and when `emptied` completes, or after
    /// `limit`, it is no member any more. The membership ends with this. A node whose store does not come back
    /// within [`CUT_OFF_MAX`] waits no longer: nobody can hear of it.
    pub async fn leave(&self, emptied: impl Future<Output = ()>, limit: Duration) -> Leave {
        self.shared.wish.send_replace(Wish::Empty);
        let leave = tokio::select! {
            biased;
            () = emptied => Leave::Emptied,
            () = self.cut_off() => Leave::CutOff,
            () = sleep(limit) => Leave::Late,
        };
        self.shared.wish.send_replace(Wish::End);
        let mut standing = self.standing();
        let is_over = |standing: &Standing| match standing {
            Standing::Left | Standing::Out(Ousted::Replaced) => true,
            Standing::Member | Standing::Doubtful | Standing::Out(Ousted::Dead) => false,
        };
        // Ended by itself is over as well.
        let over = standing.wait_for(is_over);
        match leave {
            Leave::Emptied | Leave::Late => drop(over.await),
            // It may be in the middle of a call that nobody answers.
            Leave::CutOff => drop(timeout(GOODBYE_MAX, over).await),
        }
        leave
    }

    /// Completes when no round has succeeded for so long that a wait for one is in vain.
    async fn cut_off(&self) {
        let mut standing = self.standing();
        loop {
            let is_doubtful = |standing: &Standing| *standing == Standing::Doubtful;
            if standing.wait_for(is_doubtful).await.is_err() {
                std::future::pending::<()>().await;
            }
            let again = standing.wait_for(|standing| !is_doubtful(standing));
            if timeout(CUT_OFF_MAX, again).await.is_err() {
                return;
            }
        }
    }
}

/// Of the first round, which a store that has just come up may refuse: some seconds, then its operator is told.
const FIRST_ROUNDS_MAX: u32 = 20;
/// A storage node that is started again is there within this time, on top of the one after which a node doubts.
const CUT_OFF_MAX: Duration = Duration::from_secs(2);
/// A call of a store that is there takes less.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
