//! Crashes of each level of the tree, under load: what was answered stays, what is below comes back.

use std::sync::Arc;

use bytes::Bytes;
use ractor::ActorStatus;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{ErrorCode, Tenant};

use super::*;
use crate::Clock;
use crate::actor::activation::Message;
use crate::actor::host::{Host, HostConfig};
use crate::actor::hosted::Kinds;
use crate::actor::kind::{Context, Effects, Incoming, Kind, Origin, Refusal, json};
use crate::actor::request::{CommandRequest, Identity, ScopedAddress};
use crate::store::embedded::{Embedded, EmbeddedConfig};

struct Count;

impl Kind for Count {
    type State = u64;
    const NAME: &'static str = "count";

    fn apply(
        &self,
        state: &mut u64,
        _context: &Context<'_>,
        _command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        *state += 1;
        Ok(Effects {
            reply: json::encode(state),
            ..Effects::default()
        })
    }

    fn view(&self, state: &u64) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &u64) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<u64, String> {
        json::decode(bytes)
    }
}

async fn host() -> (Host, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap();
    let config = HostConfig {
        node: "node-1".to_owned(),
        idle_ms: 60_000,
        slots: 4,
    };
    let kinds = Kinds::default().with(Count);
    let host = Host::start(config, Arc::new(store), Clock::system(), kinds).await;
    (host.unwrap(), directory)
}

fn actor() -> ScopedAddress {
    ScopedAddress {
        tenant: Tenant::default_tenant(),
        address: "count/1".parse().unwrap(),
    }
}

async fn count(host: &Host, number: u64) -> Outcome {
    host.ask(CommandRequest {
        actor: actor(),
        principal: Arc::from("tester"),
        origin: Origin::Node,
        identity: Identity::Session {
            session: selvedge_protocol::SessionId::from_u128(1),
            number,
            acknowledged: number - 1,
        },
        name: "count".to_owned(),
        body: Bytes::new(),
        payload: None,
        if_version: None,
        deadline: None,
    })
    .await
}

/// Sends a command until it is answered for good.
async fn count_surely(host: &Host, number: u64) -> Bytes {
    loop {
        match count(host, number).await {
            Outcome::Success(success) => return success.body,
            Outcome::Failure(failure) => assert!(failure.code.may_be_retried(), "{failure}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_activation_or_slot_comes_back_with_all_that_was_answered() {
    let (host, _directory) = host().await;
    for number in 1..=10 {
        let slot = host.core().slot_of(&actor());
        let body = count_surely(&host, number).await;
        assert_eq!(body, json::encode(&number));
        if number % 2 == 0 {
            // Not there while the crash of its slot is being noticed.
            let activation = slot
                .directory
                .lock()
                .get(&actor())
                .map(|entry| entry.activation.clone());
            if let Some(activation) = activation {
                drop(activation.send_message(Message::Panic));
            }
        } else {
            let supervisor = slot.supervisor.lock().clone();
            if let Some(supervisor) = supervisor {
                supervisor.kill();
            }
        }
    }
    assert_eq!(count_surely(&host, 11).await, json::encode(&11));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_crashes_past_its_budget_fails_and_the_node_goes_on() {
    let (host, _directory) = host().await;
    let slot = host.core().slot_of(&actor());
    let first = slot.supervisor.lock().clone().unwrap();
    let mut number = 1;
    while first.get_status() != ActorStatus::Stopped {
        count_surely(&host, number).await;
        number += 1;
        let activation = slot
            .directory
            .lock()
            .get(&actor())
            .map(|entry| entry.activation.clone());
        if let Some(activation) = activation {
            drop(activation.send_message(Message::Panic));
            activation.wait(None).await.unwrap();
        }
        assert!(number < 1_000, "the budget has no end");
    }
    assert_eq!(count_surely(&host, number).await, json::encode(&number));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_root_a_host_refuses() {
    let (host, _directory) = host().await;
    count_surely(&host, 1).await;
    host.root().crash();
    host.root().ended().await;
    match count(&host, 2).await {
        Outcome::Failure(failure) => assert_eq!(failure.code, ErrorCode::Unavailable),
        Outcome::Success(success) => panic!("{success:?}"),
    }
}

#[test]
fn a_budget_forgets() {
    let mut budget = Budget::new(2);
    let start = Clock::system().monotonic();
    assert!(budget.spend(start).is_ok());
    assert!(budget.spend(start).is_ok());
    assert!(budget.spend(start + BUDGET_TIME).is_ok());
    assert!(budget.spend(start + BUDGET_TIME).is_ok());
    assert!(budget.spend(start + BUDGET_TIME).is_err());
}
