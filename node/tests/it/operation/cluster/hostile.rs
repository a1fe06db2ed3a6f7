//! Nodes that say what they should not: they are let go, and nothing else happens.

use selvedge_client::operation::OperationStatus as Status;
use selvedge_cluster::membership::Role;
use selvedge_cluster::peer::PeerStream;
use selvedge_protocol::peer::Service;
use selvedge_protocol::peer::processing::{
    Ask, Changed, Chunk, Done, End, Ending, Load, Payload, PolicyName, ProcessingAnswer,
    ProcessingRequest, Report, Stop, Want, Work, Workers,
};
use selvedge_protocol::{OperationType, Tenant, codec};
use serde_json::json;

use super::super::world::*;
use super::*;

const BOTH: &[Role] = &[Role::Core, Role::Processing];

fn frame<F: codec::Frame>(frame: &F) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(frame, &mut out).unwrap();
    out
}

async fn opened(from: &Node, to: &Node, frames: &[u8]) -> PeerStream {
    let link = from.links.to(&to.name, &to.peer);
    let mut stream = link.stream(Service::Processing).await.unwrap();
    stream.write(frames).await.unwrap();
    stream
}

/// The other end says nothing more that is right.
async fn let_go(stream: &mut PeerStream) {
    let heard = async {
        loop {
            match stream.read::<ProcessingAnswer>().await {
                Ok(Some(ProcessingAnswer::Load(_))) => {}
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) | Err(_) => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
}

fn ask(operation_type: &str) -> ProcessingRequest {
    ProcessingRequest::Ask(Ask {
        tenant: Tenant::default_tenant(),
        operation_type: OperationType::new(operation_type).unwrap(),
        priority: 0,
        wait_ms: 0,
    })
}

fn work(input: &'static str, payload: Payload) -> ProcessingRequest {
    ProcessingRequest::Work(Work {
        operation: id("hostile"),
        attempt: 1,
        input: input.into(),
        steps: Vec::new(),
        undo: None,
        is_noted: false,
        payload,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_asks_wrongly_is_let_go() {
    let mut cluster = Cluster::new().await;
    let node = cluster.node("node", BOTH).await;
    let other = cluster.node("other", BOTH).await;
    cluster.give_all_to(&node).await;
    cluster.tell(&[&node, &other]);
    let chunk = || ProcessingRequest::Chunk(Chunk::End);
    let firsts = [
        frame(&work("{}", Payload::None)),
        frame(&chunk()),
        frame(&ProcessingRequest::Stop(Stop {})),
        b"garbage that is no frame".to_vec(),
        // Known, and then something that is no news.
        [frame(&ask("steps")), frame(&chunk())].concat(),
        [frame(&ask("steps")), frame(&ask("steps"))].concat(),
        // What runs may not be said twice, and chunks come when they are wanted.
        [
            frame(&ask("life")),
            frame(&work(r#"{"acts":[{"step":"gate"}]}"#, Payload::None)),
            frame(&work("{}", Payload::None)),
        ]
        .concat(),
        [
            frame(&ask("life")),
            frame(&work(
                r#"{"acts":[{"step":"gate"}]}"#,
                Payload::Streamed { length: None },
            )),
            frame(&ask("life")),
        ]
        .concat(),
    ];
    for frames in firsts {
        let mut stream = opened(&other, &node, &frames).await;
        let_go(&mut stream).await;
    }
    news_and_unknown_types(&other, &node).await;
    submit_steps(&node.running, "after", json!({ "steps": ["a"] })).await;
    finished(&node.running, "after", Status::Succeeded).await;
}

/// What may be said though there is nothing behind it.
async fn news_and_unknown_types(other: &Node, node: &Node) {
    let policy = PolicyName {
        tenant: Tenant::default_tenant(),
        subject: "No type!".to_owned(),
    };
    // A type that nobody knows has no place.
    let mut stream = opened(other, node, &frame(&ask("unheard-of"))).await;
    let none = Load {
        is_granted: false,
        taken: 0,
        places: 0,
    };
    assert_eq!(
        stream.read::<ProcessingAnswer>().await.unwrap(),
        Some(ProcessingAnswer::Load(none))
    );
    // News of what is not there is heard, and is nothing.
    let news = [
        ProcessingRequest::Changed(Changed {
            policy: Some(policy),
        }),
        ProcessingRequest::Changed(Changed { policy: None }),
        ProcessingRequest::Workers(Workers {
            node: "nobody".to_owned(),
            incarnation: 9,
            number: 1,
            groups: Vec::new(),
        }),
    ];
    let news: Vec<u8> = news.iter().flat_map(frame).collect();
    let mut stream = opened(other, node, &news).await;
    stream.finish();
    for _ in 0..3 {
        let heard = stream.read::<ProcessingAnswer>().await.unwrap();
        assert!(
            matches!(heard, Some(ProcessingAnswer::Noted(_))),
            "{heard:?}"
        );
    }
}

/// A node that grants a place and then says what no attempt says.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_answered_wrongly_is_lost() {
    let mut cluster = Cluster::new().await;
    let owner = cluster.node("owner", &[Role::Core]).await;
    let liar = cluster.liar("liar", |number, request| match request {
        ProcessingRequest::Ask(_) => vec![frame(&ProcessingAnswer::Load(Load {
            is_granted: true,
            taken: 0,
            places: 9,
        }))],
        ProcessingRequest::Work(_) => match number % 3 {
            // A result that is no text.
            0 => vec![frame(&ProcessingAnswer::End(End {
                done: Done::default(),
                progress: None,
                ending: Ending::Succeeded {
                    result: vec![0xff].into(),
                },
            }))],
            1 => vec![b"garbage that is no frame".to_vec()],
            // Wants a payload that there is not, and reports nothing.
            _ => vec![
                frame(&ProcessingAnswer::Want(Want { chunks: u32::MAX })),
                frame(&ProcessingAnswer::Report(Report {
                    number: 7,
                    done: Done::default(),
                })),
                frame(&ProcessingAnswer::Load(Load {
                    is_granted: true,
                    taken: 0,
                    places: 1,
                })),
            ],
        },
        _ => Vec::new(),
    });
    cluster.give_all_to(&owner).await;
    cluster.tell(&[&owner]);
    submit_steps(&owner.running, "one", json!({ "steps": ["a"] })).await;
    liar.asked(6).await;
    let runner = cluster.node("runner", &[Role::Processing]).await;
    cluster.bury("liar");
    cluster.tell(&[&owner, &runner]);
    finished(&owner.running, "one", Status::Succeeded).await;
    assert_eq!(runner.probe.executions("one/a"), 1);
}
