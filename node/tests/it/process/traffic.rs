//! Writers and watchers of one room, for the tests that disturb them. Every text is said once, so that
//! what was lost, repeated or reordered shows.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_client::{CallError, Client, EventItem, Session, Since, Target, actor};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Access, PATIENCE};

/// The last thing said.
const END: &str = "end";

/// Traffic that goes on until it is finished.
#[derive(Debug)]
pub(crate) struct Traffic {
    room: Target,
    /// One per writer and per watcher.
    pub(crate) clients: Vec<Client>,
    stop: watch::Sender<bool>,
    writers: JoinSet<Written>,
    watchers: JoinSet<Vec<String>>,
    /// The position of a watcher.
    seen: watch::Receiver<u64>,
}

/// What a writer said, in order.
#[derive(Debug, Default)]
struct Written {
    acknowledged: Vec<String>,
    /// May have been said, as the client told its caller.
    unknown: Vec<String>,
}

/// What became of all that was said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) acknowledged: usize,
    pub(crate) unknown: usize,
}

impl Traffic {
    /// Four writers and two watchers of a room.
    pub(crate) async fn start(access: &Access, room: &str) -> Self {
        Self::among(std::slice::from_ref(access), room).await
    }

    /// The same at several nodes, one after the other.
    pub(crate) async fn among(accesses: &[Access], room: &str) -> Self {
        let room = actor(room).unwrap();
        let (stop, stopped) = watch::channel(false);
        let (position, seen) = watch::channel(0);
        let mut clients = Vec::new();
        let (mut writers, mut watchers) = (JoinSet::new(), JoinSet::new());
        let mut accesses = accesses.iter().cycle();
        let mut connect = async || accesses.next().unwrap().connect().await;
        for _ in 0..2 {
            let client = connect().await;
            watchers.spawn(listen(
                client.session().clone(),
                room.clone(),
                position.clone(),
            ));
            clients.push(client);
        }
        for writer in 0..4 {
            let client = connect().await;
            let session = client.session().clone();
            writers.spawn(speak(session, room.clone(), writer, stopped.clone()));
            clients.push(client);
        }
        Self {
            room,
            clients,
            stop,
            writers,
            watchers,
            seen,
        }
    }

    /// Returns when a watcher has seen so many more events.
    pub(crate) async fn advance(&mut self, by: u64) {
        let until = *self.seen.borrow() + by;
        let waiting = self.seen.wait_for(|seen| *seen >= until);
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .unwrap();
    }

    /// Ends the traffic and compares what was said with what was heard.
    pub(crate) async fn finish(mut self) -> Outcome {
        self.stop.send_replace(true);
        let (mut acknowledged, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        while let Some(written) = self.writers.join_next().await {
            let written = written.unwrap();
            acknowledged.extend(written.acknowledged);
            unknown.extend(written.unknown);
        }
        let last =
            self.clients[0]
                .session()
                .command(self.room.clone(), "say", json!({ "text": END }));
        last.send().await.unwrap();

        while let Some(heard) = self.watchers.join_next().await {
            let heard = heard.unwrap();
            let texts: BTreeSet<_> = heard.iter().cloned().collect();
            assert_eq!(texts.len(), heard.len(), "something took effect twice");
            let lost: Vec<_> = acknowledged.difference(&texts).collect();
            assert!(lost.is_empty(), "acknowledged and not heard: {lost:?}");
            let surplus: Vec<_> = texts
                .difference(&acknowledged)
                .filter(|t| !unknown.contains(*t))
                .collect();
            assert!(surplus.is_empty(), "heard and never said: {surplus:?}");
            assert_each_in_order(&heard);
        }
        for client in &self.clients {
            client.close().await;
        }
        Outcome {
            acknowledged: acknowledged.len(),
            unknown: unknown.len(),
        }
    }
}

/// Texts are `WRITER:NUMBER`.
fn assert_each_in_order(heard: &[String]) {
    let mut latest = BTreeMap::new();
    for text in heard {
        let (writer, number) = text.split_once(':').unwrap();
        let number: u64 = number.parse().unwrap();
        let before = latest.insert(writer.to_owned(), number);
        assert!(
            before < Some(number),
            "{writer} said {number} after {before:?}"
        );
    }
}

async fn speak(
    session: Session,
    room: Target,
    writer: usize,
    stopped: watch::Receiver<bool>,
) -> Written {
    let mut written = Written::default();
    for number in 1_u64.. {
        if *stopped.borrow() {
            break;
        }
        let text = format!("{writer}:{number}");
        match session
            .command(room.clone(), "say", json!({ "text": text }))
            .send()
            .await
        {
            Ok(_) => written.acknowledged.push(text),
            Err(CallError::OutcomeUnknown) => written.unknown.push(text),
            Err(error) => panic!("{text}: {error:?}"),
        }
    }
    written
}

/// Everything said up to the end; each event has the next number.
async fn listen(session: Session, room: Target, position: watch::Sender<u64>) -> Vec<String> {
    let mut heard = Vec::new();
    let mut events = session.subscribe(room, Since::After(0)).await.unwrap();
    loop {
        let item = tokio::time::timeout(PATIENCE, events.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let EventItem::Event { seq, data, .. } = item else {
            panic!("{item:?} after {heard:?}")
        };
        assert_eq!(seq, heard.len() as u64 + 1);
        let said: Value = serde_json::from_slice(&data).unwrap();
        let text = said["text"].as_str().unwrap();
        if text == END {
            return heard;
        }
        heard.push(text.to_owned());
        position.send_replace(seq);
    }
}
