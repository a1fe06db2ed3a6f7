//! Every bound of the protocol and of a node's queues, in one place, each with its reason.
//!
//! A limit that an operator may change lives in the node's configuration; its default is here.

mod identity;

pub use identity::*;

/// A frame's header: length (4), version (1), ordinal (1).
pub const FRAME_HEADER_BYTES: usize = 6;

/// The largest body of one frame. A body carries at most one inline payload plus its envelope.
pub const FRAME_BODY_BYTES_MAX: usize = INLINE_BYTES_MAX + 16 * 1024;

/// The largest payload inside a frame; larger ones get a stream of their own, so that they never
/// hold up the commands behind them.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// The largest payload that is stored (chunked). Below FoundationDB's 10 MB a transaction.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The largest state of an actor or operation, input and result included: the same reason.
pub const STATE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

/// FoundationDB's limit on a value; larger values are chunked.
pub const STORE_VALUE_BYTES_MAX: usize = 100_000;
/// FoundationDB's limit on a key.
pub const STORE_KEY_BYTES_MAX: usize = 10_000;
/// FoundationDB's limit on a transaction: keys, values and conflict ranges together.
pub const STORE_TRANSACTION_BYTES_MAX: usize = 10_000_000;
/// FoundationDB's limit on the age of a transaction's read version, in milliseconds.
pub const STORE_TRANSACTION_MS_MAX: u64 = 5_000;

/// Nodes of a cluster: 16,384 slots are enough for so many.
pub const NODES_MAX: usize = 1_000;
/// Names of nodes that were removed last, by which a removal that is repeated is told from a name that never
/// was. One row of 16 kB at the most.
pub const REMOVED_NAMES_MAX: usize = 256;

/// The end of a range that includes the largest key is one byte longer than it.
pub const STORE_RANGE_KEY_BYTES_MAX: usize = STORE_KEY_BYTES_MAX + 1;

/// Connections that a node's peer port has open: DESIGN 16's hundred nodes, twice.
pub const PEER_CONNECTIONS_MAX: usize = 256;
/// Of these, connections of one node that are not agreed on: the newest, and some that it has given up a moment ago.
pub const PEER_CONNECTIONS_PER_NODE_MAX: usize = 4;
/// First packets that wait to be decided about: all nodes of a cluster may come back at once, each twice.
pub const PEER_INCOMING_MAX: usize = 256;
/// Prefixes of addresses that a peer port remembers what they did lately, of each sort: at 36 bytes 150 kB in all, as
/// there may be many ports in one process of a test. Nodes are far fewer.
pub const PEER_ACCOUNTS_MAX: usize = 4_096;
/// How long a handshake between nodes may take, milliseconds: three lost packets in a row.
pub const PEER_HANDSHAKE_MS_MAX: u64 = 5_000;
/// Silence after which a connection between nodes is given up, milliseconds: so long a node is taken to be
/// there that is not, and a keep-alive every third of it lets two be lost.
pub const PEER_IDLE_MS_MAX: u64 = 2_000;
/// Between a round trip on the connection of two nodes and the next, milliseconds: half of the silence that is told.
pub const PEER_BEAT_MS: u64 = 500;
/// Silence after which a node says that it cannot reach another one, milliseconds: a beat, and as long again for one
/// whose loss shows within some round trips.
pub const PEER_SILENCE_MS_MAX: u64 = 1_000;
/// Waits before a lost connection is tried again, milliseconds: about a round trip at first, and so seldom in
/// the end that a hundred nodes do not keep a node busy that has just come back.
pub const PEER_BACKOFF_MS: u64 = 20;
pub const PEER_BACKOFF_MS_MAX: u64 = 1_000;
/// Streams that a node may have open to another, each way: a store's transactions twice over, as a stream's place
/// is given back a moment after its end, its watches, and the subscriptions of clients.
pub const PEER_STREAMS_MAX: u32 = 3_200 + 16_384;
/// The body of one frame between nodes about actors: a command with the largest body and payload.
pub const ACTOR_FRAME_BODY_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX + 128 * 1024;
/// The body of one frame about an operation that another node executes: all that its record holds, or the
/// largest results before they are refused.
pub const PROCESSING_FRAME_BODY_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX + 128 * 1024;
/// Requests that a node has sent to others and has no answer to, or that wait for an owner.
pub const FORWARDED_MAX: usize = 65_536;
/// The same by what they carry: eight of the largest for each of three other nodes, or all of usual size.
pub const FORWARDED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a request waits for an owner that answers, milliseconds: a failover and some more. Its client
/// sends it again after that, perhaps to another node.
pub const FORWARDED_MS_MAX: u64 = 5_000;

/// Transactions that one node has open on a storage node at a time; others wait for their turn.
pub const STORE_TRANSACTIONS_MAX: usize = 1_024;
/// Watches that one node has on a storage node; past it they complete by chance.
pub const STORE_WATCHES_MAX: usize = 1_024;
/// The body of one frame between a store's client and its server: the largest pair, or some thousand
/// usual ones.
pub const STORE_FRAME_BODY_BYTES_MAX: usize = 256 * 1024;
/// Pairs in one such frame. Each takes some bytes of memory more than on the wire.
pub const STORE_FRAME_PAIRS_MAX: usize = 4_096;
/// Pairs that a storage node reads at a time for a range: all chunks of the largest value are one read.
pub const STORE_PAGE_PAIRS_MAX: usize = 256;
/// Such reads under way in a storage node, over all its clients: each holds its pairs, 28 MB at the very
/// most, until the client has taken them.
pub const STORE_PAGES_MAX: usize = 16;
/// Writes that a storage node holds for transactions which are not committed yet, over all its clients:
/// 25 of the largest.
pub const STORE_PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What a write takes of that beside its key and value.
pub const STORE_WRITE_BYTES: usize = 64;
/// How long a client waits for the answer to a commit, milliseconds: twice a transaction's life. Later its
/// outcome is unknown.
pub const STORE_COMMIT_MS_MAX: u64 = 2 * STORE_TRANSACTION_MS_MAX;
/// How often a storage node tells its clients how its store is, milliseconds.
pub const STORE_STATUS_MS: u64 = 500;
/// How long a node waits at its start for a store elsewhere to answer.
pub const STORE_OPEN_MS_MAX: u64 = 10_000;
/// A commit that takes longer than this is told in the log: a hundred times what one takes on a disk.
pub const STORE_SLOW_MS: u64 = 1_000;

/// Slots of a new cluster: enough to spread over a hundred nodes.
pub const SLOTS_DEFAULT: u16 = 1_024;
/// Shards of each index of a new cluster whose store is spread over machines: the operations of one tenant are written
/// at so many places, and a page reads as many.
pub const INDEX_SHARDS_SPREAD: u8 = 16;
/// Shards of an index at the most: a page reads all of them at once, some rows each.
pub const INDEX_SHARDS_MAX: u8 = 64;
const _: () = assert!(INDEX_SHARDS_SPREAD <= INDEX_SHARDS_MAX);

/// Text ids, see DESIGN 10.
pub const TENANT_BYTES_MAX: usize = 63;
pub const KIND_BYTES_MAX: usize = 64;
pub const ACTOR_KEY_BYTES_MAX: usize = 512;
pub const CHOSEN_ID_BYTES_MAX: usize = 128;
/// A command's, query's or event's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Credentials and resume tokens: room for a JWT with many claims.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Short texts for people and logs: a client's agent, a node's name or address, a step, a field. A DNS
/// name of 253 bytes with its port fits.
pub const LABEL_BYTES_MAX: usize = 260;
/// The message of a failure: some lines of text. Longer ones are cut when they are sent.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Elements of any list inside a frame.
pub const FRAME_LIST_LEN_MAX: usize = 1_024;

/// Servers that a client is told of by its program, and as many again that a Welcome names: enough that some
/// are there whatever has happened to others, and all are tried within seconds.
pub const SERVERS_MAX: usize = 16;

/// Unanswered commands a session may have. 128 fill a link; 1,024 leave room for long round trips.
pub const SESSION_WINDOW: u64 = 1_024;
/// Unanswered queries a session may have, for the same reason.
pub const SESSION_QUERIES_MAX: usize = 1_024;
/// Subscriptions a session may hold; each is a stream and a small task on the node.
pub const SESSION_SUBSCRIPTIONS_MAX: usize = 128;
/// Streams with a payload of their own that a client may have open; stream limits drive the
/// memory of an idle connection (16 cost about 33 KiB a side, 1,024 about 117).
pub const SESSION_STREAMS_MAX: u32 = 16;
/// Bytes of large answers and snapshots on their way to one client: four of the largest.
pub const SESSION_ANSWER_BYTES_MAX: usize = 4 * PAYLOAD_BYTES_MAX;
/// Frames queued towards one client before the session stops taking new work from it.
pub const SESSION_OUTBOUND_MAX: usize = 4_096;
/// How long a session without a connection is kept before its memory is given back, milliseconds.
pub const SESSION_DETACHED_MS_MAX: u64 = 60_000;
/// How long a resume token is good for: the retention of command outcomes.
pub const SESSION_RESUME_MS_MAX: u64 = RETENTION_MS;

/// A message of a WebSocket, inflated: the largest frame as JSON, its bytes in base64, twice over.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 192 * 1024;
/// Bytes of one payload that a client may send over a WebSocket beyond the last Window for it, and that a node so
/// holds for it: what a link of 40 Mbit/s carries in 50 ms.
pub const PAYLOAD_WINDOW_BYTES: usize = 256 * 1024;

/// Tasks of one worker at a time. A worker that wants more is many: it opens more sessions.
pub const WORKER_CAPACITY_MAX: u32 = 1_024;
/// Operation types of one worker.
pub const WORKER_TYPES_MAX: usize = 64;
/// Bytes of a task's payload that one answer brings: some chunks of the store, so that a worker that reads
/// slowly holds little of the node's memory.
pub const WORKER_PIECE_BYTES_MAX: usize = 512 * 1024;
/// Pieces that are read for one worker at a time; further queries for some wait.
pub const WORKER_PIECES_MAX: usize = 8;
/// Pools that a node makes for what workers of one tenant execute, and for those of all tenants: each is
/// a small actor that stays while the node lives.
pub const WORKER_POOLS_TENANT_MAX: usize = 128;
pub const WORKER_POOLS_MAX: usize = 1_024;

/// How long a command's outcome is kept for repeats, in milliseconds (24 h).
pub const RETENTION_MS: u64 = 24 * 60 * 60 * 1_000;

/// Commands and queries waiting in one actor's mailbox; past it callers are told `overloaded`.
pub const ACTOR_MAILBOX_MAX: u32 = 4_096;
/// `eventual` queries that a node answers from the store at a time, each with a state of up to 8 MiB in memory:
/// an eighth of the transactions of a storage node.
pub const SNAPSHOT_QUERIES_MAX: usize = 128;
/// Commands and queries that a whole node has not answered yet, at a few hundred bytes each.
pub const NODE_REQUESTS_MAX: usize = 262_144;
/// Timers that one actor may have set: their names are kept in its record.
pub const ACTOR_TIMERS_MAX: usize = 128;
/// A state up to this size is kept within the actor's record, a larger one in chunks of it. With the
/// names of all timers a record stays under the store's limit on a value.
pub const STATE_CHUNK_BYTES: usize = 80_000;
/// Commands decided but not yet committed in one batch of an actor.
pub const ACTOR_BATCH_MAX: usize = 1_024;
/// Bytes of writes in one batch of an actor: FoundationDB advises to stay under 1 MB.
pub const ACTOR_BATCH_BYTES_MAX: usize = 1_000_000;
/// Events, timers and messages that one command may cause, each.
pub const EFFECTS_LEN_MAX: usize = 256;
/// How long an actor stays activated without work, milliseconds.
pub const ACTOR_IDLE_MS: u64 = 60_000;
/// How long a slot that is to be handed over waits for what is at work for its actors, milliseconds. With the time
/// that its actors have for their answers it stays below the three seconds after which the next owner takes it by
/// force.
pub const SLOT_PARTING_MS_MAX: u64 = 600;

/// Bytes of input, metadata, progress and step results of one operation: half of a state, so that its
/// result and one more step always find room.
pub const OPERATION_RECORD_BYTES_MAX: usize = STATE_BYTES_MAX / 2;
/// The longest that an error may put the next attempt off, milliseconds (24 h): quotas of others are given
/// back within a day, and whoever answers a call cannot hold its operation for good.
pub const OPERATION_RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Finished steps of one operation: each of its commits rewrites the record that lists them.
pub const OPERATION_STEPS_MAX: usize = 1_000;
/// Times in a row that a node may end during an attempt before the operation is held to be the cause;
/// a node that is killed and started again in a test or by an operator stays far below it.
pub const OPERATION_LOST_MAX: u32 = 50;
/// Steps of one operation that wait for a timer, a signal or a child at the same time: the messages that
/// cancel as many children fit into one commit.
pub const OPERATION_WAITS_MAX: usize = 128;
/// Signals of one operation that nobody has waited for yet.
pub const OPERATION_SIGNALS_MAX: usize = 256;
/// Compensations that one operation has registered and not run.
pub const OPERATION_COMPENSATIONS_MAX: usize = 256;
/// Callers above an operation that was called: a chain that calls itself ends here.
pub const OPERATION_DEPTH_MAX: u16 = 32;
/// Labels of one operation, each an index row more.
pub const OPERATION_LABELS_MAX: usize = 16;
/// A label's key and its value, each: they are parts of a store key.
pub const OPERATION_LABEL_BYTES_MAX: usize = 128;
/// Progress that a handler tells: a few numbers and a line of text, written up to four times a second.
pub const OPERATION_PROGRESS_BYTES_MAX: usize = 4 * 1024;
/// A result that is repeated in an event; longer ones are read from the operation.
pub const OPERATION_EVENT_RESULT_BYTES_MAX: usize = 1_024;
/// Operations of one type that wait in memory for a place to run; the others wait in the store.
pub const OPERATION_QUEUE_MAX: usize = 4_096;
/// Attempts of one type that a node has other nodes execute at a time: each is a stream and a small actor.
pub const PROCESSING_LENT_MAX: usize = 1_024;
/// Searches of one type for places on other nodes at a time: at a round trip each, thousands a second.
pub const PROCESSING_SOUGHT_MAX: usize = 32;
/// Questions of other nodes that wait for a place of one type: those of two nodes that have much to do.
pub const PROCESSING_GUESTS_MAX: usize = 2 * PROCESSING_SOUGHT_MAX;
/// An attempt that lasts longer than this is noted in the store, milliseconds.
pub const OPERATION_NOTE_MS: u64 = 50;
/// How long a step that is at work may take to end when its slot is to be handed over, or its node stops,
/// milliseconds: most steps are shorter. One that takes longer is cut off and begins again; the rest of
/// [`SLOT_PARTING_MS_MAX`] is for making durable what was done before it.
pub const OPERATION_PARTING_MS: u64 = 400;
const _: () = assert!(OPERATION_PARTING_MS < SLOT_PARTING_MS_MAX);
/// Progress is committed at most this often, milliseconds.
pub const OPERATION_PROGRESS_MS: u64 = 250;
/// The default and the largest page of a list of operations.
pub const OPERATION_PAGE_DEFAULT: usize = 50;
pub const OPERATION_PAGE_MAX: usize = 500;
/// Index rows that one count may look at: a tenth of a second of the embedded store.
pub const OPERATION_COUNT_MAX: usize = 100_000;
/// Index rows that one list may look at for a page, when it filters by more than its index.
pub const OPERATION_SCAN_MAX: usize = 2_000;

/// Operations of one type that a policy may let run at a time, some kilobytes each while they do.
pub const POLICY_CONCURRENCY_MAX: u64 = 65_536;
/// Operations that a policy may let start within one period of its rate: past it a rate bounds nothing.
pub const POLICY_RATE_MAX: u64 = 1_000_000;
/// Attempts of a step that a policy may allow: at the longest backoff, a year and more.
pub const POLICY_ATTEMPTS_MAX: u64 = 1_000_000;
/// The factor of a backoff: past it the second wait is the longest one already.
pub const POLICY_FACTOR_MAX: f64 = 100.0;
/// Error codes that a policy may name, each at most [`NAME_BYTES_MAX`] long: compared at each failure.
pub const POLICY_CODES_MAX: usize = 64;
/// Failures after which a breaker opens: it remembers the time of each.
pub const POLICY_BREAKER_FAILURES_MAX: u64 = 10_000;
/// Probes of a breaker that is half open: with more it would not be half open.
pub const POLICY_BREAKER_PROBES_MAX: u64 = 1_000;
/// Any time in a policy, milliseconds: a leap year.
pub const POLICY_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
/// A schedule's definition as JSON text, the input of its operations included: with all that runs beside
/// it, a schedule is answered inline.
pub const SCHEDULE_DEFINITION_BYTES_MAX: usize = 24 * 1024;
/// A cron expression: six fields of lists.
pub const SCHEDULE_CRON_BYTES_MAX: usize = 256;
/// A note on a schedule, on why it is paused, or of what went wrong last: a few lines.
pub const SCHEDULE_NOTE_BYTES_MAX: usize = 512;
/// The shortest and longest time between runs, milliseconds: what cron can say, and a leap year.
pub const SCHEDULE_EVERY_MS_MIN: u64 = 1_000;
pub const SCHEDULE_EVERY_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1_000;
/// How far behind its time a run may begin, where a schedule says nothing.
pub const SCHEDULE_CATCH_UP_MS_DEFAULT: u64 = 60_000;
/// The most it may say, for the same reason as the longest interval.
pub const SCHEDULE_CATCH_UP_MS_MAX: u64 = SCHEDULE_EVERY_MS_MAX;
/// The most that a run may be put off by chance: an hour spreads any load.
pub const SCHEDULE_JITTER_MS_MAX: u64 = 60 * 60 * 1_000;
/// Operations of one schedule that run at a time; all of them are part of its state.
pub const SCHEDULE_RUNNING_MAX: usize = 100;
/// Runs of one schedule that wait for the one before to end.
pub const SCHEDULE_BUFFER_MAX: usize = 100;
/// Times that one commit of a schedule decides: its events and messages must fit into one.
pub const SCHEDULE_BATCH_MAX: usize = 64;
/// Missed times that are counted one by one; after these the count is at least what it says.
pub const SCHEDULE_MISSED_COUNT_MAX: u64 = 10_000;
/// Times to come that a schedule shows.
pub const SCHEDULE_NEXT_SHOWN: usize = 5;
/// Years within which a cron expression must match: the 29th of February is a Monday every 40 at worst.
pub const SCHEDULE_YEARS_MAX: i32 = 100;
/// An outgoing HTTP call's URL: what servers commonly take.
pub const HTTP_URL_BYTES_MAX: usize = 8 * 1024;
/// Headers of an outgoing request and of its response, each: what servers commonly take.
pub const HTTP_HEADERS_MAX: usize = 100;
/// The head of a response, all headers together: the largest that common clients read.
pub const HTTP_HEAD_BYTES_MAX: usize = 64 * 1024;
/// The body of an outgoing request. It is part of the operation's record.
pub const HTTP_REQUEST_BYTES_MAX: usize = 512 * 1024;
/// The body of a response, if the input says nothing and at most.
pub const HTTP_RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// The JSON text of a call's result. It is in the operation's record twice, as its step's result and its
/// own: with the largest request there is room for both.
pub const HTTP_RESULT_BYTES_MAX: usize = OPERATION_RECORD_BYTES_MAX / 8 * 3;
/// Redirects that a call follows, if its input says nothing, and at most: browsers stop at 20.
pub const HTTP_REDIRECTS_DEFAULT: u32 = 5;
pub const HTTP_REDIRECTS_MAX: u32 = 20;
/// How long a call may take, redirects and all, if its input says nothing, and at most (milliseconds):
/// below the five minutes that a step has by default.
pub const HTTP_TIMEOUT_MS_DEFAULT: u64 = 30_000;
pub const HTTP_TIMEOUT_MS_MAX: u64 = 240_000;
/// How long one address is tried, milliseconds: a lost first packet is sent again after one second and
/// three.
pub const HTTP_CONNECT_MS: u64 = 5_000;
/// Addresses of one host that are tried.
pub const HTTP_ADDRESSES_MAX: usize = 4;
/// How much of a refusal's body is shown, bytes, and how long it is waited for, milliseconds.
pub const HTTP_EXCERPT_BYTES_MAX: usize = 256;
pub const HTTP_EXCERPT_MS: u64 = 1_000;
/// Hosts that fail or are called and whose breakers a node keeps, at about 300 bytes each.
pub const HTTP_HOSTS_MAX: usize = 4_096;

/// Steps of one declared saga: what each may add to one commit (a promise, a message, an event) stays far
/// below what a commit holds. Longer ones call others.
pub const SAGA_STEPS_MAX: usize = 64;
/// The JSON text of a saga's result, the results of its steps by name; a larger one is left out.
pub const SAGA_RESULT_BYTES_MAX: usize = OPERATION_RECORD_BYTES_MAX / 4;

/// The body of one GraphQL request, batches and variables included, and of one message over its WebSocket: an
/// operation's input of some hundred kilobytes fits. Larger ones are submitted by REST.
pub const GRAPHQL_BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long such a body may take to arrive, milliseconds: at 100 kB a second.
pub const GRAPHQL_BODY_MS_MAX: u64 = 10_000;
/// A GraphQL document: four times what tools send to learn the whole schema.
pub const GRAPHQL_DOCUMENT_BYTES_MAX: usize = 32 * 1024;
/// Its tokens, counted before it is parsed: what tools send has some hundred.
pub const GRAPHQL_TOKENS_MAX: usize = 2_000;
/// Brackets of any sort within each other, counted before it is parsed, as the parser recurses. Variables have as
/// many levels as JSON is read with.
pub const GRAPHQL_NESTING_MAX: usize = 32;
/// Fields within each other. Tools that ask for the schema look through nine wrappers of a type: 15.
pub const GRAPHQL_DEPTH_MAX: usize = 16;
/// Fields of a document once its fragments are put where they are named: past it no answer is for a person, and
/// two fragments in each other's place a dozen times would be thousands.
pub const GRAPHQL_FIELDS_MAX: usize = 1_000;
/// Fields at the root of one operation: each is a call of its own.
pub const GRAPHQL_ROOT_FIELDS_MAX: usize = 32;
/// Fields under another name, so that the same is not asked for in a thousand ways.
pub const GRAPHQL_ALIASES_MAX: usize = 64;
/// Directives of a document; `@skip` and `@include` are all that there are.
pub const GRAPHQL_DIRECTIVES_MAX: usize = 64;
/// Operations of a document, of which one is executed.
pub const GRAPHQL_OPERATIONS_MAX: usize = 16;
/// What one request may cost: a field is 1, one that is asked of an actor 10, a list as many times its items as
/// it may have. A page of 500 operations with twenty fields each.
pub const GRAPHQL_COST_MAX: usize = 12_000;
/// What a question for the schema may cost, by the same rule: half as much again as that of the usual tools.
pub const GRAPHQL_INTROSPECTION_COST_MAX: usize = 90_000;
/// Errors of a document that is refused: whoever wrote it mends the first ones first.
pub const GRAPHQL_ERRORS_MAX: usize = 20;
/// Requests in one body: pages gather what their parts ask for in one moment.
pub const GRAPHQL_BATCH_MAX: usize = 10;
/// How long a query or mutation may take, milliseconds: as long as browsers and proxies wait.
pub const GRAPHQL_REQUEST_MS_MAX: u64 = 30_000;
/// Reads of one request under way at a time: each may hold a state of 8 MiB.
pub const GRAPHQL_READS_MAX: usize = 16;
/// Bytes that all reads of one request may bring: what is on its way to one session at the most.
pub const GRAPHQL_READ_BYTES_MAX: usize = SESSION_ANSWER_BYTES_MAX;
/// Ids of one `nodes`.
pub const GRAPHQL_NODES_MAX: usize = 100;
/// A page of actors: keys are listed in pages of so many.
pub const GRAPHQL_ACTOR_PAGE_MAX: usize = 100;
/// Bytes of the documents that are kept under their hash: some thousand of usual size.
pub const GRAPHQL_PERSISTED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Operations under way on one WebSocket: as many as a session has subscriptions.
pub const GRAPHQL_SOCKET_OPERATIONS_MAX: usize = SESSION_SUBSCRIPTIONS_MAX;
/// An id that a client gives to one of them: UUIDs are usual.
pub const GRAPHQL_SOCKET_ID_BYTES_MAX: usize = CHOSEN_ID_BYTES_MAX;
/// How long a WebSocket may take to say who it is, milliseconds: some round trips.
pub const GRAPHQL_SOCKET_INIT_MS_MAX: u64 = 5_000;
/// A WebSocket is asked whether it is there so often, milliseconds, and given up after three times that silence.
pub const GRAPHQL_SOCKET_PING_MS: u64 = 15_000;
/// How long a client may take to read a message, milliseconds, before it is let go: what it missed it reads again
/// from its position.
pub const GRAPHQL_SOCKET_SEND_MS_MAX: u64 = 10_000;
/// Streams of events over HTTP that a node serves at a time, each with a connection and a subscription: as many as
/// its connections, less those of everything else.
pub const EVENT_STREAMS_MAX: usize = 16_384;
/// Of these, those of one principal in one tenant, who may stand for many people: a sixteenth.
pub const EVENT_STREAMS_PRINCIPAL_MAX: usize = 1_024;
/// Silence after which such a stream says that it lives, milliseconds: proxies give one up after half a minute.
pub const EVENT_STREAM_BEAT_MS: u64 = 15_000;
/// When a client is to come back that lost its stream, milliseconds.
pub const EVENT_STREAM_RETRY_MS: u64 = 2_000;
/// Prefixes of addresses that an edge remembers what they did lately: without a proof of their address, with one, and
/// the proofs that they showed. At 16 bytes each 3 MiB in all, and half as many handshakes at 24 bytes. Most owe nothing after some milliseconds; to fill it within the five seconds of those that
/// owe most, a node would have to accept six thousand handshakes a second.
pub const EDGE_ACCOUNTS_MAX: usize = 65_536;
/// Prefixes of addresses that a bridge remembers how many connections they opened lately: at 16 bytes 1 MiB in all.
pub const BRIDGE_ACCOUNTS_MAX: usize = 65_536;
/// Proofs of an address that were given at an earlier time and shown, by the day: what is remembered of them takes
/// 2 MiB for two days. Past it they count for nothing until the next day, and who shows one is asked for another.
pub const EDGE_TOKENS_USED_MAX: usize = 1_048_576;
/// What an attached payload must bring each time that a stall may last: at 30 seconds half a kilobyte a second. The
/// slowest modem does more, and who does less holds memory for nothing.
pub const PAYLOAD_STALL_BYTES_MIN: usize = 16 * 1024;
/// Streams that a browser opens one way: HTTP/3 has three for the whole connection (RFC 9114, 6.2), and one is for
/// what a server does not know and refuses.
pub const WEB_STREAMS_MAX: u32 = 4;
/// The header section of a request of HTTP/3: a browser sends some hundred bytes to ask for a session.
pub const WEB_HEADERS_BYTES_MAX: usize = 16 * 1024;
/// The settings of HTTP/3 that a browser sends: each takes at most 16 bytes, and a dozen are known.
pub const WEB_SETTINGS_BYTES_MAX: usize = 4 * 1024;
/// Bytes that a browser may say about its session beside its streams: the capsules that it has are small and few.
pub const WEB_CAPSULE_BYTES_MAX: usize = 16 * 1024;

/// A rate and a burst that somebody sets: past it they bound nothing.
pub const LIMIT_RATE_MAX: u64 = 1_000_000_000;
/// What a node may be ahead of the owner of a limit that holds for the whole cluster, as the time in which so much
/// comes, milliseconds: twenty times the way to the owner and back, so a node in use asks twenty times a second.
pub const LIMIT_BATCH_MS: u64 = 100;
/// How long a node waits for more to tell the owner of a limit, milliseconds: what is below half a batch is told then.
pub const LIMIT_GATHER_MS: u64 = 100;
/// How long the owner of a limit is waited for, milliseconds: longer than the change of an owner takes it is no use.
pub const LIMIT_ASK_MS_MAX: u64 = 1_000;
/// Until the owner of a limit is asked again that could not be reached, milliseconds.
pub const LIMIT_RETRY_MS: u64 = 100;
/// Limits that may be set in a tenant, those of its principals among them: every node has all of them in memory.
pub const LIMITS_OF_TENANT_MAX: usize = 1_000;
/// The same over all tenants, at about 300 bytes each.
pub const LIMITS_MAX: usize = 20_000;
/// Tenants and principals whose use a node counts at a time, at about a kilobyte each: more than have sessions.
pub const LIMIT_ACCOUNTS_MAX: usize = 200_000;
/// Accounts that are as if they were new are forgotten so often, milliseconds.
pub const LIMIT_SWEEP_MS: u64 = 30_000;
/// Those that a node knows to be refused most, in each part of the last minute: who is refused once among so many
/// others is not who a person looks for.
pub const LIMIT_TOP_KEPT: usize = 128;
/// How often a session is told that it is over a limit beside its answers, milliseconds.
pub const LIMIT_NOTICE_MS: u64 = 1_000;

/// What a notice says to the nodes of its cluster: which row has changed, so a few names.
pub const NOTICE_BYTES_MAX: usize = 4 * 1024;
/// Notices that are read, or cleared, at a time.
pub const NOTICES_READ_MAX: usize = 256;
/// How long a notice is kept, milliseconds: a node that has not had its store for so long reads everything anew.
pub const NOTICE_KEPT_MS: u64 = 60 * 60 * 1_000;
/// How long a node waits before it looks for notices without having been woken, milliseconds: half of the second
/// within which a change is in force.
pub const NOTICE_POLL_MS: u64 = 500;

/// The texts of an audit record, each: a principal's name, or kind and key of an actor.
pub const AUDIT_TEXT_BYTES_MAX: usize = 1_024;
/// What an audit record says of a change, JSON text: before and after of a thing that people set.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 16 * 1024;
/// Audit records that are read at a time: the largest of them fit into a transaction.
pub const AUDIT_PAGE_MAX: usize = 256;
/// Audit records that a search reads to find some before it answers with how far it came: a part of a second.
pub const AUDIT_SCAN_MAX: usize = 16 * AUDIT_PAGE_MAX;
/// Audit records that one request verifies: about a second's work of a store on a disk.
pub const AUDIT_VERIFY_MAX: u64 = 20_000;
/// How far clocks of nodes may be apart without a search by time missing audit records: far more than they are.
pub const AUDIT_CLOCKS_MS: u64 = 3_600_000;
/// Kinds of refusals, by principal, permission and code, that a node counts until it records them, for a minute: with
/// texts of the largest size about 2 MB. What is over is counted as of anybody.
pub const REFUSALS_MAX: usize = 1_000;
/// How long refusals are counted until they are recorded.
pub const REFUSALS_MS: u64 = 60_000;

/// Wrapping keys that a node may have: the one that wraps, and those before it whose keys are wrapped anew.
pub const WRAPPING_KEYS_MAX: usize = 16;
/// The name of a wrapping key: that of a service is a path of some hundred bytes.
pub const WRAPPING_KEY_NAME_BYTES_MAX: usize = 512;
/// A key of a subject as it is wrapped: services that keep keys add some hundred bytes.
pub const WRAPPED_KEY_BYTES_MAX: usize = 4 * 1024;
/// Keys of subjects that a node has in memory, each some 700 bytes with its names: those of all who are active.
pub const SUBJECT_KEYS_CACHED_MAX: usize = 16_384;
/// Rows of the application's own that go with an actor when its subject is erased: an operation with its labels has
/// thirty.
pub const SUBJECT_TRACES_MAX: usize = 64;
/// Actors of a subject that one request erases or looks through: each takes a few transactions.
pub const SUBJECT_ACTORS_PAGE_MAX: usize = 64;
/// Rows of an actor that are read at a time to be erased or exported: the largest of them fit into a transaction.
pub const SUBJECT_ROWS_PAGE_MAX: usize = 64;
/// Subjects of one page of their list.
pub const SUBJECTS_PAGE_MAX: usize = 256;
/// Keys that one request wraps anew: a service that keeps keys takes some milliseconds for each.
pub const REWRAP_PAGE_MAX: usize = 64;
/// What somebody may have said yes or no to, of one subject: forms have some ten purposes.
pub const CONSENTS_MAX: usize = 256;
/// A purpose that somebody consents to, and what is noted with it.
pub const CONSENT_PURPOSE_BYTES_MAX: usize = 128;
pub const CONSENT_NOTE_BYTES_MAX: usize = 1_024;
