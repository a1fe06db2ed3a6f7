/** Every bound of the console in one place, each with its reason. */

/** How often what is on screen is asked for anew: soon enough to trust it, seldom enough to cost nothing. */
export const POLL_MS = 2_000;
/** How often the cluster is asked why it is not at rest: the answer takes it half a second. */
export const WHY_MS = 5_000;
/** How often operations are counted by status: each count reads a part of an index. */
export const COUNT_MS = 5_000;

/** How often the pulse asks the node for a sign of life. */
export const PULSE_MS = 750;
/** A pulse unanswered for this long makes everything stale: with the one before, within two seconds. */
export const PULSE_LATE_MS = 1_000;
/** How often waits and ages on screen are counted. */
export const TICK_MS = 250;
/** What was polled is stale when its next answer is late by so much. */
export const LATE_MS = 2_000;

/** How long before its end the next token of a login is asked for: what is begun with this one comes to its end. */
export const RENEW_BEFORE_MS = 30_000;
/** How long a connection may take to be made anew with it before that is told as a loss. */
export const RENEWED_MS = 1_500;

/** Between tries to open the first session, each of which takes the SDK some seconds. */
export const RETRY_MS = 1_000;
/** How long the word stays on screen that a connection has resumed. */
export const NOTICE_MS = 12_000;
/** Entries of the log of the connection: a long evening of trouble. */
export const JOURNAL_MAX = 50;

/** Operations of a page. Each open one is followed by a subscription, of which a session has 128. */
export const PAGE_LEN = 25;
/** Keys of a page of actors: what the node gives at most. */
export const KEYS_LEN = 100;
/** Events that a log keeps: more than anybody reads, and few enough for a page to stay quick. */
export const EVENTS_MAX = 300;
/** Events before the present that a log begins with. */
export const EVENTS_BEFORE = 100;
/** Messages that a room shows. */
export const MESSAGES_MAX = 300;
/** Changes within this time are fetched together. */
export const SETTLE_MS = 150;

/** Samples of a plot: ten minutes. */
export const SAMPLES_MAX = 300;
/** Bytes of `/metrics` that are read: a node has some tens of kB. */
export const METRICS_BYTES_MAX = 4 * 1024 * 1024;
/** Lines of a plot: more could not be told apart. */
export const LINES_MAX = 6;

/** Somebody who typed is shown to be typing for this long. */
export const TYPING_MS = 4_000;
/** How often others are told that one is typing. */
export const TELL_TYPING_MS = 1_500;
/** Those typing that are named. */
export const TYPING_MAX = 20;

/** Bytes of a message of a room: what the room takes. */
export const TEXT_BYTES_MAX = 4 * 1024;
/** How long an answer over HTTP may take. */
export const HTTP_MS = 5_000;
/** The same of a change: a password is hashed for a while, and a part of the audit trail verified. */
export const WRITE_MS = 15_000;
/** Bytes of a JSON answer that are read: a page of the API has some tens of kB. */
export const JSON_BYTES_MAX = 4 * 1024 * 1024;
/** Roles that are offered for choice: what a page of the API has at most. */
export const ROLES_LEN = 500;
/** Names of who is refused most. */
export const TOP_LEN = 20;
/** Entries of an object or array that are shown before somebody asks for more. */
export const JSON_ENTRIES_MAX = 100;
/** Characters of a text in a state that are shown before somebody asks for more. */
export const JSON_TEXT_MAX = 500;
