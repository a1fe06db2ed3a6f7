//! A simulated node: all of a real one but its sessions, on the simulated network and store. Ended, it is as if it had
//! been killed; started again, it is another process under the same name.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{Host, HostConfig, Kinds};
use selvedge_cluster::forward::{Doubt, ForwardConfig};
use selvedge_cluster::gate::admission::AdmissionConfig;
use selvedge_cluster::membership::{
    Joining, Leave, Member, MemberConfig, Role, Timing, Versions, View,
};
use selvedge_cluster::ownership::{Ownership, OwnershipConfig};
use selvedge_cluster::peer::{Credentials, Listener, ListenerConfig};
use selvedge_cluster::store::{Error, Store};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::dice::Dice;
use super::judge::Process;
use super::life::Life;
use super::way::Way;
use super::world::World;
use crate::actor::kinds::Tally;

pub(super) const SLOTS: u16 = 32;

/// A process that runs, as the world sees it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    pub(super) life: Life,
    pub(super) way: Way,
    /// Empty once it has ended.
    parts: Mutex<Option<Parts>>,
}

/// What a process is made of.
#[derive(Debug)]
struct Parts {
    host: Host,
    member: Member,
    ownership: Arc<Ownership>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Node {
    /// Starts a process; as a supervisor of processes would, again and again while the store is away.
    pub(super) async fn start(world: &World, name: &str, address: SocketAddr) -> Arc<Self> {
        loop {
            match Self::try_start(world, name, address).await {
                Ok(node) => return node,
                Err(error) => {
                    world
                        .log
                        .say(format_args!("{name} does not start: {error}"));
                    world.network.close(address);
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    async fn try_start(world: &World, name: &str, address: SocketAddr) -> Result<Arc<Self>, Error> {
        let process = Process {
            node: name.to_owned(),
            number: world.next_process(),
        };
        let life = Life::default();
        let part = |part: &str| format!("{part} of process {}", process.number);
        let dice = Dice::of(world.seed, &part("way"));
        let judge = world.judge.clone();
        let way = Way::new(
            world.store.clone(),
            dice,
            judge,
            process.clone(),
            life.clone(),
            world.outage.clone(),
        );
        let store: Arc<dyn Store> = Arc::new(way.clone());
        let dice = Dice::of(world.seed, &part("clock"));
        let clock = Clock::simulated(world.wall_ms(), dice.next());
        let endpoint = Dice::of(world.seed, &part("endpoint"));
        let parts = Parts::start(world, name, address, store, clock, &endpoint).await;
        if parts.is_err() {
            life.end();
        }
        let parts = parts?;
        Ok(Arc::new(Self {
            process,
            address,
            life,
            way,
            parts: Mutex::new(Some(parts)),
        }))
    }

    /// Ends the process at once.
    pub(super) fn kill(&self, world: &World) {
        self.life.end();
        world.network.close(self.address);
        let parts = self.parts.lock().take();
        drop(parts);
    }

    /// Leaves in order, then ends.
    pub(super) async fn leave(&self, world: &World) {
        let Some((member, ownership)) = self.leaving() else {
            return;
        };
        let leaving = member.leave(ownership.emptied(), LEAVE_MAX);
        let left = tokio::select! {
            biased;
            () = self.life.over() => None,
            left = leaving => Some(left),
        };
        drop((member, ownership));
        match left {
            Some(Leave::Emptied) => world.log.say(format_args!("{} has left", self.process)),
            Some(Leave::Late) => world.log.say(format_args!("{} leaves late", self.process)),
            Some(Leave::CutOff) => world.log.say(format_args!("{} ends cut off", self.process)),
            None => return,
        }
        let host = self.host();
        if let Some(host) = host {
            host.stop().await;
        }
        self.kill(world);
    }

    fn leaving(&self) -> Option<(Member, Arc<Ownership>)> {
        let parts = self.parts.lock();
        let parts = parts.as_ref()?;
        Some((parts.member.clone(), Arc::clone(&parts.ownership)))
    }

    pub(super) fn host(&self) -> Option<Host> {
        let parts = self.parts.lock();
        parts.as_ref().map(|parts| parts.host.clone())
    }

    pub(super) fn view(&self) -> Option<Arc<View>> {
        let parts = self.parts.lock();
        let parts = parts.as_ref()?;
        let view = parts.member.view();
        let view = view.borrow();
        Some(Arc::clone(&view))
    }

    /// What the process knows of the cluster, and what it has, in some words.
    pub(super) fn status(&self) -> Option<String> {
        let parts = self.parts.lock();
        let Parts { member, host, .. } = parts.as_ref()?;
        let standing = *member.standing().borrow();
        let view = member.view().borrow().clone();
        let (incarnation, plan) = (view.incarnation, view.plan.number);
        let (held, owned) = (host.held(), host.owned());
        let closing = held.len() - owned.len();
        Some(format!(
            "{standing:?} as {incarnation}, plan {plan}, {closing} closing, has {owned:?}"
        ))
    }
}

impl Parts {
    async fn start(
        world: &World,
        name: &str,
        address: SocketAddr,
        store: Arc<dyn Store>,
        clock: Clock,
        endpoint: &Dice,
    ) -> Result<Self, Error> {
        let socket = world.network.open(address);
        let listening = ListenerConfig {
            node: name.to_owned(),
            address,
            admission: AdmissionConfig::between_nodes(),
        };
        let credentials = Credentials::read(world.files_of(name)).unwrap();
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&endpoint.next().to_le_bytes());
        }
        let listener = Listener::over(&listening, credentials, socket, seed).unwrap();
        let host = HostConfig {
            node: name.to_owned(),
            idle_ms: 4_000,
            slots: SLOTS,
        };
        let kinds = Kinds::default().with(Tally);
        let host = Host::idle(host, Arc::clone(&store), clock.clone(), kinds).await?;
        let member = MemberConfig {
            joining: joining(name, address),
            slots: SLOTS,
            timing: Timing::default(),
        };
        let member = Member::start(member, store, clock.clone()).await?;
        let ownership = Ownership::start(
            OwnershipConfig::default(),
            host.clone(),
            member.clone(),
            clock.clone(),
        );
        let links = listener.links(clock);
        let looked_at = links.clone();
        member.reports(Box::new(move |now, doubted| {
            looked_at.unreachable(now, doubted)
        }));
        let doubting = member.clone();
        let forward = host.forward(ForwardConfig {
            views: member.view(),
            links,
            doubt: Box::new(move |doubt| match doubt {
                Doubt::Plan => doubting.poke(),
                Doubt::Node(name) => doubting.suspect(&name),
            }),
        });
        let serve =
            move |inbound| -> BoxFuture<'static, ()> { Box::pin(forward.clone().serve(inbound)) };
        let listener = tokio::spawn(listener.run(std::future::pending(), serve));
        Ok(Self {
            host,
            member,
            ownership: Arc::new(ownership),
            tasks: vec![listener.abort_handle()],
        })
    }
}

fn joining(name: &str, address: SocketAddr) -> Joining {
    Joining {
        name: name.to_owned(),
        weight: 1,
        roles: vec![Role::Core],
        peer: address.to_string(),
        quic: None,
        http: None,
        operations: Vec::new(),
        versions: Versions {
            binary: "0.1.0".to_owned(),
            protocol: 1,
            schema: 1,
        },
    }
}

/// Whether each of these has its share of the newest plan and nothing else, and all know that.
pub(super) fn is_settled(nodes: &[Arc<Node>]) -> bool {
    let views: Vec<_> = nodes.iter().map(|node| node.view()).collect();
    let Some(plan) = views
        .iter()
        .flatten()
        .map(|view| &view.plan)
        .max_by_key(|plan| plan.number)
    else {
        return false;
    };
    let names: BTreeSet<&str> = nodes.iter().map(|it| it.process.node.as_str()).collect();
    let is_spread = plan.nodes().collect::<BTreeSet<_>>() == names
        && names.iter().all(|name| {
            let share = plan.slots_of(name).count();
            share.abs_diff(usize::from(SLOTS) / names.len()) <= 1
        });
    is_spread
        && nodes.iter().zip(&views).all(|(node, view)| {
            let share: Vec<u16> = plan.slots_of(&node.process.node).collect();
            view.as_ref().is_some_and(|view| view.plan == *plan)
                && node
                    .host()
                    .is_some_and(|host| host.owned() == share && host.held() == share)
        })
}

/// As long as a node may take to leave.
const LEAVE_MAX: Duration = Duration::from_secs(15);
