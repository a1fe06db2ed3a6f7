//! Clients that add to many counters, for the tests that move actors about. Each command has to succeed, and each
//! counts once.

use std::collections::BTreeMap;

use selvedge_client::{Client, Session, actor};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::process::{Access, PATIENCE};

/// Counters that are added to: some in the slots of each node.
const COUNTERS: usize = 64;

/// Load that goes on until it is finished.
pub(super) struct Visits {
    clients: Vec<Client>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<u64>,
    visitors: JoinSet<BTreeMap<usize, u64>>,
}

impl Visits {
    /// One client per access.
    pub(super) async fn start(accesses: &[Access]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (count, done) = watch::channel(0);
        let (mut clients, mut visitors) = (Vec::new(), JoinSet::new());
        for (number, access) in accesses.iter().enumerate() {
            let client = access.connect().await;
            let session = client.session().clone();
            visitors.spawn(visit(session, number, count.clone(), stopped.clone()));
            clients.push(client);
        }
        Self {
            clients,
            stop,
            done,
            visitors,
        }
    }

    /// Returns when so many more commands have succeeded.
    pub(super) async fn advance(&mut self, by: u64) {
        let until = *self.done.borrow() + by;
        let waiting = self.done.wait_for(|done| *done >= until);
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .unwrap();
    }

    /// Ends the load and compares what was acknowledged with what the counters say. Answers how much it was.
    pub(super) async fn finish(mut self) -> u64 {
        self.stop.send_replace(true);
        let mut acknowledged = BTreeMap::<usize, u64>::new();
        while let Some(of_one) = self.visitors.join_next().await {
            for (counter, times) in of_one.unwrap() {
                *acknowledged.entry(counter).or_default() += times;
            }
        }
        let session = self.clients[0].session();
        for (counter, times) in &acknowledged {
            let answer = session.query(target(*counter), "state", ()).send().await;
            let answer = answer.unwrap();
            let state: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(state, json!({ "value": times }), "counter {counter}");
            assert_eq!(answer.seq, *times, "counter {counter}");
        }
        for client in &self.clients {
            client.close().await;
        }
        acknowledged.values().sum()
    }
}

fn target(counter: usize) -> selvedge_client::Target {
    actor(&format!("counter/visits-{counter}")).unwrap()
}

async fn visit(
    session: Session,
    first: usize,
    count: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
) -> BTreeMap<usize, u64> {
    let mut acknowledged = BTreeMap::new();
    for number in first.. {
        if *stopped.borrow() {
            break;
        }
        let counter = number % COUNTERS;
        let command = session.command(target(counter), "add", json!({ "by": 1 }));
        command
            .send()
            .await
            .unwrap_or_else(|error| panic!("command {number}: {error}"));
        *acknowledged.entry(counter).or_default() += 1;
        count.send_modify(|count| *count += 1);
    }
    acknowledged
}
