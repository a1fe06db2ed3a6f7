//! Keeps one node of a development cluster running, from its first start until it is told to stop.

use selvedge_cluster::Clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use crate::operate::commands::dev_cluster::child::{Process, Ready, Startable};
use crate::operate::commands::dev_cluster::restart::Restarts;

/// A node that is kept.
#[derive(Debug)]
pub(super) struct Keeper {
    name: String,
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<Result<(), String>>,
}

/// Something happened to a node.
#[derive(Debug)]
pub(super) struct News {
    /// The node.
    pub(super) name: String,
    pub(super) what: Happened,
}

#[derive(Debug)]
pub(super) enum Happened {
    /// It has ended, or did not start; `next` is the time until another start.
    Ended { how: String, next: Duration },
    /// It serves again.
    Back { id: u32, ready: Ready },
}

/// What a keeper tells others and waits for.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    pub(super) news: mpsc::Sender<News>,
    /// Whether the storage node serves. Nodes that start before only find that it does not.
    pub(super) storage: Storage,
    pub(super) clock: Clock,
}

/// A node's relation to the storage node.
#[derive(Debug, Clone)]
pub(super) enum Storage {
    /// It is the storage node, and says whether it serves.
    Is(watch::Sender<bool>),
    /// It needs it.
    Needs(watch::Receiver<bool>),
}

impl Keeper {
    /// Keeps a node that serves.
    pub(super) fn start(startable: Startable, process: Process, outside: Outside) -> Self {
        let (stop, stopped) = oneshot::channel();
        let name = startable.name().to_owned();
        let kept = Kept {
            startable,
            outside,
            restarts: Restarts::default(),
        };
        let task = tokio::spawn(kept.run(process, stopped));
        Self { name, stop, task }
    }

    /// Lets the node drain within a time, and waits for its end. The error says what became of
    /// it instead.
    pub(super) async fn stop(self, patience: Duration) -> Result<(), String> {
        // An error is its end.
        let _ = self.stop.send(patience);
        let ended = self.task.await;
        let ended = ended.unwrap_or_else(|error| Err(format!("was not kept: {error}")));
        ended.map_err(|how| format!("{} {how}", self.name))
    }
}

struct Kept {
    startable: Startable,
    outside: Outside,
    restarts: Restarts,
}

impl Kept {
    async fn run(
        mut self,
        mut process: Process,
        mut stop: oneshot::Receiver<Duration>,
    ) -> Result<(), String> {
        loop {
            let since = self.outside.clock.monotonic();
            tokio::select! {
                biased;
                patience = &mut stop => {
                    // Whoever told it to went away without a word: no time at all.
                    return process.stop(patience.unwrap_or_default()).await;
                }
                ended = process.ended() => {
                    self.say_up(false);
                    let words = match ended.is_by_itself && !ended.is_in_order {
                        true => self.startable.last_words(),
                        false => String::new(),
                    };
                    let how = format!("{}{words}", ended.how);
                    let served = self.outside.clock.monotonic().duration_since(since);
                    tokio::select! {
                        _ = &mut stop => return Ok(()),
                        again = self.start_again(how, served) => process = again,
                    }
                }
            }
        }
    }

    /// Until it serves.
    async fn start_again(&mut self, mut how: String, mut served: Duration) -> Process {
        loop {
            let next = self.restarts.after(served);
            self.tell(Happened::Ended { how, next }).await;
            sleep(next).await;
            self.await_storage().await;
            match self.startable.start().await {
                Ok(process) => {
                    self.say_up(true);
                    let (id, ready) = (process.id, process.ready.clone());
                    self.tell(Happened::Back { id, ready }).await;
                    return process;
                }
                Err(error) => (how, served) = (error, Duration::ZERO),
            }
        }
    }

    async fn tell(&self, what: Happened) {
        let name = self.startable.name().to_owned();
        // Nobody listens any more when the cluster ends.
        let _ = self.outside.news.send(News { name, what }).await;
    }

    fn say_up(&self, is_up: bool) {
        if let Storage::Is(serves) = &self.outside.storage {
            serves.send_replace(is_up);
        }
    }

    async fn await_storage(&self) {
        if let Storage::Needs(serves) = &self.outside.storage {
            // An error is the end of the storage node for good: the node will say what it misses.
            let _ = serves.clone().wait_for(|serves| *serves).await;
        }
    }
}
