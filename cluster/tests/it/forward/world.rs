//! Nodes that serve each other over real sockets, those that a test speaks for, and what they tell each other by
//! hand of who owns what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    Claim, Host, HostConfig, Identity, Kinds, Subscription, SubscriptionItem,
};
use selvedge_cluster::forward::{Doubt, ForwardConfig};
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::membership::{NodeRecord, NodeState, Role, Versions, View};
use selvedge_cluster::peer::{
    Credentials, Dialer, Inbound, Link, Listener, ListenerConfig, PeerStream, Target,
};
use selvedge_cluster::plan::{Candidate, Plan};
use selvedge_cluster::store::Store;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::peer::Service;
use selvedge_protocol::peer::actors::{self, ActorAnswer, ActorRequest, Elsewhere};
use selvedge_protocol::{ErrorCode, SessionId, codec};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::actor::faults::Faulty;
use crate::actor::kinds::Tally;
use crate::actor::world::*;
use crate::peer::authority::{Authority, Validity};

pub(super) const SLOTS: u16 = 8;
/// How long anything may take before it counts as hung. Never a measure of speed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Cluster {
    pub(super) world: World,
    pub(super) authority: Authority,
    pub(super) directory: tempfile::TempDir,
    pub(super) members: BTreeMap<String, NodeRecord>,
    pub(super) plan: Plan,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) host: Host,
    pub(super) views: watch::Sender<Arc<View>>,
    pub(super) doubts: Arc<Mutex<Vec<Doubt>>>,
    pub(super) listener: JoinHandle<()>,
}

/// A node that says what a test tells it to.
pub(super) struct Scripted {
    pub(super) streams: mpsc::Receiver<PeerStream>,
    pub(super) listener: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// The id of the next command that another node asks for.
pub(super) async fn next_id(stream: &mut PeerStream) -> u64 {
    match soon(stream.read()).await.unwrap() {
        Some(ActorRequest::Command(command)) => command.id,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn say(stream: &mut PeerStream, answer: ActorAnswer) {
    let mut out = Vec::new();
    codec::encode(&answer, &mut out).unwrap();
    soon(stream.write(&out)).await.unwrap();
}

pub(super) async fn send_away(stream: &mut PeerStream, id: u64, plan: u64, owner: &str) {
    let owner = Some(owner.to_owned());
    let elsewhere = Elsewhere { id, plan, owner };
    say(stream, ActorAnswer::Elsewhere(elsewhere)).await;
}

impl Scripted {
    /// The next stream that another node opens.
    pub(super) async fn stream(&mut self) -> PeerStream {
        soon(self.streams.recv()).await.unwrap()
    }
}

/// A stream of requests that a test writes itself.
pub(super) struct Asking {
    pub(super) stream: PeerStream,
    pub(super) link: Link,
}

impl Asking {
    pub(super) async fn write(&mut self, request: &ActorRequest) {
        let mut out = Vec::new();
        codec::encode(request, &mut out).unwrap();
        soon(self.stream.write(&out)).await.unwrap();
    }

    /// Asks to add one, by a number that is that of the request as well.
    pub(super) async fn command(&mut self, key: &str, number: u64, plan: u64) {
        self.write(&asked(key, number, plan)).await;
    }

    pub(super) async fn answer(&mut self) -> ActorAnswer {
        soon(self.stream.read()).await.unwrap().unwrap()
    }

    pub(super) async fn sum(&mut self) -> u64 {
        match self.answer().await {
            ActorAnswer::Answer(answer) => {
                let done = answer.result.unwrap();
                std::str::from_utf8(&done.body).unwrap().parse().unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Which request was sent where, by which plan.
    pub(super) async fn elsewhere(&mut self) -> (u64, u64, String) {
        match self.answer().await {
            ActorAnswer::Elsewhere(it) => (it.id, it.plan, it.owner.unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn asked(key: &str, number: u64, plan: u64) -> ActorRequest {
    let actor = actor(key);
    ActorRequest::Command(actors::Command {
        id: number,
        plan,
        deadline_ms: 0,
        tenant: actor.tenant,
        actor: actor.address,
        principal: "tester".to_owned(),
        sender: actors::Sender::Client(None),
        identity: actors::Identity::Session {
            session: SessionId::from_u128(9),
            number,
            acknowledged: 0,
        },
        name: "add".to_owned(),
        body: "1".into(),
        payload: None,
    })
}

impl Drop for Node {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Cluster {
    pub(super) async fn new() -> Self {
        Self {
            world: World::new().await,
            authority: Authority::new(),
            directory: tempfile::tempdir().unwrap(),
            members: BTreeMap::new(),
            plan: Plan::empty(SLOTS),
        }
    }

    /// A node that owns nothing and knows nobody yet.
    pub(super) async fn node(&mut self, name: &str) -> Node {
        let store = Faulty {
            inner: Arc::clone(&self.world.store),
            dice: Clock::manual(0, 1),
            percent: 0,
            is_exclusive: false,
        };
        self.node_on(name, Arc::new(store)).await
    }

    /// The same, whose way to the store is this one.
    pub(super) async fn node_on(&mut self, name: &str, store: Arc<dyn Store>) -> Node {
        let config = HostConfig {
            node: name.to_owned(),
            idle_ms: 60_000,
            slots: SLOTS,
        };
        let kinds = Kinds::default().with(Tally);
        let host = Host::idle(config, store, self.world.clock.clone(), kinds)
            .await
            .unwrap();
        let listener = self.listen(name);
        let view = View {
            name: name.to_owned(),
            plan: Plan::empty(SLOTS),
            ..View::default()
        };
        let views = watch::Sender::new(Arc::new(view));
        let doubts = Arc::<Mutex<Vec<Doubt>>>::default();
        let told = Arc::clone(&doubts);
        let forward = host.forward(ForwardConfig {
            views: views.subscribe(),
            links: listener.links(Clock::system()),
            doubt: Box::new(move |doubt| told.lock().push(doubt)),
        });
        let serve = move |inbound| -> futures::future::BoxFuture<'static, ()> {
            Box::pin(forward.clone().serve(inbound))
        };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        Node {
            name: name.to_owned(),
            host,
            views,
            doubts,
            listener,
        }
    }

    /// One that owns nothing as well, and answers nobody by itself.
    pub(super) fn scripted(&mut self, name: &str) -> Scripted {
        let listener = self.listen(name);
        let (opened, streams) = mpsc::channel(64);
        let serve = move |inbound: Inbound| -> futures::future::BoxFuture<'static, ()> {
            let opened = opened.clone();
            Box::pin(async move {
                let _ = opened.send(inbound.stream).await;
            })
        };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        Scripted { streams, listener }
    }

    /// A stream from a node that is no member, but has a certificate.
    pub(super) async fn asking(&self, name: &str, node: &Node) -> Asking {
        let files = self
            .authority
            .issue(self.directory.path(), name, Validity::Now);
        let dialer = Dialer::new(Credentials::read(files).unwrap());
        let target = Target {
            address: self.members[&node.name].peer.clone(),
            name: Some(node.name.clone()),
        };
        let link = Link::open(dialer, target, Clock::system());
        let stream = soon(link.stream(Service::Actors)).await.unwrap();
        Asking { stream, link }
    }

    /// The port of a node that is a member from now on.
    pub(super) fn listen(&mut self, name: &str) -> Listener {
        let files = self
            .authority
            .issue(self.directory.path(), name, Validity::Now);
        let credentials = Credentials::read(files).unwrap();
        let listening = ListenerConfig {
            node: name.to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            admission: AdmissionConfig::between_nodes(),
        };
        let listener = Listener::bind(&listening, credentials).unwrap();
        let record = NodeRecord {
            incarnation: self
                .members
                .get(name)
                .map_or(1, |node| node.incarnation + 1),
            state: NodeState::Serving,
            is_drained: false,
            is_isolated: false,
            weight: 1,
            roles: vec![Role::Core],
            peer: listener.local_addr().to_string(),
            quic: None,
            http: None,
            operations: Vec::new(),
            versions: Versions {
                binary: String::new(),
                protocol: 1,
                schema: 1,
            },
        };
        self.members.insert(name.to_owned(), record);
        listener
    }

    /// From now on this node owns everything, by the next plan.
    pub(super) fn give_all_to(&mut self, name: &str) {
        let candidate = Candidate {
            name: name.to_owned(),
            weight: 1,
        };
        self.plan = self.plan.next(&[candidate]);
    }

    /// From now on these nodes share everything, by the next plan.
    pub(super) fn share(&mut self, names: &[&str]) {
        let candidate = |name: &&str| Candidate {
            name: (*name).to_owned(),
            weight: 1,
        };
        let candidates: Vec<_> = names.iter().map(candidate).collect();
        self.plan = self.plan.next(&candidates);
    }

    /// Some actor of a node, by the plan.
    pub(super) fn key_of(&self, name: &str) -> String {
        let mut keys = (0..).map(|n: u32| n.to_string());
        let key = keys.find(|key| self.plan.owner(slot(key)) == Some(name));
        key.unwrap()
    }

    /// The node takes all slots, under the plan as it is.
    pub(super) async fn take(&self, node: &Node) {
        let claim = Claim {
            plan: self.plan.number,
            incarnation: 1,
        };
        node.host.take(&all(), claim, &|_, _| true).await.unwrap();
    }

    /// The node learns of the cluster as it is.
    pub(super) fn tell(&self, node: &Node) {
        node.views.send_replace(Arc::new(View {
            name: node.name.clone(),
            incarnation: 1,
            plan: self.plan.clone(),
            members: self.members.clone(),
            controller: None,
        }));
    }
}

pub(super) fn all() -> Vec<u16> {
    (0..SLOTS).collect()
}

pub(super) fn slot(key: &str) -> u16 {
    let actor = actor(key);
    actor.address.slot(&actor.tenant, SLOTS)
}

pub(super) fn numbered(number: u64) -> Identity {
    Identity::Session {
        session: SessionId::from_u128(9),
        number,
        acknowledged: 0,
    }
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

pub(super) async fn next_seq(subscription: &mut Subscription) -> u64 {
    match soon(subscription.next()).await.unwrap() {
        SubscriptionItem::Event(event) => event.seq,
        other => panic!("{other:?}"),
    }
}

/// Adds one to an actor, under one number until it is answered: on a machine that is very busy a node gives up
/// what waits too long, as it should.
pub(super) async fn add_surely(host: &Host, key: &str, number: u64) -> u64 {
    loop {
        match add(host, key, numbered(number)).await {
            Outcome::Failure(failure) if failure.code == ErrorCode::Unavailable => {}
            outcome => return sum_in(outcome),
        }
    }
}

pub(super) fn sum_in(outcome: Outcome) -> u64 {
    number(&ok(outcome))
}
