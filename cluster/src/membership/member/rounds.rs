//! The loop of a member: one call of the store at a time, each with a bound, and the word on how the node
//! stands meanwhile.

use std::sync::Arc;
use std::time::Duration;

use selvedge_protocol::limits::STORE_TRANSACTION_MS_MAX;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::bell::Bell;
use super::{MemberConfig, Shared, Standing, Wish};
use crate::Clock;
use crate::membership::machine::Ousted;
use crate::membership::service::{Round, Service};
use crate::peer::Target;
use crate::store::keys::ClusterKey;
use crate::store::{self, Store};

/// A transaction that is older is not committed any more.
const CALL_MAX: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX);
/// Looks and rounds that somebody asks for follow one another so fast at most: a beat's tenth, so that
/// a crowd of nodes that come and go costs little more than their beats do.
const ASKED_PER_BEAT: u32 = 10;

#[derive(Debug)]
pub(super) struct Rounds {
    config: MemberConfig,
    store: Arc<dyn Store>,
    clock: Clock,
    service: Service,
    shared: Arc<Shared>,
    confidence: Confidence,
    /// It was declared dead and has not joined again.
    is_out: bool,
    wish: Wish,
    /// Whether the store knows that the node wants to be empty.
    is_announced: bool,
    /// The digest of the view that was published.
    digest: u64,
    /// Nodes that somebody could not reach, by the last round.
    doubted: Vec<String>,
    /// A round, and a read of the view, that are not to wait for the next beat.
    round: Asked,
    look: Asked,
    plan: Bell,
    /// Only the controller listens.
    bell: Option<Bell>,
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Round,
    Over,
}

impl Rounds {
    pub(super) fn new(
        config: MemberConfig,
        store: Arc<dyn Store>,
        clock: Clock,
        service: Service,
        shared: Arc<Shared>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        let now = clock.monotonic();
        let beat = config.timing.beat;
        let digest = shared.view.borrow().digest();
        Self {
            plan: Bell::new(Arc::clone(&store), ClusterKey::Plan, beat),
            confidence: Confidence {
                standing,
                succeeded: now,
                doubt_after: config.timing.dead,
                is_away: false,
            },
            is_out: false,
            wish: Wish::Stay,
            is_announced: false,
            digest,
            doubted: Vec::new(),
            round: Asked::new(beat / ASKED_PER_BEAT),
            look: Asked::new(beat / ASKED_PER_BEAT),
            bell: None,
            config,
            store,
            clock,
            service,
            shared,
        }
    }

    /// Until the node has left or was replaced.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut wishes = shared.wish.subscribe();
        // It may be another one already.
        wishes.mark_changed();
        let mut beats = self.beats();
        // The plan may have changed between the view of the start and the watch on it.
        self.look.ask(self.clock.monotonic());
        loop {
            // What is rare comes first: beats alone may fill the time while the store is slow.
            let next = tokio::select! {
                biased;
                Ok(()) = wishes.changed() => {
                    let wish = *wishes.borrow_and_update();
                    self.become_wish(wish).await
                }
                _ = beats.tick() => self.beat().await,
                () = self.round.due() => self.beat().await,
                () = self.look.due() => self.look().await,
                () = shared.poked.notified() => self.ask_look(),
                () = self.plan.rung() => self.ask_look(),
                () = rung(&mut self.bell) => self.ask_round(),
            };
            if next == Next::Over {
                return;
            }
        }
    }

    fn beats(&self) -> Interval {
        let beat = self.config.timing.beat;
        let mut beats = interval_at(self.clock.monotonic() + beat, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats
    }

    fn ask_look(&mut self) -> Next {
        self.look.ask(self.clock.monotonic());
        Next::Round
    }

    fn ask_round(&mut self) -> Next {
        self.round.ask(self.clock.monotonic());
        Next::Round
    }

    /// One round, as whatever the node is.
    async fn beat(&mut self) -> Next {
        self.round.done(self.clock.monotonic());
        if self.is_out && !self.join().await {
            return Next::Round;
        }
        if self.wish == Wish::Empty && !self.is_announced {
            self.announce().await;
        }
        for node in std::mem::take(&mut *self.shared.suspects.lock()) {
            self.service.suspect(&node);
        }
        self.report();
        let clock = &self.clock;
        let round = self.service.round(|| clock.monotonic());
        match self.confidence.call(clock, round).await {
            Ok(Round::Member {
                is_controller,
                view,
                doubted,
            }) => {
                self.listen(is_controller);
                self.doubted = doubted;
                let is_old = |digest| digest != self.digest;
                if view.is_some_and(is_old) || !self.is_view_current() {
                    self.look().await;
                }
                self.confidence.succeeded = self.clock.monotonic();
                if self.is_view_current() {
                    self.confidence.tell(Standing::Member);
                }
                Next::Round
            }
            Ok(Round::Ousted(ousted)) => self.leave_at_once(ousted),
            Err(_told) => Next::Round,
        }
    }

    /// Says which nodes it cannot reach, and looks at those that others cannot.
    fn report(&mut self) {
        let Some(reach) = self.shared.reach.get() else {
            return;
        };
        let doubted = {
            let view = self.shared.view.borrow();
            let others = self.doubted.iter().filter(|name| **name != view.name);
            let known = others.filter_map(|name| view.members.get_key_value(name));
            let targets = known.map(|(name, node)| Target {
                address: node.peer.clone(),
                name: Some(name.clone()),
            });
            targets.collect::<Vec<_>>()
        };
        let unreachable = reach(self.clock.monotonic(), &doubted);
        self.service.report(unreachable);
    }

    /// Whether what is published is of this incarnation.
    fn is_view_current(&self) -> bool {
        self.shared.view.borrow().incarnation == self.service.incarnation()
    }

    fn listen(&mut self, is_controller: bool) {
        match (is_controller, &self.bell) {
            (false, _) => self.bell = None,
            (true, Some(_)) => {}
            (true, None) => {
                let store = Arc::clone(&self.store);
                let rest = self.config.timing.beat;
                self.bell = Some(Bell::new(store, ClusterKey::Bell, rest));
            }
        }
    }

    /// Reads the view and publishes it.
    async fn look(&mut self) -> Next {
        let view = self.confidence.call(&self.clock, self.service.view()).await;
        self.look.done(self.clock.monotonic());
        // After an error the next round finds that it is old.
        if let Ok(view) = view {
            self.digest = view.digest();
            self.shared.view.send_if_modified(|published| {
                let is_new = **published != view;
                if is_new {
                    *published = Arc::new(view);
                }
                is_new
            });
        }
        Next::Round
    }

    fn leave_at_once(&mut self, ousted: Ousted) -> Next {
        let name = &self.config.joining.name;
        self.bell = None;
        self.is_out = true;
        self.confidence.tell(Standing::Out(ousted));
        match ousted {
            Ousted::Dead => {
                tracing::warn!(name, "this node was declared dead, it joins anew");
                self.ask_round()
            }
            Ousted::Replaced => {
                tracing::error!(name, "another process has joined under this name");
                Next::Over
            }
        }
    }

    /// After the node was declared dead. One that wants to leave is where it wants to be. Answers whether it is
    /// in again.
    async fn join(&mut self) -> bool {
        if self.wish != Wish::Stay {
            return false;
        }
        let MemberConfig {
            joining,
            slots,
            timing,
        } = self.config.clone();
        let store = Arc::clone(&self.store);
        let joining = Service::join(store, &self.clock, slots, joining, timing);
        let Ok(service) = self.confidence.call(&self.clock, joining).await else {
            return false;
        };
        tracing::info!(incarnation = service.incarnation(), "joined anew");
        self.service = service;
        self.is_out = false;
        true
    }

    /// Says that the node wants to be empty.
    async fn announce(&mut self) {
        let announcing = self.service.begin_to_leave(&self.clock);
        self.is_announced = self.confidence.call(&self.clock, announcing).await.is_ok();
    }

    async fn become_wish(&mut self, wish: Wish) -> Next {
        self.wish = wish;
        match wish {
            Wish::Stay => Next::Round,
            Wish::Empty => self.beat().await,
            Wish::End => {
                let leaving = self.service.leave(&self.clock);
                if self.confidence.call(&self.clock, leaving).await.is_err() {
                    tracing::warn!("this node left unheard, it will be declared dead");
                }
                self.confidence.tell(Standing::Left);
                Next::Over
            }
        }
    }
}

async fn rung(bell: &mut Option<Bell>) {
    match bell {
        Some(bell) => bell.rung().await,
        None => std::future::pending().await,
    }
}

/// Something that is done when it is asked for, not too often.
#[derive(Debug)]
struct Asked {
    spacing: Duration,
    done: Option<Instant>,
    due: Option<Instant>,
}

impl Asked {
    const fn new(spacing: Duration) -> Self {
        Self {
            spacing,
            done: None,
            due: None,
        }
    }

    fn ask(&mut self, now: Instant) {
        let earliest = self.done.map_or(now, |done| now.max(done + self.spacing));
        self.due.get_or_insert(earliest);
    }

    fn done(&mut self, now: Instant) {
        self.done = Some(now);
        self.due = None;
    }

    async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// How sure the node may be that it is a member.
#[derive(Debug)]
struct Confidence {
    standing: watch::Sender<Standing>,
    /// The last round that did.
    succeeded: Instant,
    doubt_after: Duration,
    /// Whether the log knows that the store does not answer.
    is_away: bool,
}

impl Confidence {
    /// Waits for a call of the store, within bounds, and doubts meanwhile if it takes long.
    async fn call<T>(
        &mut self,
        clock: &Clock,
        work: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, store::Error> {
        let mut work = std::pin::pin!(timeout(CALL_MAX, work));
        let doubt_at = self.succeeded + self.doubt_after;
        let result = tokio::select! {
            biased;
            result = &mut work => result,
            () = sleep_until(doubt_at) => {
                self.doubt();
                work.await
            }
        };
        let result = result.unwrap_or_else(|_elapsed| {
            let text = "it has not answered in time".to_owned();
            Err(store::Error::Unavailable(text))
        });
        match &result {
            Ok(_) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the membership has its store again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "the membership cannot use its store");
                }
                if clock.monotonic() >= doubt_at {
                    self.doubt();
                }
            }
        }
        result
    }

    fn doubt(&self) {
        if *self.standing.borrow() == Standing::Member {
            self.tell(Standing::Doubtful);
        }
    }

    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|told| {
            let is_new = *told != standing;
            *told = standing;
            is_new
        });
    }
}
