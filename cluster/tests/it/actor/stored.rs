//! Queries that any committed state will do for: answered from the store by hosts that own nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_cluster::actor::{
    Context, Effects, Host, HostConfig, Identity, Incoming, Kind, Kinds, QueryRequest, Refusal,
};
use selvedge_cluster::store::{Error, Store, Transaction, Version};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{Consistency, Outcome};

use super::kinds::Tally;
use super::world::*;

/// A store that other processes may write to, which counts its transactions.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Store>,
    begun: AtomicUsize,
}

impl Counting {
    fn new(world: &World) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&world.store),
            begun: AtomicUsize::new(0),
        })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Store for Counting {
    fn begin(&self) -> Box<dyn Transaction> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.inner.begin()
    }

    fn begin_at(&self, version: Version) -> Box<dyn Transaction> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.inner.begin_at(version)
    }

    fn watch(&self, key: &[u8]) -> BoxFuture<'static, Result<(), Error>> {
        self.inner.watch(key)
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn health(&self) -> Result<(), Error> {
        self.inner.health()
    }
}

/// A host that owns nothing and knows nobody.
async fn other(world: &World, store: Arc<dyn Store>, kinds: Kinds) -> Host {
    let config = HostConfig {
        node: "node-2".to_owned(),
        idle_ms: 60_000,
        slots: 1_024,
    };
    Host::idle(config, store, world.clock.clone(), kinds)
        .await
        .unwrap()
}

fn tallies() -> Kinds {
    Kinds::default().with(Tally)
}

fn eventual(key: &str, name: &str) -> QueryRequest {
    QueryRequest {
        consistency: Consistency::Eventual,
        ..query(key, name)
    }
}

async fn ask(host: &Host, request: QueryRequest) -> Outcome {
    let (reply, answer) = reply();
    host.query(request, reply);
    answer.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_has_committed_another_reads_with_its_version() {
    let world = World::new().await;
    let owner = world.host().await;
    for _ in 0..3 {
        ok(add(&owner, "a", Identity::Natural).await);
    }
    // A state in chunks of its own, too large for one row.
    let ballast = command("large", "ballast", "300000", Identity::Natural);
    ok(owner.ask(ballast).await);
    ok(add(&owner, "large", Identity::Natural).await);

    let counting = Counting::new(&world);
    let other = other(&world, Arc::clone(&counting) as Arc<dyn Store>, tallies()).await;
    let before = counting.begun();
    let read = ok(ask(&other, eventual("a", "sum")).await);
    assert_eq!((number(&read), read.seq, read.version), (3, 3, 3));
    let large = ok(ask(&other, eventual("large", "state")).await);
    assert!(large.body.len() > 300_000);
    assert_eq!((large.seq, large.version), (1, 2));
    assert_eq!(counting.begun() - before, 2, "one transaction each");
    // Nothing is activated by it, and it owns as little as before.
    assert!(!other.is_activated(&actor("a")));
    assert_eq!(
        code(ask_query(&other, "a", "sum").await),
        ErrorCode::Unavailable
    );
    // Each asks the store anew.
    ok(add(&owner, "a", Identity::Natural).await);
    assert_eq!(number(&ok(ask(&other, eventual("a", "sum")).await)), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_the_actor_answers_from_memory_and_needs_no_proof() {
    let world = World::new().await;
    let first = world.host_on(Counting::new(&world)).await;
    ok(add(&first, "a", Identity::Natural).await);
    // One that nobody has asked for stays where it is.
    let fresh = ok(ask(&first, eventual("b", "sum")).await);
    assert_eq!((number(&fresh), fresh.seq, fresh.version), (0, 0, 0));
    assert!(!first.is_activated(&actor("b")));

    let second = world.host_on(Counting::new(&world)).await;
    ok(add(&second, "a", Identity::Natural).await);
    // What it committed itself, a little old, until it learns of the other.
    let old = ok(ask(&first, eventual("a", "sum")).await);
    assert_eq!((number(&old), old.seq, old.version), (1, 1, 1));
    assert_eq!(
        code(ask_query(&first, "a", "sum").await),
        ErrorCode::Unavailable
    );
    // From then on it tells what is stored.
    let new = ok(ask(&first, eventual("a", "sum")).await);
    assert_eq!((number(&new), new.seq, new.version), (2, 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_told_as_the_owner_would() {
    let world = World::new().await;
    let owner = world.host().await;
    ok(add(&owner, "a", Identity::Natural).await);
    let store = || Arc::clone(&world.store);
    let other_host = other(&world, store(), tallies()).await;
    for (key, name) in [("a", "no"), ("a", "panic"), ("never", "no")] {
        let told = code(ask(&other_host, eventual(key, name)).await);
        assert_eq!(
            told,
            code(ask_query(&owner, key, name).await),
            "{key} {name}"
        );
    }
    let mut unknown = eventual("a", "sum");
    unknown.actor.address = "riddle/a".parse().unwrap();
    assert_eq!(
        code(ask(&other_host, unknown).await),
        ErrorCode::UnknownKind
    );
    let mut late = eventual("a", "sum");
    late.deadline = Some(world.clock.monotonic() - Duration::from_secs(1));
    assert_eq!(
        code(ask(&other_host, late).await),
        ErrorCode::DeadlineExceeded
    );

    for reason in [Undecodable::Said, Undecodable::Panics] {
        let kinds = Kinds::default().with(reason);
        let blind = other(&world, store(), kinds).await;
        assert_eq!(
            code(ask(&blind, eventual("a", "sum")).await),
            ErrorCode::Internal
        );
        // Of what was never written there is nothing to decode.
        assert_eq!(number(&ok(ask(&blind, eventual("b", "sum")).await)), 0);
    }
    // Damage of the record itself.
    let slot = actor("a").address.slot(&actor("a").tenant, 1_024);
    let path = selvedge_cluster::store::keys::ActorPath {
        slot,
        tenant: actor("a").tenant,
        address: actor("a").address,
    };
    let mut transaction = world.store.begin();
    transaction.set(&path.prefix().record(), b"\x02damaged");
    transaction.commit().await.unwrap();
    assert_eq!(
        code(ask(&other_host, eventual("a", "sum")).await),
        ErrorCode::Internal
    );

    other_host.stop().await;
    assert_eq!(
        code(ask(&other_host, eventual("a", "sum")).await),
        ErrorCode::Unavailable
    );
}

/// A tally whose stored states are not understood.
enum Undecodable {
    Said,
    Panics,
}

impl Kind for Undecodable {
    type State = ();
    const NAME: &'static str = "tally";

    fn apply(
        &self,
        _state: &mut (),
        _context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        Err(Refusal::unknown(Self::NAME, command.name))
    }

    fn query(&self, _state: &(), _name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        Ok(Bytes::from_static(b"0"))
    }

    fn view(&self, _state: &()) -> Bytes {
        Bytes::new()
    }

    fn encode(&self, _state: &()) -> Bytes {
        Bytes::new()
    }

    fn decode(&self, _format: u8, _bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Said => Err("of another time".to_owned()),
            Self::Panics => panic!("asked to"),
        }
    }
}
