//! What the tests of actor hosting share: a store in a directory of its own, hosts on it, and requests.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Host, HostConfig, Identity, Kinds, Origin, QueryRequest, ReplyTo,
    ScopedAddress,
};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_protocol::frame::{Consistency, Outcome, Success};
use selvedge_protocol::{CommandId, ErrorCode, SessionId, Tenant};
use tokio::sync::oneshot;

use super::faults::Faulty;
use super::kinds::Tally;
use crate::store::database;

/// A store in a temporary directory, or on a FoundationDB if there is one to test with.
pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = match database::fresh().await {
            Some(store) => store,
            None => open(&directory),
        };
        Self {
            store,
            clock: Clock::manual(1_000_000, 1),
            _directory: directory,
        }
    }

    pub(crate) async fn host(&self) -> Host {
        self.host_on(Arc::clone(&self.store)).await
    }

    /// A host whose actors share so many slots.
    pub(crate) async fn host_with_slots(&self, slots: u16) -> Host {
        let config = HostConfig {
            node: "node-1".to_owned(),
            idle_ms: 60_000,
            slots,
        };
        let kinds = Kinds::default().with(Tally);
        let store = Arc::clone(&self.store);
        Host::start(config, store, self.clock.clone(), kinds)
            .await
            .unwrap()
    }

    /// A host that owns nothing yet, on a store that others write to as well.
    pub(crate) async fn idle(&self, node: &str, slots: u16) -> Host {
        let store: Arc<dyn Store> = Arc::new(Faulty {
            inner: Arc::clone(&self.store),
            dice: Clock::manual(0, 1),
            percent: 0,
            is_exclusive: false,
        });
        let config = HostConfig {
            node: node.to_owned(),
            idle_ms: 60_000,
            slots,
        };
        let kinds = Kinds::default().with(Tally);
        Host::idle(config, store, self.clock.clone(), kinds)
            .await
            .unwrap()
    }

    pub(crate) async fn host_on(&self, store: Arc<dyn Store>) -> Host {
        start(store, self.clock.clone(), 60_000).await
    }
}

pub(crate) async fn start(store: Arc<dyn Store>, clock: Clock, idle_ms: u64) -> Host {
    let config = HostConfig {
        node: "node-1".to_owned(),
        idle_ms,
        slots: 1_024,
    };
    let kinds = Kinds::default().with(Tally);
    Host::start(config, store, clock, kinds).await.unwrap()
}

pub(crate) fn open(directory: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(Embedded::open(EmbeddedConfig::new(directory.path().join("store"))).unwrap())
}

pub(crate) fn actor(key: &str) -> ScopedAddress {
    ScopedAddress {
        tenant: Tenant::default_tenant(),
        address: format!("tally/{key}").parse().unwrap(),
    }
}

pub(crate) fn session(number: u64) -> Identity {
    Identity::Session {
        session: SessionId::from_u128(7),
        number,
        acknowledged: 0,
    }
}

pub(crate) fn id(text: &str) -> Identity {
    Identity::Id(CommandId::from_text(text))
}

pub(crate) fn command(key: &str, name: &str, body: &str, identity: Identity) -> CommandRequest {
    CommandRequest {
        actor: actor(key),
        principal: Arc::from("tester"),
        origin: Origin::Client(None),
        identity,
        name: name.to_owned(),
        body: Bytes::from(body.to_owned()),
        payload: None,
        if_version: None,
        deadline: None,
    }
}

pub(crate) fn query(key: &str, name: &str) -> QueryRequest {
    QueryRequest {
        actor: actor(key),
        name: name.to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline: None,
    }
}

struct Once(parking_lot::Mutex<Option<oneshot::Sender<Outcome>>>);

impl AnswerSink for Once {
    fn answer(&self, _token: u64, outcome: Outcome) {
        let sender = self.0.lock().take().expect("one answer only");
        drop(sender.send(outcome));
    }
}

/// A reply, and what comes of it.
pub(crate) fn reply() -> (ReplyTo, oneshot::Receiver<Outcome>) {
    let (sender, receiver) = oneshot::channel();
    let sink = Once(parking_lot::Mutex::new(Some(sender)));
    (ReplyTo::new(Arc::new(sink), 0), receiver)
}

pub(crate) async fn ask_query(host: &Host, key: &str, name: &str) -> Outcome {
    let (reply, answer) = reply();
    host.query(query(key, name), reply);
    answer.await.unwrap()
}

/// The sum of a tally, as a number.
pub(crate) async fn sum(host: &Host, key: &str) -> u64 {
    number(&ok(ask_query(host, key, "sum").await))
}

pub(crate) async fn add(host: &Host, key: &str, identity: Identity) -> Outcome {
    host.ask(command(key, "add", "1", identity)).await
}

pub(crate) fn ok(outcome: Outcome) -> Success {
    match outcome {
        Outcome::Success(success) => success,
        Outcome::Failure(failure) => panic!("{failure}"),
    }
}

pub(crate) fn code(outcome: Outcome) -> ErrorCode {
    match outcome {
        Outcome::Success(success) => panic!("{success:?}"),
        Outcome::Failure(failure) => failure.code,
    }
}

pub(crate) fn number(success: &Success) -> u64 {
    std::str::from_utf8(&success.body).unwrap().parse().unwrap()
}
