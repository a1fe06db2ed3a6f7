//! A network between a storage node and its client that loses everything for a while: what is said about a
//! transaction then is true, and all goes on afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_cluster::store::remote::Remote;
use selvedge_cluster::store::{Error, Isolation, Store};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::world::StorageNode;

/// How long anything here may take before it counts as hung. Never a measure of speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries datagrams between one client and a server, or loses them.
#[derive(Debug)]
struct Relay {
    address: SocketAddr,
    loses_questions: Arc<AtomicBool>,
    loses_answers: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn to(server: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        back.connect(server).await.unwrap();
        let address = front.local_addr().unwrap();
        let (questions, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (loses_questions, loses_answers) = (Arc::clone(&questions), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            let (mut question, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut question) => {
                        client = Some(from);
                        if !questions.load(Ordering::SeqCst) {
                            let _ = back.send(&question[..length]).await;
                        }
                    }
                    Ok(length) = back.recv(&mut answer) => {
                        if let Some(client) = client
                            && !answers.load(Ordering::SeqCst)
                        {
                            let _ = front.send_to(&answer[..length], client).await;
                        }
                    }
                }
            }
        });
        Self {
            address,
            loses_questions,
            loses_answers,
            task,
        }
    }

    fn lose(&self, questions: bool, answers: bool) {
        self.loses_questions.store(questions, Ordering::SeqCst);
        self.loses_answers.store(answers, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn put(client: &Remote, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let mut transaction = client.begin();
    transaction.set(key, value);
    transaction.commit().await.map(drop)
}

/// Reads once the store can be reached again.
async fn read_again(client: &Remote, key: &[u8]) -> Option<bytes::Bytes> {
    let reading = async {
        loop {
            match client.begin().get(key, Isolation::Snapshot).await {
                Ok(value) => return value,
                Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_was_done() {
    let node = StorageNode::fresh().await;
    let relay = Relay::to(node.address).await;
    let client = node.client_at(relay.address).await;
    put(&client, b"a", b"1").await.unwrap();
    let watch = client.watch(b"b");

    relay.lose(false, true);
    let unknown = put(&client, b"a", b"2").await;
    assert!(matches!(unknown, Err(Error::CommitUnknown)), "{unknown:?}");
    let away = async {
        while client.health().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, away).await.unwrap();

    relay.lose(false, false);
    assert_eq!(read_again(&client, b"a").await.unwrap(), "2");
    client.health().unwrap();
    // By chance: something may have changed meanwhile.
    tokio::time::timeout(PATIENCE, watch)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_arrived_is_unknown_and_was_not_done() {
    let node = StorageNode::fresh().await;
    let relay = Relay::to(node.address).await;
    let client = node.client_at(relay.address).await;
    put(&client, b"a", b"1").await.unwrap();
    relay.lose(true, true);
    let unknown = put(&client, b"a", b"2").await;
    assert!(matches!(unknown, Err(Error::CommitUnknown)), "{unknown:?}");
    relay.lose(false, false);
    assert_eq!(read_again(&client, b"a").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_cut_before_its_commit_was_not_done_and_says_so() {
    let node = StorageNode::fresh().await;
    let relay = Relay::to(node.address).await;
    let client = node.client_at(relay.address).await;
    put(&client, b"a", b"1").await.unwrap();
    let mut begun = client.begin();
    begun.get(b"a", Isolation::Serializable).await.unwrap();
    relay.lose(true, true);
    let cut = begun.get(b"b", Isolation::Serializable).await;
    assert!(matches!(cut, Err(Error::Unavailable(_))), "{cut:?}");
    begun.set(b"a", b"2");
    let refused = begun.commit().await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // What begins now fails at once instead of waiting in line.
    let refused = put(&client, b"a", b"3").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    relay.lose(false, false);
    assert_eq!(read_again(&client, b"a").await.unwrap(), "1");
    put(&client, b"a", b"4").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_in_order_ends_its_streams() {
    let node = StorageNode::fresh().await;
    let client = node.client().await;
    put(&client, b"a", b"1").await.unwrap();
    tokio::time::timeout(PATIENCE, node.stop()).await.unwrap();
    let refused = put(&client, b"a", b"2").await;
    assert!(
        matches!(refused, Err(Error::Unavailable(_) | Error::CommitUnknown)),
        "{refused:?}"
    );
}
