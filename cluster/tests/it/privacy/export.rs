//! Exports: all that there is, in parts.

use selvedge_cluster::actor::export::{Exported, Place};

use super::world::{World, said, subject};
use crate::actor::world::ok;

#[tokio::test]
async fn an_export_has_every_state_and_event_of_a_subject_and_of_nobody_else() {
    let world = World::new();
    let node = world.node("node-1").await;
    for number in 0..150 {
        ok(node.tell("ann/a", "write", &said(number, "a")).await);
    }
    ok(node.tell("ann/b", "write", &said(0, "b")).await);
    ok(node.tell("ben/a", "write", &said(0, "ben")).await);
    let of = subject("ann");
    let mut from: Option<Place> = None;
    let (mut states, mut events) = (Vec::new(), Vec::new());
    loop {
        let page = node.host.export(&of, from.as_ref()).await.unwrap();
        let Some((actor, next)) = page.at else { break };
        for item in page.items {
            match item {
                Exported::State { seq, .. } => states.push((actor.to_string(), seq)),
                Exported::Event(event) => events.push((actor.to_string(), event.seq)),
                Exported::Payload { .. } => panic!("there is no payload"),
            }
        }
        from = Some(next);
    }
    assert_eq!(
        states,
        [
            ("diary/ann/a".to_owned(), 150),
            ("diary/ann/b".to_owned(), 1)
        ]
    );
    let of_a: Vec<_> = (1..=150)
        .map(|seq| ("diary/ann/a".to_owned(), seq))
        .collect();
    assert_eq!(events[..150], of_a);
    assert_eq!(events[150..], [("diary/ann/b".to_owned(), 1)]);
    node.erase(&world.clock, &of).await;
    let page = node.host.export(&of, None).await.unwrap();
    assert!(page.items.is_empty());
}
