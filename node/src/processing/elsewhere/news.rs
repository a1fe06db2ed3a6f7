//! What all nodes have to know: policies that were changed, and what the workers of each node execute.
//!
//! One task for each other node tells it, again until it is heard or the node is gone. A change costs one
//! small frame to each other node, at once; no stream is kept. That policies are read again every ten seconds
//! is for what is lost with a node in between: it costs a read for each tenant and one for each of its
//! policies, at most two hundred tenants a second.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::peer::{Link, PeerStream, StreamError};
use selvedge_protocol::peer::Service;
use selvedge_protocol::peer::processing::{
    Changed, PolicyName, ProcessingAnswer, ProcessingRequest,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::processing::elsewhere::{Elsewhere, wire};
use crate::processing::{Pools, policy_kind};

/// Tells one other node.
pub(super) struct Teller {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    due: Mutex<Due>,
    wake: Notify,
}

/// What the node has not heard yet.
#[derive(Default)]
struct Due {
    policies: Vec<PolicyName>,
    /// More policies than are named.
    is_more: bool,
    is_groups: bool,
}

/// The way to the node, which is opened when there is something to tell.
type OpenLink = Box<dyn Fn() -> Arc<Link> + Send + Sync>;

impl Teller {
    /// Needs a tokio runtime.
    pub(super) fn open(pools: Pools, elsewhere: Elsewhere, link: OpenLink) -> Self {
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(run(pools, elsewhere, link, Arc::clone(&shared)));
        let teller = Self {
            shared,
            task: task.abort_handle(),
        };
        teller.groups();
        teller
    }

    pub(super) fn groups(&self) {
        self.shared.due.lock().is_groups = true;
        self.shared.wake.notify_one();
    }

    pub(super) fn policy(&self, policy: PolicyName) {
        self.shared.due.lock().add(policy);
        self.shared.wake.notify_one();
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Due {
    fn add(&mut self, policy: PolicyName) {
        if self.policies.contains(&policy) {
            return;
        }
        if self.policies.len() < NAMED_MAX {
            self.policies.push(policy);
        } else {
            self.is_more = true;
        }
    }

    const fn is_empty(&self) -> bool {
        self.policies.is_empty() && !self.is_more && !self.is_groups
    }

    /// What was not heard is due again.
    fn put_back(&mut self, unheard: Self) {
        for policy in unheard.policies {
            self.add(policy);
        }
        self.is_more |= unheard.is_more;
        self.is_groups |= unheard.is_groups;
    }
}

async fn run(pools: Pools, elsewhere: Elsewhere, link: OpenLink, shared: Arc<Shared>) {
    let mut had_groups = false;
    loop {
        let mut due = std::mem::take(&mut *shared.due.lock());
        // Nothing was told of groups before, and there is nothing to tell.
        due.is_groups &= had_groups || !pools.own_groups().is_empty();
        if due.is_empty() {
            shared.wake.notified().await;
            continue;
        }
        had_groups |= due.is_groups;
        let link = link();
        let telling = tell(&pools, &elsewhere, &link, &due);
        let heard = tokio::time::timeout(TELL_MAX, telling).await;
        if let Ok(Ok(())) = heard {
            continue;
        }
        tracing::debug!(?heard, "a node has not heard the news yet");
        shared.due.lock().put_back(due);
        tokio::time::sleep(TELL_PAUSE).await;
    }
}

async fn tell(
    pools: &Pools,
    elsewhere: &Elsewhere,
    link: &Link,
    due: &Due,
) -> Result<(), StreamError> {
    let mut stream = link.stream(Service::Processing).await?;
    for policy in &due.policies {
        let policy = Some(policy.clone());
        let changed = ProcessingRequest::Changed(Changed { policy });
        say(&mut stream, &changed).await?;
    }
    if due.is_more {
        let changed = ProcessingRequest::Changed(Changed { policy: None });
        say(&mut stream, &changed).await?;
    }
    if due.is_groups {
        let workers = ProcessingRequest::Workers(elsewhere.own_workers(pools));
        say(&mut stream, &workers).await?;
    }
    stream.finish();
    Ok(())
}

async fn say(stream: &mut PeerStream, news: &ProcessingRequest) -> Result<(), StreamError> {
    stream.write(&wire::frame(news)?).await?;
    match stream.read().await? {
        Some(ProcessingAnswer::Noted(_)) => Ok(()),
        Some(_) | None => Err(StreamError::Cut),
    }
}

/// Reads all policies again from time to time, and when there is a reason.
pub(super) async fn read_again(pools: Pools) {
    // What was changed while this node joined was told to nobody who did not know it yet.
    let mut wait = FIRST_READ;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = pools.reread_wanted() => {}
        }
        if let Err(error) = policy_kind::load(&pools, Some(READ_PAUSE)).await {
            tracing::warn!(%error, "policies cannot be read");
        }
        wait = READ_AGAIN;
    }
}

/// Changed policies that are told one by one; of more all are read.
const NAMED_MAX: usize = 256;
/// How long telling may take: far more than a round trip for each of them.
const TELL_MAX: Duration = Duration::from_secs(5);
/// The pause after it failed.
const TELL_PAUSE: Duration = Duration::from_millis(200);
/// The first reading after a node has joined: longer than others take to see it.
const FIRST_READ: Duration = Duration::from_secs(2);
const READ_AGAIN: Duration = Duration::from_secs(10);
/// The pause between two tenants.
const READ_PAUSE: Duration = Duration::from_millis(5);
