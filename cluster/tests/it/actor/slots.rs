//! Slots that go from one host to another while they are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_cluster::actor::{Claim, Host, HostConfig, Identity, Kinds, SubscriptionItem, Taking};
use selvedge_protocol::frame::Since;
use selvedge_protocol::{ErrorCode, SessionId};

use super::kinds::Tally;
use super::world::*;

const SLOTS: u16 = 8;

async fn idle(world: &World, node: &str) -> Host {
    world.idle(node, SLOTS).await
}

/// By force, all under one plan.
async fn take(host: &Host, slots: &[u16]) -> Taking {
    take_under(host, slots, 1).await
}

async fn take_under(host: &Host, slots: &[u16], plan: u64) -> Taking {
    let claim = Claim {
        plan,
        incarnation: 1,
    };
    host.take(slots, claim, &|_, _| true).await.unwrap()
}

fn slot(key: &str) -> u16 {
    let actor = actor(key);
    actor.address.slot(&actor.tenant, SLOTS)
}

fn all() -> Vec<u16> {
    (0..SLOTS).collect()
}

fn number_of(session: u64, number: u64) -> Identity {
    Identity::Session {
        session: SessionId::from_u128(u128::from(session)),
        number,
        acknowledged: number - 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_serves_what_it_has_taken() {
    let world = World::new().await;
    let (one, two) = (idle(&world, "one").await, idle(&world, "two").await);
    assert_eq!(one.owned(), [0_u16; 0]);
    let refused = add(&one, "a", Identity::Natural).await;
    assert_eq!(code(refused), ErrorCode::Unavailable);
    take(&one, &all()).await;
    ok(add(&one, "a", Identity::Natural).await);
    one.give_up(&[slot("a")]).await;
    assert_eq!(one.owned().len(), usize::from(SLOTS) - 1);
    let refused = add(&one, "a", Identity::Natural).await;
    assert_eq!(code(refused), ErrorCode::Unavailable);
    assert!(one.subscribe(actor("a"), Since::Latest).await.is_err());
    // Whoever takes it goes on where the other stood; so does the first when it has it again.
    take(&two, &[slot("a"), SLOTS]).await;
    assert_eq!(number(&ok(add(&two, "a", Identity::Natural).await)), 2);
    two.give_up(&all()).await;
    take(&one, &[slot("a")]).await;
    assert_eq!(sum(&one, "a").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_not_taken_back_under_an_older_plan() {
    let world = World::new().await;
    let (one, two) = (idle(&world, "one").await, idle(&world, "two").await);
    take_under(&one, &all(), 4).await;
    ok(add(&one, "a", Identity::Natural).await);
    // Of some by the next plan, of the others by the same one.
    let taking = take_under(&two, &[0, 1, 2], 5).await;
    assert_eq!(taking.taken, [0, 1, 2]);
    assert_eq!(take_under(&two, &[3], 4).await.taken, [3]);
    // The first has not noticed; what it knows to have lost it does not get back.
    one.give_up(&all()).await;
    let taking = take_under(&one, &all(), 4).await;
    assert_eq!(taking.outdated, [0, 1, 2]);
    assert_eq!(taking.taken, [3, 4, 5, 6, 7]);
    assert_eq!(one.owned(), [3, 4, 5, 6, 7]);
    // A node that is alone asks for no plan, and leaves the numbers as they are.
    let store = Arc::clone(&world.store);
    let config = HostConfig {
        node: "alone".to_owned(),
        idle_ms: 60_000,
        slots: SLOTS,
    };
    let kinds = Kinds::default().with(Tally);
    let alone = Host::start(config, store, world.clock.clone(), kinds).await;
    assert_eq!(sum(&alone.unwrap(), "a").await, 1);
    one.give_up(&all()).await;
    assert_eq!(take_under(&one, &all(), 4).await.outdated, [0, 1, 2]);
    assert_eq!(take_under(&one, &[0, 1, 2], 5).await.taken, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_messages_and_subscribers_go_on_at_the_new_owner() {
    let world = World::new().await;
    let (one, two) = (idle(&world, "one").await, idle(&world, "two").await);
    take(&one, &all()).await;
    let timer = r#"{"name":"later","due":1000500}"#;
    ok(one
        .ask(command("a", "timer", timer, Identity::Natural))
        .await);
    let mut events = one.subscribe(actor("a"), Since::After(0)).await.unwrap();
    one.give_up(&all()).await;
    assert_eq!(
        events.next().await.unwrap_err().code,
        ErrorCode::Unavailable
    );
    world.clock.advance(Duration::from_secs(1));
    take(&two, &all()).await;
    let since = Since::After(events.position());
    let mut events = two.subscribe(actor("a"), since).await.unwrap();
    let fired = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    assert!(matches!(
        fired.unwrap().unwrap(),
        SubscriptionItem::Event(_)
    ));
}

/// Adds one to an actor at whichever host takes it, under one id, until that is answered.
async fn add_surely(hosts: &[Host], key: &str, identity: Identity) {
    for attempt in 0.. {
        let host = &hosts[attempt % hosts.len()];
        match code_of(host, key, identity).await {
            None => return,
            Some(ErrorCode::Unavailable) => tokio::task::yield_now().await,
            Some(other) => panic!("{other}"),
        }
    }
}

async fn code_of(host: &Host, key: &str, identity: Identity) -> Option<ErrorCode> {
    match add(host, key, identity).await {
        selvedge_protocol::frame::Outcome::Success(_) => None,
        selvedge_protocol::frame::Outcome::Failure(failure) => Some(failure.code),
    }
}

/// Moves all slots to and fro while clients write; `graceful` as the owner gives them up first.
async fn moves_under_load(graceful: bool) {
    const CLIENTS: u64 = 8;
    const COMMANDS: u64 = 200;
    let world = World::new().await;
    let hosts = [idle(&world, "one").await, idle(&world, "two").await];
    take(&hosts[0], &all()).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let moving = {
        let (hosts, is_over) = (hosts.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut moves = 0;
            while !is_over.load(Ordering::Acquire) {
                let (from, to) = (&hosts[moves % 2], &hosts[(moves + 1) % 2]);
                for slot in all() {
                    if graceful {
                        from.give_up(&[slot]).await;
                    }
                    take(to, &[slot]).await;
                }
                moves += 1;
            }
            moves
        })
    };
    let clients = (0..CLIENTS).map(|client| {
        let hosts = hosts.clone();
        tokio::spawn(async move {
            for number in 1..=COMMANDS {
                let key = ((client + number) % 16).to_string();
                add_surely(&hosts, &key, number_of(client, number)).await;
            }
        })
    });
    for client in futures::future::join_all(clients).await {
        client.unwrap();
    }
    is_over.store(true, Ordering::Release);
    assert!(moving.await.unwrap() > 1, "slots have moved");
    let [one, two] = hosts;
    one.give_up(&all()).await;
    take(&two, &all()).await;
    let mut total = 0;
    for key in 0..16 {
        total += sum(&two, &key.to_string()).await;
    }
    assert_eq!(total, CLIENTS * COMMANDS, "each command had one effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_handed_over_under_load_lose_and_repeat_nothing() {
    moves_under_load(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_taken_by_force_under_load_lose_and_repeat_nothing() {
    moves_under_load(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_before_the_end_is_answered() {
    let world = World::new().await;
    let host = idle(&world, "one").await;
    take(&host, &all()).await;
    let mut answers = Vec::new();
    for number in 0..500_u64 {
        let (reply, answer) = reply();
        let key = (number % 50).to_string();
        host.command(command(&key, "add", "1", Identity::Natural), reply);
        answers.push(answer);
    }
    host.give_up(&all()).await;
    for mut answer in answers {
        // Not a moment later.
        ok(answer.try_recv().unwrap());
    }
}

/// What was due before a host could do it, it does once it can: not with the next round of something else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_done_as_soon_as_its_slot_is_taken() {
    /// Before the first round of passivation, which looks as well.
    const SOON: Duration = Duration::from_secs(10);
    let world = World::new().await;
    let (one, two) = (idle(&world, "one").await, idle(&world, "two").await);
    take(&one, &all()).await;
    let body = r#"{"name":"late","due":1000500}"#;
    ok(one
        .ask(command("a", "timer", body, Identity::Natural))
        .await);
    one.give_up(&all()).await;
    world.clock.advance(Duration::from_secs(1));
    take_under(&two, &all(), 2).await;
    let mut events = two.subscribe(actor("a"), Since::After(0)).await.unwrap();
    let fired = tokio::time::timeout(SOON, events.next()).await;
    let fired = fired.expect("the timer waits for something else");
    assert!(matches!(fired, Ok(SubscriptionItem::Event(_))), "{fired:?}");
}
