//! Tends a lease: tells the owner of the limit what is owed, for as long as something is. One task for each lease in use;
//! one that nobody uses has none.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{AnswerSink, Kind, QueryRequest, ReplyTo, ScopedAddress};
use selvedge_protocol::frame::{Consistency, Outcome};
use selvedge_protocol::limits::{LIMIT_ASK_MS_MAX, LIMIT_GATHER_MS, LIMIT_RETRY_MS};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, Failure, IdError};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limit::account::Account;
use crate::limit::kind::{LimitKind, Take, Took};
use crate::limit::name::Counted;
use crate::limit::service::Shared;

/// Why the owner took nothing.
#[derive(Debug, thiserror::Error)]
enum Unpaid {
    #[error("it did not answer in time")]
    Late,
    #[error("{0}")]
    Refused(Failure),
    #[error("its answer does not read: {0}")]
    Unreadable(String),
    #[error("its name is none: {0}")]
    Unnamed(String),
}

/// Until nothing is owed, or the limits of this node are gone.
pub(super) async fn tend(shared: Weak<Shared>, account: Arc<Account>, counted: Counted) {
    let lease = account.counted(counted);
    let gather = Duration::from_millis(LIMIT_GATHER_MS);
    let mut is_cut_off = false;
    loop {
        // Late is as good: it is told then.
        let _ = timeout(gather, lease.worth_telling()).await;
        let Some(owed) = lease.to_tell() else {
            return;
        };
        let Some(shared) = shared.upgrade().filter(|it| !it.is_stopping()) else {
            return;
        };
        let asked_ns = shared.ticks.now_ns();
        let way_ns = shared.way_ns();
        lease.asked(asked_ns, way_ns);
        let told = ask(&shared, &account, counted, owed).await;
        let now_ns = shared.ticks.now_ns();
        let wait = match told {
            Ok(took) => {
                shared.note_way(now_ns.saturating_sub(asked_ns));
                if std::mem::take(&mut is_cut_off) {
                    tracing::info!(party = ?account.party, %counted, "the owner of a limit answers again");
                }
                let next_ns = took.next_us.saturating_mul(1_000);
                // Whoever comes back then finds what the next question brought.
                let wait_ns = next_ns.saturating_add(next_ns / 4 + 2 * way_ns);
                lease.paid(took.tokens, now_ns, wait_ns);
                // Nodes that wait for the same tokens take turns by chance.
                let chance_ns = shared.clock.random() % (next_ns / 4 + 1);
                Duration::from_nanos(next_ns.saturating_add(chance_ns))
            }
            Err(error) => {
                if !std::mem::replace(&mut is_cut_off, true) {
                    let party = &account.party;
                    tracing::warn!(?party, %counted, %error, "the owner of a limit cannot be asked; the node goes on with what it has");
                }
                let retry_ns = LIMIT_RETRY_MS * 1_000_000;
                lease.cut_off(now_ns, retry_ns + 2 * way_ns);
                Duration::from_millis(LIMIT_RETRY_MS)
            }
        };
        drop(shared);
        let _ = timeout(wait, lease.changed()).await;
    }
}

async fn ask(
    shared: &Shared,
    account: &Account,
    counted: Counted,
    owed: u64,
) -> Result<Took, Unpaid> {
    let actor = owner(account, counted)?;
    let within = Duration::from_millis(LIMIT_ASK_MS_MAX);
    let query = QueryRequest {
        actor,
        name: LimitKind::TAKE.to_owned(),
        body: json::encode(&Take { owed }),
        // Proven, so that only one owner's bucket counts.
        consistency: Consistency::Linearizable,
        deadline: Some(shared.clock.monotonic() + within),
    };
    let (sender, answer) = oneshot::channel();
    let sink = Arc::new(Answer(Mutex::new(Some(sender))));
    shared.host.query(query, ReplyTo::new(sink, 0));
    match timeout(within, answer).await {
        Ok(Ok(Outcome::Success(success))) => {
            json::decode(&success.body).map_err(Unpaid::Unreadable)
        }
        Ok(Ok(Outcome::Failure(failure))) => Err(Unpaid::Refused(failure)),
        Ok(Err(_)) | Err(_) => Err(Unpaid::Late),
    }
}

/// The actor that has the tokens.
fn owner(account: &Account, counted: Counted) -> Result<ScopedAddress, Unpaid> {
    let party = &account.party;
    let unnamed = |error: IdError| Unpaid::Unnamed(error.to_string());
    Ok(ScopedAddress {
        tenant: party.tenant.clone(),
        address: ActorAddress {
            kind: ActorKind::new(LimitKind::NAME).map_err(unnamed)?,
            key: ActorKey::new(party.key(counted)).map_err(unnamed)?,
        },
    })
}

struct Answer(Mutex<Option<oneshot::Sender<Outcome>>>);

impl AnswerSink for Answer {
    fn answer(&self, _: u64, outcome: Outcome) {
        if let Some(sender) = self.0.lock().take() {
            // Who asked may have stopped waiting.
            drop(sender.send(outcome));
        }
    }
}
