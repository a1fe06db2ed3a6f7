/** The bounds of the SDK, each with its reason; code that is loaded later has its own. Those of the protocol are in wire.md as well. */

/** Arguments and inline payload of a request, the data of an event. */
export const INLINE_BYTES_MAX = 65_536;
/** A payload that is stored, a large answer, a snapshot. */
export const PAYLOAD_BYTES_MAX = 8_388_608;
/** Large answers and snapshots on their way: a server sends no more at a time. */
export const ANSWER_BYTES_MAX = 33_554_432;
/** One message of the JSON subprotocol. */
export const MESSAGE_BYTES_MAX = 196_608;
export const TOKEN_BYTES_MAX = 8_192;
export const NAME_BYTES_MAX = 64;
export const LABEL_BYTES_MAX = 260;
export const ACTOR_KEY_BYTES_MAX = 512;
/** Servers that a program names, and as many again that the cluster tells of. */
export const SERVERS_MAX = 16;
/** A name and port of 260 bytes. */
export const SERVER_BYTES_MAX = 260;
export const SESSION_WINDOW = 1_024;
export const SESSION_QUERIES_MAX = 1_024;
export const SESSION_SUBSCRIPTIONS_MAX = 128;
/** Calls that wait for their turn behind the window, of each sort: sixteen windows. A program that has more is not waiting for its answers. */
export const CALLS_WAITING_MAX = 16_384;
/** Items ready for a consumer of events: enough that it need not wait for each; a slow one holds 16 MiB at the very most, snapshots apart. */
export const EVENTS_AHEAD_MAX = 256;
/** How long a call that the server refuses for the moment is retried: long enough for a node to be restarted. */
export const RETRY_MS_MAX = 30_000;
/** About one round trip to a busy server. */
export const BACKOFF_FIRST_MS = 50;
/** A person who waits notices five seconds, a server does not notice one request in five seconds. */
export const BACKOFF_MS_MAX = 5_000;
/** A person is still waiting, and a node that starts up is ready by then. */
export const CONNECT_MS_MAX = 10_000;
/** Between the servers of a round, and the two ways to one: RFC 8305 says 250 ms, a WebSocket takes three round trips and not one. */
export const STAGGER_MS = 300;
/** How long a server is spoken to by WebSocket where WebTransport was no use: a network changes seldom. */
export const PLAIN_MS = 300_000;
/** Servers of which that is remembered: all that are ever known at a time, and as many that were. */
export const PLAIN_SERVERS_MAX = 64;
/** One attempt at one server: a name to look up, TCP, TLS, and the upgrade, with a lost packet or two. */
export const SOCKET_MS_MAX = 5_000;
/** A connection that held for so long was a good one: the next is tried at once. */
export const LASTING_MS = 5_000;
/** Redirects that are followed at once when no connection has lasted: two nodes that send a client to each other must not keep it busy. */
export const REDIRECTS_AT_ONCE_MAX = 4;
/** How long an orderly end may take: some round trips around the world. */
export const CLOSE_MS_MAX = 1_000;
/** How often what was received is acknowledged by itself. */
export const ACKNOWLEDGE_MS = 1_000;
