//! One run: a cluster, its clients and its faults, from a seed to the last check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::Host;
use selvedge_cluster::store::migration;
use selvedge_protocol::frame::Outcome as Answer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::dice::Dice;
use super::faults::{FAULTS, Faults};
use super::history::History;
use super::node::is_settled;
use super::subscriber::Subscriber;
use super::world::World;
use crate::actor::world::{ask_query, number};

/// The last event that subscribers heard, by counter.
type Heard = Mutex<BTreeMap<String, u64>>;

/// What came of a run.
pub(super) struct Outcome {
    pub(super) log: Vec<String>,
    /// None, if all is well.
    pub(super) violations: Vec<String>,
}

/// Runs a seed, in a runtime of its own.
pub(super) fn run(seed: u64) -> Outcome {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true);
    runtime.build().unwrap().block_on(live(seed))
}

async fn live(seed: u64) -> Outcome {
    let dice = Dice::of(seed, "run");
    let nodes = u8::try_from(3 + dice.below(3)).unwrap();
    let world = World::new(seed, nodes);
    let clock = Clock::simulated(1_700_000_000_000, seed);
    migration::prepare(&world.store, &clock).await.unwrap();
    let names = world.names();
    // Some come later.
    for name in &names[..names.len() - usize::from(dice.chance(50))] {
        world.start(name);
        sleep(dice.ms(1, 500)).await;
    }
    let log = world.log.clone();
    let history = Arc::new(Mutex::new(History::new(log.clone())));
    let (over, is_over) = watch::channel(false);
    let mut clients = JoinSet::new();
    for name in 1..=CLIENTS {
        let client = Client {
            name,
            world: Arc::clone(&world),
            history: Arc::clone(&history),
            dice: Dice::of(seed, &format!("client {name}")),
            is_over: is_over.clone(),
        };
        clients.spawn(client.run());
    }
    let heard = Arc::default();
    let mut subscribers = JoinSet::new();
    for key in FOLLOWED {
        let subscriber = Subscriber {
            key: key.to_owned(),
            world: Arc::clone(&world),
            dice: Dice::of(seed, &format!("subscriber of {key}")),
            heard: Arc::clone(&heard),
        };
        subscribers.spawn(subscriber.run());
    }
    let tallies = tokio::spawn(tally(Arc::clone(&world)));
    Faults::new(Arc::clone(&world))
        .run(Instant::now() + FAULTS)
        .await;
    log.say("all is whole again");
    over.send_replace(true);
    let ended = async {
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    };
    match timeout(PATIENCE, ended).await {
        Ok(()) => check(&world, &history, &heard).await,
        Err(_elapsed) => log.violation("clients are not answered"),
    }
    tallies.abort();
    Outcome {
        log: log.lines(),
        violations: log.violations(),
    }
}

/// What is so in the end.
async fn check(world: &Arc<World>, history: &Mutex<History>, heard: &Heard) {
    let log = &world.log;
    let settled = async {
        loop {
            // Whoever left in the end comes back.
            for name in world.absent() {
                world.start(&name);
            }
            let nodes = world.nodes();
            if nodes.len() == world.names().len() && is_settled(&nodes) {
                return nodes;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let Ok(nodes) = timeout(PATIENCE, settled).await else {
        for node in world.nodes() {
            let host = node.host();
            let owned = host.map(|host| (host.owned(), host.held()));
            let view = node.view();
            let view = view.map(|view| (view.plan.clone(), view.members.clone()));
            log.say(format_args!("{}: {owned:?}, {view:?}", node.process));
        }
        return log.violation("shares are not exact");
    };
    log.say("all have their shares");
    let hosts: Vec<Host> = nodes.iter().filter_map(|node| node.host()).collect();
    let totals = history.lock().totals();
    for (key, total) in totals {
        for host in &hosts {
            let summed = timeout(PATIENCE, async {
                while sum(host, &key).await != Some(total) {
                    sleep(Duration::from_millis(50)).await;
                }
            });
            if summed.await.is_err() {
                let found = timeout(PATIENCE, sum(host, &key)).await;
                let through = host.node();
                log.violation(format_args!(
                    "{key} is {found:?} through {through}, and should be {total}"
                ));
            }
        }
    }
    log.say("all sums are right");
    let totals: BTreeMap<_, _> = history.lock().totals().into_iter().collect();
    let all_heard = async {
        let is_heard = |key: &&str| totals.get(*key) == heard.lock().get(*key);
        while !FOLLOWED.iter().all(is_heard) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(PATIENCE, all_heard).await.is_err() {
        let heard = heard.lock().clone();
        log.violation(format_args!("of {totals:?} subscribers heard {heard:?}"));
    }
}

async fn sum(host: &Host, key: &str) -> Option<u64> {
    match ask_query(host, key, "sum").await {
        Answer::Success(success) => Some(number(&success)),
        Answer::Failure(_) => None,
    }
}

/// Says what nodes know and have whenever that is another than before, and each second what went over the network and
/// to the store: what is the same in two logs is the same in these.
async fn tally(world: Arc<World>) {
    let mut told = BTreeMap::new();
    for look in 1.. {
        sleep(LOOK).await;
        for node in world.nodes() {
            let Some(status) = node.status() else {
                continue;
            };
            let process = &node.process;
            if told.get(process) != Some(&status) {
                world.log.say(format_args!("{process} is {status}"));
                told.insert(process.clone(), status);
            }
        }
        if look % LOOKS_PER_SECOND == 0 {
            let (sent, network) = world.network.tally();
            let (commits, refused, store) = world.judge.tally();
            world.log.say(format_args!(
                "{sent} datagrams ({network:016x}), {commits} commits, {refused} refused ({store:016x})"
            ));
        }
    }
}

const LOOK: Duration = Duration::from_millis(50);
const LOOKS_PER_SECOND: u32 = 20;
const CLIENTS: u64 = 5;
/// The counters that have a subscriber.
const FOLLOWED: [&str; 3] = ["k0", "k1", "k2"];
/// For what comes to pass once all is whole.
const PATIENCE: Duration = Duration::from_secs(60);
