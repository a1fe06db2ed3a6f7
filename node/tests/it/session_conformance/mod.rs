//! What the session protocol promises, whatever carries it: one suite of cases over every transport.
//!
//! A case is written against [`Transport`] and run over each by the macro below. What is special to one transport is
//! tested beside it: `edge`, `edge/webtransport`, `bridge/websocket`.

mod cases;
mod quic;
mod websocket;
mod webtransport;

use bytes::Bytes;
use selvedge_protocol::frame::{ClientFrame, Command, Reply, Request, ServerFrame, Welcome};
use selvedge_protocol::{ErrorCode, Failure};

use crate::edge::peer::hello;
use crate::edge::service::Stand;

/// The client's end of a connection, as raw as its transport is.
pub(crate) trait Transport: Sized {
    /// A node that serves this transport.
    type Node: Send;

    async fn node() -> Self::Node;
    fn stand(node: &Self::Node) -> Stand;
    /// Begins to drain; completes when the node has ended in order.
    fn drain(node: Self::Node) -> impl Future<Output = ()>;
    /// A connection with nothing said.
    async fn connect(node: &Self::Node) -> Self;
    /// Sends frames, each where it belongs.
    async fn send(&mut self, frames: Vec<ClientFrame>);
    /// Sends a command and the bytes that follow it.
    async fn upload(&mut self, command: Command, bytes: usize);
    /// What comes next, from wherever it comes.
    async fn next(&mut self) -> Heard;
}

/// What a client hears.
#[derive(Debug)]
pub(crate) enum Heard {
    Frame(ServerFrame),
    /// All bytes that followed the answer to a query, or the gap of a subscription.
    Bytes(Request, Bytes),
    /// The connection was closed: 0, or 1 and the ordinal of a failure.
    Closed(u64),
}

/// What every case needs.
pub(crate) trait TransportExt: Transport {
    async fn greet(&mut self, resume: Option<Bytes>) -> Welcome {
        self.send(vec![ClientFrame::Hello(hello(resume))]).await;
        match self.next().await {
            Heard::Frame(ServerFrame::Welcome(welcome)) => welcome,
            other => panic!("not a Welcome: {other:?}"),
        }
    }

    async fn session(node: &Self::Node) -> (Self, Welcome) {
        let mut peer = Self::connect(node).await;
        let welcome = peer.greet(None).await;
        (peer, welcome)
    }

    async fn resume(node: &Self::Node, welcome: &Welcome) -> (Self, Welcome) {
        let mut peer = Self::connect(node).await;
        let welcome = peer.greet(Some(welcome.resume_token.clone())).await;
        (peer, welcome)
    }

    async fn frame(&mut self) -> ServerFrame {
        match self.next().await {
            Heard::Frame(frame) => frame,
            other => panic!("not a frame: {other:?}"),
        }
    }

    async fn reply(&mut self) -> Reply {
        match self.frame().await {
            ServerFrame::Reply(reply) => reply,
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// Reads on until the node closes: the failure of its Goodbye, whose code the close code agrees with.
    async fn closed(&mut self) -> Option<Failure> {
        let mut failure = None;
        loop {
            match self.next().await {
                Heard::Frame(ServerFrame::Goodbye(goodbye)) => failure = goodbye.failure,
                Heard::Closed(code) => {
                    let expected = failure.as_ref().map_or(0, |failure: &Failure| {
                        1 + ErrorCode::ALL
                            .iter()
                            .position(|code| *code == failure.code)
                            .unwrap() as u64
                    });
                    assert_eq!(code, expected, "{failure:?}");
                    return failure;
                }
                Heard::Frame(_) | Heard::Bytes(..) => {}
            }
        }
    }

    async fn expelled(&mut self, code: ErrorCode) {
        let failure = self.closed().await.expect("a Goodbye with its failure");
        assert_eq!(failure.code, code, "{failure}");
    }
}

impl<T: Transport> TransportExt for T {}

/// Runs each case over each transport.
macro_rules! over_each_transport {
    ($($case:ident)*) => {
        mod over_quic {
            $(#[tokio::test]
            async fn $case() {
                super::cases::$case::<super::quic::Quic>().await;
            })*
        }
        mod over_webtransport {
            $(#[tokio::test]
            async fn $case() {
                super::cases::$case::<super::webtransport::WebTransport>().await;
            })*
        }
        mod over_websocket_json {
            $(#[tokio::test]
            async fn $case() {
                super::cases::$case::<super::websocket::Json>().await;
            })*
        }
        mod over_websocket_binary {
            $(#[tokio::test]
            async fn $case() {
                super::cases::$case::<super::websocket::Binary>().await;
            })*
        }
    };
}

over_each_transport! {
    a_session_opens_with_its_limits
    commands_and_queries_are_answered_by_number
    a_repeat_gets_the_stored_outcome
    a_resumed_session_goes_on
    a_connection_that_resumes_takes_over
    a_goodbye_ends_in_order
    who_breaks_the_protocol_is_expelled
    unanswered_commands_are_bounded
    pings_are_answered
    events_come_in_order_from_the_position_on
    subscriptions_are_refused_and_ended
    a_large_snapshot_comes_before_the_events_behind_it
    large_answers_come_whole
    unread_large_answers_are_bounded
    payloads_arrive_and_wrong_lengths_are_refused
    ephemeral_messages_reach_who_is_subscribed
    a_crashed_session_is_resumed
    a_drain_answers_what_was_accepted
}
