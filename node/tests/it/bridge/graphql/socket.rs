//! Tests of `graphql-transport-ws`: its messages, its ends, and subscriptions that go on where others ended.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::node::{Node, PATIENCE, TOKEN};

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn connect(node: &Node, protocol: Option<&str>) -> Result<Self, Error> {
        let address = node.address;
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        if let Some(protocol) = protocol {
            let value = protocol.parse().unwrap();
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", value);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        client_async(request, stream)
            .await
            .map(|(socket, _)| Self(socket))
    }

    /// One that has said who it is.
    async fn ready(node: &Node) -> Self {
        let mut socket = Self::connect(node, Some("graphql-transport-ws"))
            .await
            .unwrap();
        let payload = json!({ "authorization": format!("Bearer {TOKEN}") });
        socket
            .say(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({ "type": "subscribe", "id": id, "payload": { "query": query } }))
            .await;
    }

    async fn receive(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.unwrap();
            match message.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    async fn hear(&mut self) -> Value {
        match self.receive().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} is no text"),
        }
    }

    /// The code by which it is closed.
    async fn closed(&mut self) -> (u16, String) {
        match self.receive().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("{other:?} is no close"),
        }
    }
}

const ABOUT: &str = "{ about { node } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_all_sorts_are_answered() {
    let node = Node::start().await;
    let mut socket = Socket::ready(&node).await;
    socket.subscribe("1", ABOUT).await;
    let payload = json!({ "data": { "about": { "node": "node-1" } } });
    assert_eq!(
        socket.hear().await,
        json!({ "type": "next", "id": "1", "payload": payload })
    );
    assert_eq!(
        socket.hear().await,
        json!({ "type": "complete", "id": "1" })
    );

    // What is not executed ends with its errors.
    for query in ["{", "{ nothing }", "subscription { nothing }"] {
        socket.subscribe("2", query).await;
        let answer = socket.hear().await;
        assert_eq!(answer["type"], "error", "{answer}");
        assert_eq!(answer["payload"][0]["extensions"]["code"], "invalid");
    }
    let unknown = "subscription { actorEvents(kind: \"none\", key: \"x\") { __typename } }";
    socket.subscribe("3", unknown).await;
    let answer = socket.hear().await;
    assert_eq!(answer["type"], "error", "{answer}");
    assert_eq!(answer["payload"][0]["extensions"]["code"], "unknown_kind");

    socket
        .say(json!({ "type": "ping", "payload": { "a": 1 } }))
        .await;
    assert_eq!(
        socket.hear().await,
        json!({ "type": "pong", "payload": { "a": 1 } })
    );
    socket.say(json!({ "type": "pong" })).await;
    socket
        .say(json!({ "type": "complete", "id": "never" }))
        .await;
    socket.subscribe("1", ABOUT).await;
    assert_eq!(socket.hear().await["id"], "1");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_goes_on_where_another_ended() {
    let node = Node::start().await;
    let mut socket = Socket::ready(&node).await;
    let add = "mutation { sendCommand(kind: \"counter\", key: \"a\", command: \"add\", body: {by: 1}) { seq } }";
    let watch = |after: u64| {
        format!(
            "subscription {{ actorEvents(kind: \"counter\", key: \"a\", after: {after}) {{ ... on Event {{ seq }} }} }}"
        )
    };
    let seq = |answer: &Value| answer["payload"]["data"]["actorEvents"]["seq"].as_u64();
    socket.subscribe("s", &watch(0)).await;
    for expected in 1..=3 {
        node.data(add, json!({})).await;
        let answer = socket.hear().await;
        assert_eq!(seq(&answer), Some(expected), "{answer}");
    }
    socket.say(json!({ "type": "complete", "id": "s" })).await;
    node.data(add, json!({})).await;
    // Nothing comes of the one that was ended, also under its id.
    socket.subscribe("s", &watch(3)).await;
    let answer = socket.hear().await;
    assert_eq!(seq(&answer), Some(4), "{answer}");

    // And over another connection.
    drop(socket);
    let mut socket = Socket::ready(&node).await;
    socket.subscribe("t", &watch(2)).await;
    for expected in 3..=4 {
        assert_eq!(seq(&socket.hear().await), Some(expected));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_the_protocol_are_closed_with_its_codes() {
    let node = Node::start().await;
    let init = |authorization: &str| {
        let payload = json!({ "authorization": authorization });
        json!({ "type": "connection_init", "payload": payload }).to_string()
    };
    let right = init(&format!("Bearer {TOKEN}"));
    let subscribe = |id: &str| {
        let query = "subscription { actorEvents(kind: \"room\", key: \"r\") { __typename } }";
        json!({ "type": "subscribe", "id": id, "payload": { "query": query } }).to_string()
    };
    for (said, code) in [
        (vec![subscribe("1")], 4401),
        (vec![init("Bearer wrong")], 4403),
        (vec![json!({ "type": "connection_init" }).to_string()], 4403),
        (vec![right.clone(), right.clone()], 4429),
        (vec![right.clone(), subscribe("1"), subscribe("1")], 4409),
        (vec![right.clone(), subscribe("")], 4400),
        (vec![right.clone(), subscribe(&"x".repeat(129))], 4400),
        (vec!["{".to_owned()], 4400),
        (
            vec![json!({ "type": "start", "id": "1" }).to_string()],
            4400,
        ),
        (
            vec![json!({ "type": "subscribe", "id": "1" }).to_string()],
            4400,
        ),
        (vec!["x".repeat(1024 * 1024 + 1)], 4400),
    ] {
        let mut socket = Socket::connect(&node, Some("graphql-transport-ws"))
            .await
            .unwrap();
        for message in &said {
            // It may be closed already.
            let _ = socket.0.send(Message::text(message.clone())).await;
        }
        loop {
            match socket.receive().await {
                Message::Text(text) => assert!(text.contains("connection_ack"), "{text}"),
                Message::Close(Some(frame)) => {
                    let first: String = said.last().unwrap().chars().take(80).collect();
                    assert_eq!(u16::from(frame.code), code, "{first}: {}", frame.reason);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let mut socket = Socket::ready(&node).await;
    socket
        .0
        .send(Message::binary(b"{}".to_vec()))
        .await
        .unwrap();
    assert_eq!(socket.closed().await.0, 4400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_does_not_say_who_it_is_is_closed() {
    let node = Node::start().await;
    let mut socket = Socket::connect(&node, Some("graphql-transport-ws"))
        .await
        .unwrap();
    assert_eq!(socket.closed().await.0, 4408);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_protocol_that_is_spoken_is_taken() {
    let node = Node::start().await;
    for protocol in [None, Some("graphql-ws"), Some("selvedge.v1.json")] {
        match Socket::connect(&node, protocol).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{protocol:?}"),
            Err(other) => panic!("{protocol:?}: {other}"),
            Ok(_) => panic!("{protocol:?} is taken"),
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_one_connection_are_bounded() {
    let node = Node::start().await;
    let mut socket = Socket::ready(&node).await;
    let watch = "subscription { actorEvents(kind: \"room\", key: \"r\") { __typename } }";
    for id in 0..128 {
        socket.subscribe(&id.to_string(), watch).await;
    }
    socket.subscribe("more", ABOUT).await;
    let answer = socket.hear().await;
    assert_eq!(answer["type"], "error", "{answer}");
    assert_eq!(answer["id"], "more");
    assert_eq!(answer["payload"][0]["extensions"]["code"], "limit_exceeded");
    socket.say(json!({ "type": "complete", "id": "0" })).await;
    socket.subscribe("more", ABOUT).await;
    assert_eq!(socket.hear().await["type"], "next");
    node.stop().await;
}
