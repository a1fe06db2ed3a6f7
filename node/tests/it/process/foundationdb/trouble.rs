//! A node whose database is in trouble: away, or full.

use std::path::Path;
use std::process::{Command, Stdio};

use selvedge_client::{Answer, Client, ErrorCode, actor};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::on;
use super::servers::Servers;
use crate::process::cluster::frozen::said;
use crate::process::traffic::Traffic;
use crate::process::{Access, Node, PATIENCE, fail};

/// A node that also tells of its sessions.
fn talkative(file: &Path, data_dir: &Path) -> Command {
    let mut command = on(file, data_dir);
    command.env("SELVEDGE_LOG", "info,selvedge_node::session=debug");
    command
}

/// A client, and how often it was told that the store is not there, and that it may try again.
async fn told(access: &Access) -> (Client, watch::Receiver<u32>) {
    let (count, counted) = watch::channel(0);
    let builder = Client::builder().server(&access.server);
    let builder = builder.ca_file(&access.ca).token(&access.token);
    let builder = builder.on_refusal(move |failure| {
        assert_eq!(failure.code, ErrorCode::Unavailable, "{failure:?}");
        count.send_modify(|count| *count += 1);
    });
    (builder.connect().await.unwrap(), counted)
}

/// A command that adds one, sent and not yet answered.
async fn add(client: &Client) -> Answer {
    let counter = actor("counter/troubled").unwrap();
    let call = client.session().command(counter, "add", json!({ "by": 1 }));
    call.start().await.unwrap()
}

/// Sends a command while the database is in trouble; returns when it was refused and is not held. It goes on: its
/// client tries again.
async fn refused(client: &Client, counted: &mut watch::Receiver<u32>) -> Answer {
    let before = *counted.borrow();
    let mut answer = add(client).await;
    tokio::select! {
        refused = timeout(PATIENCE, counted.wait_for(|count| *count > before)) => {
            refused.unwrap().unwrap();
        }
        answered = &mut answer => panic!("{answered:?}"),
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_is_away_is_told_and_costs_no_session() {
    let Some(mut servers) = Servers::start(3) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::spawn(&mut talkative(servers.file(), &data));
    let access = node.access();
    let mut traffic = Traffic::start(&access, "room/away").await;
    let (client, mut counted) = told(&access).await;
    add(&client).await.await.unwrap();
    traffic.advance(50).await;

    (0..servers.count()).for_each(|number| servers.kill(number));
    let answer = refused(&client, &mut counted).await;
    let log = data.with_extension("log");
    said(&log, "most of its coordinators");
    (0..servers.count()).for_each(|number| servers.start_again(number));
    let before = answer.await.unwrap().seq;
    let after = add(&client).await.await.unwrap().seq;
    assert_eq!(after, before + 1, "each took effect once");
    traffic.advance(50).await;

    let sessions = traffic.clients.len() + 1;
    let outcome = traffic.finish().await;
    assert_eq!(outcome.unknown, 0, "commands of sessions that go on");
    client.close().await;
    assert!(node.stop("TERM").success(), "it never ended");
    let log = std::fs::read_to_string(log).unwrap();
    let opened = log.matches("session opened").count();
    assert_eq!(opened, sessions, "none was opened again: {log}");
}

/// More free space than any disk has: to FoundationDB they are full.
const FULL: &str = "--knob_min_available_space=1000000000000000";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_is_full_is_told_with_the_remedy() {
    let Some(mut servers) = Servers::start(1) else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let node = Node::spawn(&mut on(servers.file(), &data));
    let (client, mut counted) = told(&node.access()).await;
    add(&client).await.await.unwrap();

    servers.kill(0);
    servers.start_knobbed(0, &[FULL]);
    said(
        &data.with_extension("log"),
        "the disks of its servers are full",
    );
    let mut other = on(servers.file(), &scratch.path().join("other"));
    let full = fail(other.stderr(Stdio::piped()), 5);
    assert!(full.contains("the disks of its servers are full"), "{full}");
    assert!(full.contains("add storage"), "{full}");

    let answer = refused(&client, &mut counted).await;
    servers.kill(0);
    servers.start_again(0);
    answer.await.unwrap();
    client.close().await;
    assert!(node.stop("TERM").success());
}
