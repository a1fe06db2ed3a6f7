//! Operations of several nodes on one store, over real sockets. Who is there and owns what is told by hand.

mod erased;
mod hostile;
mod lent;
mod limits;
mod metered;
mod moves;
mod told;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Claim, HostConfig};
use selvedge_cluster::forward::ForwardConfig;
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::membership::{NodeRecord, NodeState, Role, Versions, View};
use selvedge_cluster::peer::{Credentials, Inbound, Links, Listener, ListenerConfig};
use selvedge_cluster::plan::{Candidate, Plan};
use selvedge_cluster::privacy::{SubjectKeys, Unsealing, WrappingKeys};
use selvedge_cluster::store::embedded::Embedded;
use selvedge_cluster::store::keys::Shards;
use selvedge_cluster::store::migration::SessionKey;
use selvedge_cluster::store::{Store, migration};
use selvedge_node::app::{Place, Running};
use selvedge_node::processing::Neighbours;
use selvedge_protocol::peer::Service;
use selvedge_protocol::peer::processing::ProcessingRequest;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::authority::{Authority, Validity};
use super::faults::Faulty;
use super::world::*;

/// All nodes of one store.
pub(super) struct Cluster {
    pub(super) world: World,
    pub(super) store: Arc<Embedded>,
    authority: Authority,
    files: tempfile::TempDir,
    members: BTreeMap<String, NodeRecord>,
    plan: Plan,
    slots: u16,
    index_shards: Shards,
    /// Of its nodes, where they have any.
    wrapping: Option<String>,
}

/// One of them.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) running: Running,
    pub(super) probe: Arc<Probe>,
    pub(super) links: Links,
    pub(super) peer: String,
    views: watch::Sender<Arc<View>>,
    listener: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Cluster {
    pub(super) async fn of(world: World) -> Self {
        let store = world.store();
        let meta = migration::prepare(&*store, &world.clock).await.unwrap();
        Self {
            world,
            store,
            authority: Authority::new(),
            files: tempfile::tempdir().unwrap(),
            members: BTreeMap::new(),
            plan: Plan::empty(meta.slots),
            slots: meta.slots,
            index_shards: meta.index_shards,
            wrapping: None,
        }
    }

    pub(super) async fn new() -> Self {
        Self::of(World::new()).await
    }

    /// One whose nodes have a key for personal data.
    pub(super) async fn with_keys() -> Self {
        Self {
            wrapping: Some(WrappingKeys::generate("k1").to_string()),
            ..Self::new().await
        }
    }

    /// The store as one of the nodes has it.
    fn view_of_the_store(&self) -> Arc<dyn Store> {
        let store: Arc<dyn Store> = Arc::new(Faulty {
            inner: Arc::clone(&self.store) as Arc<dyn Store>,
            dice: Clock::manual(0, 1),
            percent: 0,
            is_exclusive: false,
        });
        match &self.wrapping {
            None => store,
            Some(text) => {
                let wrapping = WrappingKeys::parse(text).unwrap();
                let keys = SubjectKeys::new(store, Arc::new(wrapping));
                Arc::new(Unsealing::new(keys))
            }
        }
    }

    /// A node that owns nothing; all nodes have to be told of it.
    pub(super) async fn node(&mut self, name: &str, roles: &[Role]) -> Node {
        let store = self.view_of_the_store();
        let probe = Arc::new(Probe::new());
        let application = self.world.application(&probe);
        let operations = application.operations().map(ToString::to_string);
        let operations = operations.collect();
        let place = Place {
            host: HostConfig {
                node: name.to_owned(),
                idle_ms: 60_000,
                slots: self.slots,
            },
            index_shards: self.index_shards,
            store,
            key: SessionKey::new([7; 32]),
            clock: self.world.clock.clone(),
        };
        let running = application.start_idle(place).await.unwrap();
        let files = self.authority.issue(self.files.path(), name, Validity::Now);
        let credentials = Credentials::read(files).unwrap();
        let listening = ListenerConfig {
            node: name.to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            admission: AdmissionConfig::between_nodes(),
        };
        let listener = Listener::bind(&listening, credentials).unwrap();
        self.enter(name, roles, listener.local_addr().to_string(), operations);
        let views = watch::Sender::new(self.view(name));
        let links = listener.links(Clock::system());
        let peer = listener.local_addr().to_string();
        let forward = running.host.forward(ForwardConfig {
            views: views.subscribe(),
            links: links.clone(),
            doubt: Box::new(|_| {}),
        });
        let processing = running.processing();
        let neighbours = Neighbours {
            views: views.subscribe(),
            links: links.clone(),
        };
        processing.join(neighbours, &forward);
        let serve = move |inbound: Inbound| -> BoxFuture<'static, ()> {
            match inbound.service {
                Service::Actors => Box::pin(forward.clone().serve(inbound)),
                Service::Processing => Box::pin(processing.clone().serve(inbound)),
                Service::Store => Box::pin(async { inbound.unserved() }),
            }
        };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        Node {
            name: name.to_owned(),
            running,
            probe,
            links,
            peer,
            views,
            listener,
        }
    }

    /// The members have one more, or one again.
    fn enter(&mut self, name: &str, roles: &[Role], peer: String, operations: Vec<String>) {
        let incarnation = self.members.get(name).map_or(1, |it| it.incarnation + 1);
        let record = NodeRecord {
            incarnation,
            state: NodeState::Serving,
            is_drained: false,
            is_isolated: false,
            weight: 1,
            roles: roles.to_vec(),
            peer,
            quic: None,
            http: None,
            operations,
            versions: Versions {
                binary: String::new(),
                protocol: 1,
                schema: 1,
            },
        };
        self.members.insert(name.to_owned(), record);
    }

    fn view(&self, name: &str) -> Arc<View> {
        Arc::new(View {
            name: name.to_owned(),
            incarnation: self.members[name].incarnation,
            plan: self.plan.clone(),
            members: self.members.clone(),
            controller: None,
        })
    }

    /// The nodes learn of the cluster as it is.
    pub(super) fn tell(&self, nodes: &[&Node]) {
        for node in nodes {
            node.views.send_replace(self.view(&node.name));
        }
    }

    /// From now on this node owns everything.
    pub(super) async fn give_all_to(&mut self, node: &Node) {
        let candidate = Candidate {
            name: node.name.clone(),
            weight: 1,
        };
        self.plan = self.plan.next(&[candidate]);
        let claim = Claim {
            plan: self.plan.number,
            incarnation: self.members[&node.name].incarnation,
        };
        let all: Vec<u16> = (0..self.slots).collect();
        node.running
            .host
            .take(&all, claim, &|_, _| true)
            .await
            .unwrap();
    }

    /// The node is dead.
    pub(super) fn bury(&mut self, name: &str) {
        self.members.get_mut(name).unwrap().state = NodeState::Dead;
    }

    /// The node gives up everything.
    pub(super) async fn give_up(&self, node: &Node) {
        let all: Vec<u16> = (0..self.slots).collect();
        node.running.host.give_up(&all).await;
    }
}

/// A node that answers as the test says.
pub(super) struct Liar {
    asked: watch::Receiver<usize>,
    listener: JoinHandle<()>,
}

impl Liar {
    /// Completes when it was sent so many attempts.
    pub(super) async fn asked(&self, count: usize) {
        let mut asked = self.asked.clone();
        let asked = asked.wait_for(|asked| *asked >= count);
        tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Cluster {
    /// A node that says it can run everything, and answers each frame with these.
    pub(super) fn liar(
        &mut self,
        name: &str,
        answer: impl Fn(usize, ProcessingRequest) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Liar {
        let files = self.authority.issue(self.files.path(), name, Validity::Now);
        let credentials = Credentials::read(files).unwrap();
        let listening = ListenerConfig {
            node: name.to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            admission: AdmissionConfig::between_nodes(),
        };
        let listener = Listener::bind(&listening, credentials).unwrap();
        let operations = vec!["steps".to_owned()];
        self.enter(
            name,
            &[Role::Processing],
            listener.local_addr().to_string(),
            operations,
        );
        let (count, asked) = watch::channel(0);
        let (count, answer) = (Arc::new(count), Arc::new(answer));
        let serve = move |mut inbound: Inbound| -> BoxFuture<'static, ()> {
            let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
            Box::pin(async move {
                while let Ok(Some(request)) = inbound.stream.read().await {
                    if matches!(request, ProcessingRequest::Work(_)) {
                        count.send_modify(|count| *count += 1);
                    }
                    let number = *count.borrow();
                    for frame in answer(number, request) {
                        let _ = inbound.stream.write(&frame).await;
                    }
                }
            })
        };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        Liar { asked, listener }
    }
}
