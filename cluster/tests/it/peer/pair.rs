//! One connection for two nodes that both serve and both ask: whoever dials, at once or after a restart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quinn::{ConnectionError, Side};
use selvedge_cluster::Clock;
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::peer::{
    Connection, Credentials, Inbound, Link, LinkState, Links, Listener, ListenerConfig, PeerStream,
    StreamError,
};
use selvedge_protocol::codec;
use selvedge_protocol::limits::PEER_CONNECTIONS_PER_NODE_MAX;
use selvedge_protocol::peer::store::{Begin, Begun, StoreAnswer, StoreRequest, Value};
use selvedge_protocol::peer::{LINK, Service, close};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use super::authority::{Authority, Validity};
use super::hostile;

/// How long anything here may take before it counts as hung. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    authority: Authority,
    directory: tempfile::TempDir,
}

/// A node that answers each number with the sum of it and its own.
struct Node {
    links: Links,
    address: SocketAddr,
    /// Somebody has asked and is to be answered when the node stops.
    asked: Arc<Notify>,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    /// Its process, which can be killed.
    runtime: Option<Runtime>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl World {
    fn new() -> Self {
        Self {
            authority: Authority::new(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn credentials(&self, name: &str) -> Credentials {
        let directory = self.directory.path();
        Credentials::read(self.authority.issue(directory, name, Validity::Now)).unwrap()
    }

    fn node(&self, name: &str, own: u64) -> Node {
        start(name, self.credentials(name), own)
    }

    /// The same in a process of its own, as far as its network goes.
    fn process(&self, name: &str, own: u64) -> Node {
        let credentials = self.credentials(name);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut node = {
            let _entered = runtime.enter();
            start(name, credentials, own)
        };
        node.runtime = Some(runtime);
        node
    }
}

fn start(name: &str, credentials: Credentials, own: u64) -> Node {
    let config = ListenerConfig {
        node: name.to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        admission: AdmissionConfig::between_nodes(),
    };
    let listener = Listener::bind(&config, credentials).unwrap();
    let address = listener.local_addr();
    let links = listener.links(Clock::system());
    let asked = Arc::<Notify>::default();
    let told = Arc::clone(&asked);
    let (shutdown, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let serve = move |inbound| -> BoxFuture<'static, ()> {
        Box::pin(answer(inbound, own, Arc::clone(&told)))
    };
    let task = tokio::spawn(listener.run(stopped, serve));
    Node {
        links,
        address,
        asked,
        shutdown: Some(shutdown),
        task,
        runtime: None,
    }
}

async fn answer(mut inbound: Inbound, own: u64, asked: Arc<Notify>) {
    while let Ok(Some(StoreRequest::Begin(begin))) = inbound.stream.read().await {
        let mut out = Vec::new();
        match begin.version {
            Some(number) => {
                let version = number + own;
                codec::encode(&StoreAnswer::Begun(Begun { version }), &mut out).unwrap();
            }
            None => {
                asked.notify_one();
                inbound.stopping.begun().await;
                let value = Some(vec![7; VALUE_BYTES].into());
                let value = StoreAnswer::Value(Value { value });
                for _ in 0..VALUES {
                    codec::encode(&value, &mut out).unwrap();
                }
            }
        }
        if inbound.stream.write(&out).await.is_err() {
            return;
        }
    }
    inbound.stream.finish();
}

impl Node {
    fn to(&self, name: &str, other: &Self) -> Arc<Link> {
        // What dials is part of the process.
        let _entered = self.runtime.as_ref().map(Runtime::enter);
        self.links.to(name, &other.address.to_string())
    }

    async fn stop(&mut self) {
        drop(self.shutdown.take());
        soon(&mut self.task).await.unwrap();
    }

    /// The process is gone, and says nothing any more.
    fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

async fn say(stream: &mut PeerStream, version: Option<u64>) -> Result<(), StreamError> {
    let mut out = Vec::new();
    codec::encode(&StoreRequest::Begin(Begin { version }), &mut out).unwrap();
    stream.write(&out).await
}

async fn ask(link: &Link, number: u64) -> Result<u64, StreamError> {
    let mut stream = link.stream(Service::Store).await?;
    say(&mut stream, Some(number)).await?;
    match stream.read().await? {
        Some(StoreAnswer::Begun(begun)) => Ok(begun.version),
        other => panic!("{other:?}"),
    }
}

async fn ask_now(link: &Link, number: u64) -> u64 {
    soon(ask(link, number)).await.unwrap()
}

/// The connection of a link, once it has one that is as it should be.
async fn connection(link: &Link, is_right: impl Fn(&Connection) -> bool) -> Connection {
    let mut state = link.state();
    let right = state.wait_for(|state| matches!(state, LinkState::Up(up) if is_right(up)));
    match &*soon(right).await.unwrap() {
        LinkState::Up(connection) => connection.clone(),
        other => panic!("{other:?}"),
    }
}

/// Completes when another connection is used, and the old one was not given up before.
async fn replaced(state: &mut watch::Receiver<LinkState>, old: &Connection) {
    loop {
        match &*state.borrow_and_update() {
            LinkState::Up(now) if now.stable_id() != old.stable_id() => return,
            LinkState::Up(_) => {}
            other => panic!("{other:?}"),
        }
        soon(state.changed()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_both_directions() {
    let world = World::new();
    let (one, two) = (world.node("one", 100), world.node("two", 200));
    // The one with the greater name dials: who comes first matters only where both do.
    let to_one = two.to("one", &one);
    assert_eq!(ask_now(&to_one, 1).await, 101);
    let to_two = one.to("two", &two);
    assert_eq!(ask_now(&to_two, 1).await, 201);
    let dialled = connection(&to_one, |_| true).await;
    let accepted = connection(&to_two, |_| true).await;
    assert_eq!(
        (dialled.side(), accepted.side()),
        (Side::Client, Side::Server)
    );
    // It stays, whoever needs it, and is kept alive.
    drop(to_one);
    let silence = Duration::from_millis(selvedge_protocol::limits::PEER_IDLE_MS_MAX);
    let ended = tokio::time::timeout(2 * silence, accepted.closed()).await;
    assert!(ended.is_err(), "{ended:?}");
    for number in 0..100 {
        assert_eq!(ask_now(&to_two, number).await, 200 + number);
        assert_eq!(ask_now(&two.to("one", &one), number).await, 100 + number);
    }
    assert!(dialled.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dial_at_once_and_nothing_is_lost() {
    let world = World::new();
    let credentials = ["one", "two"].map(|name| world.credentials(name));
    for _ in 0..40 {
        let [first, second] = credentials.clone();
        let (one, two) = (start("one", first, 100), start("two", second, 200));
        let (to_two, to_one) = (one.to("two", &two), two.to("one", &one));
        // More than once: what was begun on a connection must outlive the agreement on another.
        let asking = |link: Arc<Link>, own: u64| async move {
            for number in 0..20 {
                assert_eq!(ask_now(&link, number).await, own + number);
            }
        };
        let both = [
            tokio::spawn(asking(Arc::clone(&to_two), 200)),
            tokio::spawn(asking(Arc::clone(&to_one), 100)),
        ];
        for asked in both {
            asked.await.unwrap();
        }
        let (here, there) = (
            connection(&to_two, |_| true).await,
            connection(&to_one, |_| true).await,
        );
        assert_ne!(here.side(), there.side());
        assert!(here.close_reason().is_none() && there.close_reason().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_is_not_kept_waiting_for_its_old_connection() {
    let world = World::new();
    for first in ["stays", "goes"] {
        let stays = world.process("stays", 100);
        let before = world.process("goes", 200);
        let to_goes = stays.to("goes", &before);
        match first {
            "stays" => assert_eq!(ask_now(&to_goes, 1).await, 201),
            _ => assert_eq!(ask_now(&before.to("stays", &stays), 1).await, 101),
        }
        let old = connection(&to_goes, |_| true).await;
        // Somewhere else, while the old connection works as before.
        let after = world.process("goes", 300);
        let (mut state, to_stays) = (to_goes.state(), after.to("stays", &stays));
        // It is watched all the while: that it was given up would show for a moment only.
        let asked = ask_now(&to_stays, 1);
        let (answer, ()) = tokio::join!(asked, replaced(&mut state, &old));
        assert_eq!(answer, 101);
        before.kill();
        assert_eq!(ask_now(&to_goes, 1).await, 301);
        // It was replaced, and not given up after a silence.
        let reason = old.close_reason();
        assert!(
            matches!(reason, Some(ConnectionError::LocallyClosed)),
            "{reason:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_dialled_where_it_is_now() {
    let world = World::new();
    let stays = world.process("stays", 100);
    let before = world.process("goes", 200);
    let to_goes = stays.to("goes", &before);
    assert_eq!(ask_now(&to_goes, 1).await, 201);
    let old = connection(&to_goes, |_| true).await;
    let after = world.process("goes", 300);
    let mut state = to_goes.state();
    let again = stays.to("goes", &after);
    replaced(&mut state, &old).await;
    before.kill();
    assert_eq!(ask_now(&again, 1).await, 301);
    let reason = old.close_reason();
    assert!(
        matches!(reason, Some(ConnectionError::LocallyClosed)),
        "{reason:?}"
    );
}

/// Large enough that it is still being sent when the node has nothing more to do.
const VALUE_BYTES: usize = 100_000;
const VALUES: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_answers_what_it_was_asked() {
    let world = World::new();
    for dialler in ["stays", "stops"] {
        let (stays, mut stops) = (world.node("stays", 100), world.node("stops", 200));
        if dialler == "stops" {
            assert_eq!(ask_now(&stops.to("stays", &stays), 1).await, 101);
        }
        let link = stays.to("stops", &stops);
        let mut stream = soon(link.stream(Service::Store)).await.unwrap();
        say(&mut stream, None).await.unwrap();
        stream.finish();
        soon(stops.asked.notified()).await;
        let hearing = async {
            let mut bytes = 0;
            while let Some(StoreAnswer::Value(heard)) = stream.read().await.unwrap() {
                bytes += heard.value.unwrap().len();
            }
            bytes
        };
        let (heard, ()) = tokio::join!(soon(hearing), stops.stop());
        assert_eq!(heard, VALUE_BYTES * VALUES, "dialled by who {dialler}");
        // And is asked nothing more.
        let mut state = link.state();
        let down = state.wait_for(|state| matches!(state, LinkState::Down(_)));
        soon(down).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_stop_at_once_do_not_wait_for_each_other() {
    let world = World::new();
    let (mut one, mut two) = (world.node("one", 100), world.node("two", 200));
    assert_eq!(ask_now(&one.to("two", &two), 1).await, 201);
    tokio::join!(one.stop(), two.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_has_a_bound_of_connections_and_cannot_be_another_one() {
    let world = World::new();
    let (node, other) = (world.node("node", 100), world.node("other", 200));
    let link = node.to("other", &other);
    assert_eq!(ask_now(&link, 1).await, 201);
    let directory = world.directory.path();
    let files = world.authority.issue(directory, "other", Validity::Now);
    let mut opened = Vec::new();
    for _ in 0..=PEER_CONNECTIONS_PER_NODE_MAX {
        opened.push(hostile::connect_to(node.address, "node", &files).await);
    }
    // The oldest makes place, and the one that is in use never does.
    let reason = soon(opened[0].closed()).await;
    assert_eq!(code(&reason), Some(close::BUSY), "{reason}");
    assert_eq!(ask_now(&link, 1).await, 201);
    assert!(opened[1].close_reason().is_none());

    let files = world.authority.issue(directory, "node", Validity::Now);
    let disguised = hostile::connect_to(node.address, "node", &files).await;
    let (mut send, _receive) = disguised.open_bi().await.unwrap();
    send.write_all(&LINK).await.unwrap();
    let reason = soon(disguised.closed()).await;
    assert_eq!(code(&reason), Some(close::UNSERVED), "{reason}");
}

fn code(reason: &ConnectionError) -> Option<u32> {
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            u32::try_from(u64::from(close.error_code)).ok()
        }
        _ => None,
    }
}
