//! The frames of the session protocol, DESIGN 8: what each end may say.
//!
//! ```text
//!  0               4       5       6
//! +---------------+-------+-------+------------------+
//! | length (u32)  |version|ordinal| body ...         |   length counts what follows it, big endian
//! +---------------+-------+-------+------------------+
//! ```
//!
//! The header stands outside the codec, so that a frame of any version can be measured and skipped.
//! Ordinals are never reused; enums grow at their end only; a struct never changes (a changed one is a
//! new frame), what is optional and later goes into `ext`. Ids in frames are valid once decoded.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::error::Failure;
use crate::ids::{CommandId, OperationType, SessionId, Target, Tenant};

/// Optional fields that a later version added: a registered number and its bytes.
///
/// | number | in | value |
/// |---|---|---|
/// | 1 | Reply | see [`crate::attachment`] |
/// | 2 | Task | see [`crate::task_payload`] |
/// | 3 | Welcome, Reply | see [`crate::servers`] |
pub type Extensions = Vec<(u16, Bytes)>;

/// What a client may send. As bytes it is a header and the body, see [`crate::codec`]; the derives are for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientFrame {
    Hello(Hello),
    Command(Command),
    Query(Query),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Ack(Ack),
    WorkerReady(WorkerReady),
    StepResult(StepResult),
    Ping(Ping),
    Goodbye(Goodbye),
    /// Over QUIC only in a datagram.
    Ephemeral(EphemeralSend),
    /// Only over WebSocket.
    Chunk(Chunk),
}

/// What a server may send. The derives are for JSON, as with [`ClientFrame`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServerFrame {
    Welcome(Welcome),
    Reply(Reply),
    Event(Event),
    Gap(Gap),
    Task(Task),
    Notice(Notice),
    Redirect(Redirect),
    Goodbye(Goodbye),
    Pong(Pong),
    /// Over QUIC only in a datagram.
    Ephemeral(EphemeralEvent),
    /// Followed by its snapshot.
    LargeGap(LargeGap),
    /// Only over WebSocket.
    Chunk(Chunk),
    /// Only over WebSocket.
    Window(Window),
}

/// Opens or resumes a session: the first frame of a connection.
///
/// The client may send further frames at once, without waiting for the Welcome; on resume it first
/// declares its subscriptions again, each with the last position it has, then re-sends every
/// unanswered command in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Protocol versions the client speaks, best first.
    #[serde(deserialize_with = "bounded::versions")]
    pub versions: Vec<u8>,
    /// The credential: a development token now, a JWT or API key later.
    #[serde(deserialize_with = "bounded::token")]
    pub token: String,
    /// The tenant to act in; `None` is the principal's own, else `default`.
    pub tenant: Option<Tenant>,
    /// Name and version of the client, for logs only.
    #[serde(deserialize_with = "bounded::agent")]
    pub agent: String,
    /// The token of the last Welcome, to go on with that session.
    #[serde(deserialize_with = "bounded::resume")]
    pub resume: Option<Bytes>,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// The answer to a Hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// The protocol version of this connection.
    pub version: u8,
    pub session: SessionId,
    /// Whether the session of the resume token goes on; `false` means a new one.
    pub resumed: bool,
    /// Proves this session to any node of the cluster. A secret.
    #[serde(deserialize_with = "bounded::resume_token")]
    pub resume_token: Bytes,
    /// The name of the node.
    #[serde(deserialize_with = "bounded::node")]
    pub node: String,
    pub limits: SessionLimits,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// The bounds a server holds a session to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionLimits {
    /// Unanswered commands.
    pub window: u64,
    /// Unanswered queries.
    pub queries: u32,
    pub subscriptions: u32,
    /// The largest payload inside a frame, bytes; larger ones take a stream of their own.
    pub inline_bytes: u32,
    /// The largest payload that is stored, bytes.
    pub payload_bytes: u32,
    /// A connection silent for this long is closed, milliseconds.
    pub idle_ms: u32,
}

/// A request that may change an actor or operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Counts the commands of the session from 1. A re-sent command keeps its number.
    pub number: u64,
    /// An id chosen by the caller, to recognise the command beyond this session. `None`: the session
    /// and the number are its id.
    pub id: Option<CommandId>,
    /// Every command up to this number has been answered and the answer received; the server may
    /// forget their outcomes, the client never sends them again.
    pub acknowledged: u64,
    pub target: Target,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    /// Arguments, JSON text. At most 64 KiB.
    #[serde(deserialize_with = "bounded::body")]
    pub body: Bytes,
    pub payload: Payload,
    /// Refuse the command if it was not decided by then, milliseconds from its arrival; 0 is never.
    pub deadline_ms: u32,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// Bytes that belong to a command, beside its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Payload {
    None,
    /// At most 64 KiB, here.
    Inline(#[serde(deserialize_with = "bounded::payload")] Bytes),
    /// At most 8 MiB, stored: `length` bytes follow this frame on its own bidirectional stream.
    Attached {
        length: u64,
    },
    /// Any length, handed through and never stored: bytes follow this frame on its own stream.
    Streamed {
        length: Option<u64>,
    },
}

/// A read. Queries are never re-sent by the server's doing: they change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Counts the queries of the session from 1.
    pub number: u64,
    pub target: Target,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    /// Arguments, JSON text.
    #[serde(deserialize_with = "bounded::body")]
    pub body: Bytes,
    pub consistency: Consistency,
    /// Milliseconds from arrival; 0 is never.
    pub deadline_ms: u32,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// How fresh the answer to a query must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Consistency {
    /// As of a moment between the query and its answer.
    Linearizable,
    /// Some committed state, possibly a little old, with its version.
    Eventual,
}

/// What a Reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    Command(u64),
    Query(u64),
    Subscription(u64),
}

/// The answer to a Command, Query or Subscribe. One with a body that no frame holds goes on a stream of
/// its own, see [`crate::attachment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    pub request: Request,
    pub outcome: Outcome,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    Success(Success),
    Failure(Failure),
}

/// A success: for a command, committed and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Success {
    /// The answer, JSON text; to a worker that reads a payload, its bytes.
    #[serde(deserialize_with = "bounded::body")]
    pub body: Bytes,
    /// The last event of the actor, as of this answer.
    pub seq: u64,
    /// The version of the actor's record, as of this answer: raised by one with each commit.
    pub version: u64,
}

/// Asks for the events of an actor or operation, on a stream of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribe {
    /// Chosen by the client, unique within the session.
    pub subscription: u64,
    pub target: Target,
    pub since: Since,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Since {
    /// After this seq; 0 is the beginning.
    After(u64),
    /// With the next event that is committed.
    Latest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsubscribe {
    pub subscription: u64,
}

/// A fact an actor committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub subscription: u64,
    /// Counts the events of the actor from 1, without gaps.
    pub seq: u64,
    /// The event's type, a name of the kind's own.
    #[serde(deserialize_with = "bounded::kind")]
    pub kind: String,
    /// When it was decided, Unix milliseconds.
    pub time_ms: u64,
    /// JSON text.
    #[serde(deserialize_with = "bounded::data")]
    pub data: Bytes,
}

/// Events up to and including `seq` are no longer stored; go on from this snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    pub subscription: u64,
    /// The position the subscriber asked to go on from.
    pub after: u64,
    /// The position of the snapshot.
    pub seq: u64,
    /// The state at `seq`, JSON text.
    #[serde(deserialize_with = "bounded::snapshot")]
    pub snapshot: Bytes,
}

/// A Gap whose snapshot no frame holds: `length` bytes of it follow on the stream, then further frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LargeGap {
    pub subscription: u64,
    /// As in [`Gap::after`].
    pub after: u64,
    /// The position of the snapshot.
    pub seq: u64,
    /// Bytes of the snapshot, at most 8 MiB.
    pub length: u64,
}

/// What the client has received: lets the server forget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// As in [`Command::acknowledged`].
    pub acknowledged: u64,
    /// Last seq received, per subscription.
    #[serde(deserialize_with = "bounded::positions")]
    pub positions: Vec<Position>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    pub subscription: u64,
    pub seq: u64,
}

/// The client executes steps of these operation types: replaces what it said before, and is said again on
/// each connection. No types, or no capacity: it takes no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerReady {
    #[serde(deserialize_with = "bounded::types")]
    pub types: Vec<OperationType>,
    /// Tasks it takes at a time, from the Task to the worker's word of its end.
    pub capacity: u32,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// A step for a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Numbers the lease, which is of this session and is never given again.
    pub lease: u64,
    pub operation: Target,
    pub operation_type: OperationType,
    #[serde(deserialize_with = "bounded::step")]
    pub step: String,
    pub attempt: u32,
    /// JSON text.
    #[serde(deserialize_with = "bounded::input")]
    pub input: Bytes,
    /// The lease ends unless the worker is heard of within this time.
    pub lease_ms: u32,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// What came of a Task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepResult {
    pub lease: u64,
    pub report: StepReport,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StepReport {
    /// Still at work: extends the lease. Progress, JSON text, may be empty.
    Heartbeat(#[serde(deserialize_with = "bounded::report")] Bytes),
    /// JSON text.
    Success(#[serde(deserialize_with = "bounded::report")] Bytes),
    Failure(Failure),
}

/// Asks for a Pong with the same nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    pub nonce: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    pub nonce: u64,
}

/// Says why the sender ends the connection, and with it (from a client) the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Goodbye {
    /// `None` for an orderly end.
    pub failure: Option<Failure>,
}

/// Something the client should know, that answers nothing it asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Notice {
    /// The node stops in this many milliseconds: finish, then connect elsewhere or again.
    Draining { deadline_ms: u32 },
    /// The session is over a limit; requests are refused for this many milliseconds.
    Limited {
        #[serde(deserialize_with = "bounded::limit")]
        limit: String,
        retry_after_ms: u32,
    },
    /// To a worker: the lease is void. Stop the task's work, then say its end.
    TaskCancelled { lease: u64 },
    /// To a worker: it said something of a lease that it does not hold, which changed nothing.
    ResultRefused { lease: u64 },
}

/// Go on at another address of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// `host:port`.
    #[serde(deserialize_with = "bounded::address")]
    pub address: String,
    #[serde(deserialize_with = "bounded::ext")]
    pub ext: Extensions,
}

/// An ephemeral message to whoever is subscribed to the target now: lossy, unordered, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EphemeralSend {
    pub target: Target,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    #[serde(deserialize_with = "bounded::data")]
    pub data: Bytes,
}

/// An ephemeral message, as a subscriber hears it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EphemeralEvent {
    pub subscription: u64,
    /// The session that sent it.
    pub from: SessionId,
    #[serde(deserialize_with = "bounded::name")]
    pub name: String,
    #[serde(deserialize_with = "bounded::data")]
    pub data: Bytes,
}

/// Some of the bytes that follow a frame, where they have no stream of their own: of a payload, a large answer or
/// a large snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chunk {
    /// What the bytes belong to: the command, the query, or the subscription whose [`LargeGap`] was the last.
    pub request: Request,
    #[serde(deserialize_with = "bounded::data")]
    pub data: Bytes,
    /// Whether these are the last of them.
    pub last: bool,
}

/// How many bytes of a payload were taken, so that its client may send more in Chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The command whose payload it is.
    pub request: Request,
    /// Bytes of it that were taken from its beginning: [`crate::limits::PAYLOAD_WINDOW_BYTES`] more may have been sent.
    pub bytes: u64,
}
