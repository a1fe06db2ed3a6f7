//! What happens to a cluster, by seed: processes that are killed, stand still, leave and come, a network and a store
//! that lose what they carry. Each is undone after a while, and all at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::dice::Dice;
use super::life::State;
use super::network::Trouble;
use super::node::Node;
use super::way::Lost;
use super::world::World;

pub(super) struct Faults {
    world: Arc<World>,
    dice: Dice,
    /// By the time at which it is due.
    undone: BTreeMap<(Instant, u64), Undo>,
    count: u64,
}

/// The end of a fault.
#[derive(Debug)]
enum Undo {
    Thaw(Arc<Node>),
    Heal(Arc<Node>),
    StoreIsBack,
    NetworkIsWhole,
    NetworkIsCalm,
    Start(String),
}

impl Faults {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            dice: Dice::of(world.seed, "faults"),
            world,
            undone: BTreeMap::new(),
            count: 0,
        }
    }

    /// Causes faults until this time, then undoes all.
    pub(super) async fn run(mut self, until: Instant) {
        self.world.network.trouble(CALM);
        let mut next = Instant::now() + self.dice.ms(500, 2_000);
        loop {
            let undo = self.undone.keys().next().map(|(at, _)| *at);
            let at = undo.map_or(next, |undo| undo.min(next));
            if at >= until {
                break;
            }
            sleep_until(at).await;
            if at == next {
                self.cause();
                next = at + self.dice.ms(200, 2_500);
            } else if let Some((_, undo)) = self.undone.pop_first() {
                self.undo(undo);
            }
        }
        sleep_until(until).await;
        for (_, undo) in std::mem::take(&mut self.undone) {
            self.undo(undo);
        }
        for name in self.world.absent() {
            self.world.start(&name);
        }
    }

    fn undo_after(&mut self, from_ms: u64, to_ms: u64, undo: Undo) {
        let at = Instant::now() + self.dice.ms(from_ms, to_ms);
        self.count += 1;
        self.undone.insert((at, self.count), undo);
    }

    fn undo(&self, undo: Undo) {
        let world = &self.world;
        world.log.say(format_args!("fault ends: {undo}"));
        match undo {
            Undo::Thaw(node) => {
                node.life.thaw();
                world.network.thaw(node.address);
            }
            Undo::Heal(node) => node.way.loss().heal(),
            Undo::StoreIsBack => world.outage.heal(),
            Undo::NetworkIsWhole => world.network.heal(),
            Undo::NetworkIsCalm => world.network.trouble(CALM),
            Undo::Start(name) => world.start(&name),
        }
    }

    fn cause(&mut self) {
        let running = self.world.nodes();
        let running: Vec<_> = running
            .into_iter()
            .filter(|node| node.life.state() == State::Running)
            .collect();
        if running.is_empty() {
            return;
        }
        let node = Arc::clone(self.dice.pick(&running));
        match self.dice.below(100) {
            0..18 => self.kill(&node),
            18..32 => self.freeze(node),
            32..50 => self.cut_links(&node),
            50..64 => self.cut_store(node),
            64..70 => self.store_away(),
            70..80 => self.trouble(),
            80..92 => self.leave(node),
            _ => self.come(),
        }
    }

    fn say(&self, what: impl std::fmt::Display) {
        self.world.log.say(format_args!("fault: {what}"));
    }

    fn kill(&mut self, node: &Node) {
        self.say(format_args!("{} is killed", node.process));
        node.kill(&self.world);
        let name = node.process.node.clone();
        self.undo_after(100, 6_000, Undo::Start(name));
    }

    fn freeze(&mut self, node: Arc<Node>) {
        self.say(format_args!("{} stands still", node.process));
        node.life.freeze();
        self.world.network.freeze(node.address);
        self.undo_after(200, 8_000, Undo::Thaw(node));
    }

    /// From one other or from all, in one direction or both.
    fn cut_links(&mut self, node: &Node) {
        let name = &node.process.node;
        let names = self.world.names();
        let mut others: Vec<_> = names.into_iter().filter(|it| it != name).collect();
        if self.dice.chance(60) {
            others = vec![self.dice.pick(&others).clone()];
        }
        let (there, back) =
            *self
                .dice
                .pick(&[(true, true), (true, true), (true, false), (false, true)]);
        self.say(format_args!(
            "{name} is cut off from {others:?}, there {there}, back {back}"
        ));
        for other in &others {
            let other = self.world.address(other);
            if there {
                self.world.network.cut(node.address, other);
            }
            if back {
                self.world.network.cut(other, node.address);
            }
        }
        self.undo_after(300, 6_000, Undo::NetworkIsWhole);
    }

    fn cut_store(&mut self, node: Arc<Node>) {
        let (there, back) = *self
            .dice
            .pick(&[(true, true), (true, false), (false, true)]);
        self.say(format_args!(
            "{} is cut off from the store, there {there}, back {back}",
            node.process
        ));
        node.way.loss().lose(Lost { there, back });
        self.undo_after(200, 6_000, Undo::Heal(node));
    }

    fn store_away(&mut self) {
        self.say("the store is away");
        self.world.outage.lose(Lost::ALL);
        self.undo_after(200, 3_000, Undo::StoreIsBack);
    }

    fn trouble(&mut self) {
        self.say("the network loses, repeats and delays");
        self.world.network.trouble(BAD);
        self.undo_after(1_000, 8_000, Undo::NetworkIsCalm);
    }

    fn leave(&mut self, node: Arc<Node>) {
        self.say(format_args!("{} is to leave", node.process));
        let name = node.process.node.clone();
        let world = Arc::clone(&self.world);
        tokio::spawn(async move { node.leave(&world).await });
        self.undo_after(3_000, 10_000, Undo::Start(name));
    }

    fn come(&self) {
        for name in self.world.absent() {
            self.say(format_args!("{name} comes"));
            self.world.start(&name);
        }
    }
}

impl std::fmt::Display for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thaw(node) => write!(f, "{} goes on", node.process),
            Self::Heal(node) => write!(f, "{} has the store again", node.process),
            Self::StoreIsBack => f.write_str("the store is back"),
            Self::NetworkIsWhole => f.write_str("all links are whole"),
            Self::NetworkIsCalm => f.write_str("the network is calm"),
            Self::Start(name) => write!(f, "{name} starts"),
        }
    }
}

const CALM: Trouble = Trouble {
    lost: 2,
    twice: 2,
    late: 10,
};
const BAD: Trouble = Trouble {
    lost: 50,
    twice: 20,
    late: 80,
};

/// For so long there are faults.
pub(super) const FAULTS: Duration = Duration::from_secs(20);
