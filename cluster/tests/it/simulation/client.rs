//! Clients of a simulated cluster: each has a session, one command at a time, and asks through any node. What is not
//! answered it sends again under the same number, elsewhere; what it has given up may still arrive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_cluster::actor::{CommandRequest, Host, Identity, Origin, QueryRequest};
use selvedge_protocol::SessionId;
use selvedge_protocol::frame::{Consistency, Outcome, Success};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::history::History;
use super::life::State;
use super::node::Node;
use super::world::World;
use crate::actor::world::{actor, number, reply};

pub(super) struct Client {
    pub(super) name: u64,
    pub(super) world: Arc<World>,
    pub(super) history: Arc<Mutex<History>>,
    pub(super) dice: Dice,
    /// Whether what it does now is its last.
    pub(super) is_over: watch::Receiver<bool>,
}

/// What a client asks, and of which counter.
#[derive(Debug, Clone)]
struct Asked {
    key: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Add(Identity),
    /// To have one added to another one.
    Send(Identity, String),
    Sum,
}

impl Client {
    /// Asks until it is told to end, and then some more.
    pub(super) async fn run(self) {
        let mut number = 0;
        let mut left = LAST;
        while left > 0 {
            if *self.is_over.borrow() {
                left -= 1;
            }
            sleep(self.dice.ms(1, 300)).await;
            let key = self.key();
            match self.dice.below(100) {
                0..60 => {
                    number += 1;
                    self.add(key, self.identity(number)).await;
                }
                60..75 => {
                    number += 1;
                    let to = self.key();
                    self.send(key, self.identity(number), to).await;
                }
                _ => self.look(key).await,
            }
        }
        self.world
            .log
            .say(format_args!("client {} is done", self.name));
    }

    fn key(&self) -> String {
        format!("k{}", self.dice.below(KEYS))
    }

    fn identity(&self, number: u64) -> Identity {
        Identity::Session {
            session: SessionId::from_u128(u128::from(self.name)),
            number,
            acknowledged: number - 1,
        }
    }

    async fn add(&self, key: String, identity: Identity) {
        let before = self.history.lock().begin(&key);
        let what = What::Add(identity);
        let asked = Asked { key, what };
        let sum = number(&self.ask_surely(&asked).await);
        self.history.lock().added(&asked.key, before, sum);
    }

    async fn send(&self, key: String, identity: Identity, to: String) {
        // It arrives at some time after its commit.
        self.history.lock().begin(&to);
        let what = What::Send(identity, to);
        self.ask_surely(&Asked { key, what }).await;
    }

    async fn look(&self, key: String) {
        let asked = Asked {
            key,
            what: What::Sum,
        };
        loop {
            let before = self.history.lock().look(&asked.key);
            if let Some(success) = self.ask(&asked).await {
                let sum = number(&success);
                return self.history.lock().read(&asked.key, before, sum);
            }
        }
    }

    async fn ask_surely(&self, asked: &Asked) -> Success {
        loop {
            if let Some(success) = self.ask(asked).await {
                return success;
            }
        }
    }

    /// Asks once, through some node. After a failure it waits for a moment.
    async fn ask(&self, asked: &Asked) -> Option<Success> {
        let log = &self.world.log;
        let nodes = self.world.nodes();
        if nodes.is_empty() {
            sleep(Duration::from_millis(200)).await;
            return None;
        }
        let node = self.dice.pick(&nodes);
        let (name, process) = (self.name, &node.process);
        log.say(format_args!("client {name} asks {process} {asked}"));
        let (sender, heard) = oneshot::channel();
        let dice = (self.dice.ms(0, 3), self.dice.ms(0, 3));
        tokio::spawn(carry(Arc::clone(node), asked.clone(), dice, sender));
        let heard = timeout(PATIENCE, heard).await;
        match heard {
            Ok(Ok(Outcome::Success(success))) => {
                let body = success.body.escape_ascii();
                log.say(format_args!("client {name} hears {body} for {asked}"));
                return Some(success);
            }
            Ok(Ok(Outcome::Failure(failure))) if failure.code.may_be_retried() => {
                log.say(format_args!("client {name} hears {failure} for {asked}"));
            }
            Ok(Ok(Outcome::Failure(failure))) => {
                log.violation(format_args!("client {name} hears {failure} for {asked}"));
            }
            Ok(Err(_lost)) => log.say(format_args!("client {name} has lost {process}")),
            Err(_elapsed) => log.say(format_args!("client {name} gives {process} up")),
        }
        sleep(self.dice.ms(20, 200)).await;
        None
    }
}

/// A request on its way to a node, and its answer. It waits while the node stands still, and is lost with it.
async fn carry(
    node: Arc<Node>,
    asked: Asked,
    (there, back): (Duration, Duration),
    heard: oneshot::Sender<Outcome>,
) {
    sleep(there).await;
    if !node.life.goes_on().await {
        return;
    }
    let Some(host) = node.host() else { return };
    let (reply, answer) = reply();
    asked.put(&host, reply);
    drop(host);
    let outcome = tokio::select! {
        biased;
        () = node.life.over() => return,
        outcome = answer => outcome,
    };
    if node.life.state() == State::Over || !node.life.goes_on().await {
        return;
    }
    sleep(back).await;
    if let Ok(outcome) = outcome {
        // Who asked may have gone elsewhere.
        let _ = heard.send(outcome);
    }
}

impl Asked {
    fn put(self, host: &Host, reply: selvedge_cluster::actor::ReplyTo) {
        let (identity, name, body) = match self.what {
            What::Sum => {
                let request = QueryRequest {
                    actor: actor(&self.key),
                    name: "sum".to_owned(),
                    body: Bytes::new(),
                    consistency: Consistency::Linearizable,
                    deadline: None,
                };
                return host.query(request, reply);
            }
            What::Add(identity) => (identity, "add", "1".to_owned()),
            What::Send(identity, to) => {
                let body = format!(r#"{{"to":"tally/{to}","times":1}}"#);
                (identity, "send", body)
            }
        };
        let request = CommandRequest {
            actor: actor(&self.key),
            principal: Arc::from("client"),
            origin: Origin::Client(None),
            identity,
            name: name.to_owned(),
            body: Bytes::from(body),
            payload: None,
            if_version: None,
            deadline: None,
        };
        host.command(request, reply);
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = &self.key;
        match &self.what {
            What::Add(Identity::Session { number, .. }) => write!(f, "#{number} add {key}"),
            What::Send(Identity::Session { number, .. }, to) => {
                write!(f, "#{number} send {key} to {to}")
            }
            What::Add(_) | What::Send(..) => write!(f, "? {key}"),
            What::Sum => write!(f, "sum {key}"),
        }
    }
}

/// Few, so that clients meet.
const KEYS: u64 = 12;
/// What a client asks after all is well again.
const LAST: u64 = 6;
/// After so long without an answer a client goes elsewhere.
const PATIENCE: Duration = Duration::from_millis(2_500);
