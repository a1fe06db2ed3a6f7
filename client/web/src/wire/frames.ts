/**
 * The frames of the session protocol as the machine has them; wire.md says what each means.
 *
 * JSON that a caller gives is text from the start (`body`, `data`): it is written once, and what the caller changes
 * afterwards changes nothing. JSON that the server sends is a value.
 */

import type { Failure } from "../errors.js";

/** What a request is addressed to. */
export type Target =
  | { actor: { kind: string; key: string } }
  | { operation: string }
  | "operations"
  | "actors"
  | "cluster";

export type Consistency = "linearizable" | "eventual";

/** Where events begin: after a seq (0 is the beginning), or with the next one. */
export type Since = { after: number } | "latest";

/** What a frame answers, or is a part of. */
export type Request = { command: number } | { query: number } | { subscription: number };

export type Extension = [number: number, value: string];

/** The bytes beside a command: in the frame (base64), or in pieces behind it. */
export type Payload = { inline: string } | { attached: number } | { streamed: number };

export interface Command {
  type: "command";
  number: number;
  id?: string | undefined;
  /** Set when it is sent. */
  acknowledged?: number | undefined;
  target: Target;
  name: string;
  /** JSON text. */
  body: string;
  payload?: Payload | undefined;
  deadlineMs?: number | undefined;
}

export interface Query {
  type: "query";
  number: number;
  target: Target;
  name: string;
  /** JSON text. */
  body: string;
  consistency?: Consistency | undefined;
  deadlineMs?: number | undefined;
}

export interface WorkerReady {
  type: "workerReady";
  types: string[];
  capacity: number;
}

/** How a task stands: JSON text of its progress or result, or why it failed. */
export type StepReport = { heartbeat: string } | { success: string } | { failure: Failure };

export type ClientFrame =
  | {
      type: "hello";
      versions: number[];
      token: string;
      tenant?: string | undefined;
      agent: string;
      resume?: string | undefined;
    }
  | Command
  | Query
  | { type: "subscribe"; subscription: number; target: Target; since: Since }
  | { type: "unsubscribe"; subscription: number }
  | {
      type: "ack";
      acknowledged: number;
      positions: { subscription: number; seq: number }[];
    }
  | WorkerReady
  | { type: "stepResult"; lease: number; report: StepReport }
  | { type: "ping"; nonce: number }
  | { type: "goodbye"; failure?: Failure | undefined }
  | { type: "ephemeral"; target: Target; name: string; /** JSON text. */ data: string }
  | Chunk;

/** The bounds that a server states for a session. */
export interface SessionLimits {
  /** Unanswered commands. */
  window: number;
  /** Unanswered queries. */
  queries: number;
  subscriptions: number;
  /** The largest payload inside a frame. */
  inlineBytes: number;
  /** The largest payload that is stored. */
  payloadBytes: number;
  /** A connection that is silent for this long is closed. */
  idleMs: number;
}

export interface Welcome {
  type: "welcome";
  version: number;
  session: string;
  resumed: boolean;
  resumeToken: string;
  node: string;
  limits: SessionLimits;
  ext?: Extension[];
}

export interface Success {
  body?: unknown;
  /** Bytes that are no JSON text: the payload of a task. */
  bodyBase64?: string;
  /** The body as bytes, where it came behind the frame, or the frame is not JSON. */
  bytes?: Uint8Array;
  seq: number;
  version: number;
}

export type Outcome = { success: Success } | { failure: Failure };

export interface Reply {
  type: "reply";
  request: Request;
  outcome: Outcome;
  ext?: Extension[];
}

export interface Task {
  type: "task";
  lease: number;
  operation: { operation: string };
  operationType: string;
  step: string;
  attempt: number;
  input?: unknown;
  leaseMs: number;
  ext?: Extension[];
}

export type Notice =
  | { draining: number }
  | { limited: { limit: string; retryAfterMs: number } }
  | { taskCancelled: number }
  | { resultRefused: number };

export interface Event {
  type: "event";
  subscription: number;
  seq: number;
  kind: string;
  timeMs: number;
  data?: unknown;
}

export interface Gap {
  type: "gap";
  subscription: number;
  after: number;
  seq: number;
  snapshot?: unknown;
}

/** A gap whose snapshot follows it. */
export interface LargeGap {
  type: "largeGap";
  subscription: number;
  after: number;
  seq: number;
  length: number;
}

export interface Ephemeral {
  type: "ephemeral";
  subscription: number;
  from: string;
  name: string;
  data?: unknown;
  /** Bytes that are no JSON text. */
  dataBase64?: string;
}

export interface Chunk {
  type: "chunk";
  request: Request;
  data: Uint8Array;
  last: boolean;
}

export type ServerFrame =
  | Welcome
  | Reply
  | Event
  | Gap
  | LargeGap
  | Task
  | { type: "notice"; notice: Notice }
  | { type: "redirect"; address: string }
  | { type: "goodbye"; failure?: Failure | null }
  | { type: "pong"; nonce: number }
  | Ephemeral
  | Chunk
  | { type: "window"; request: Request; bytes: number };
