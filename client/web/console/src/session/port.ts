/**
 * What the console uses of `@selvedge/client`, as an interface: the SDK's client has this shape, and so has the
 * fake of the tests. Types only.
 */

import type { Status } from "../data/operation.js";

export type ConnectionState = "connecting" | "open" | "reconnecting" | "draining" | "closed";

/** The answer to a command or query. */
export interface Answer {
  body: unknown;
  seq: number;
  version: number;
}

/** What comes through a subscription. */
export type Item =
  | { type: "event"; seq: number; kind: string; time: Date; data: unknown }
  | { type: "gap"; after: number; seq: number; snapshot: unknown }
  | { type: "ephemeral"; from: string; name: string; data: unknown };

export type EventItem = Extract<Item, { type: "event" }>;

/** A subscription. */
export interface Items extends AsyncIterable<Item> {
  close(): void;
}

export interface Asking {
  signal?: AbortSignal;
}

/** From which event on: after a seq, or from the next one. */
export interface Since {
  after?: number | "latest";
}

export interface Actor {
  send(name: string, body?: unknown, options?: { id?: string } & Asking): Promise<Answer>;
  query(name: string, body?: unknown, options?: Asking): Promise<Answer>;
  state(options?: Asking): Promise<Answer>;
  events(since?: Since): Items;
  tell(name: string, data?: unknown): void;
}

export interface Operation {
  get(options?: Asking): Promise<unknown>;
  why(options?: Asking): Promise<unknown>;
  cancel(): Promise<unknown>;
  pause(): Promise<unknown>;
  resume(): Promise<unknown>;
  retry(options?: { fromStep?: string }): Promise<unknown>;
  signal(name: string, data?: unknown): Promise<unknown>;
}

export interface Submit {
  type: string;
  id?: string;
  input?: unknown;
  labels?: Record<string, string>;
  priority?: number;
  runAt?: string;
  deadline?: string;
  payload?: Blob;
}

/** Filters of a list. */
export interface ListQuery {
  status?: Status;
  type?: string;
  label?: string;
  limit?: number;
  cursor?: string;
}

export interface Operations {
  submit(submit: Submit): Promise<unknown>;
  list(query: ListQuery, options?: Asking): Promise<unknown>;
  count(query: ListQuery, options?: Asking): Promise<unknown>;
}

export interface Cluster {
  status(options?: Asking): Promise<unknown>;
  plan(options?: Asking): Promise<unknown>;
  why(node?: string, options?: Asking): Promise<unknown>;
  drain(node: string, options?: { force?: boolean }): Promise<unknown>;
  undrain(node: string): Promise<unknown>;
  remove(node: string): Promise<unknown>;
}

/** The bounds of a session. */
export interface SessionLimits {
  window: number;
  queries: number;
  subscriptions: number;
  inlineBytes: number;
  payloadBytes: number;
  idleMs: number;
}

/** What a Welcome says of the session. */
export interface SessionInfo {
  id: string;
  node: string;
  resumed: boolean;
  transport: "websocket" | "webtransport";
  limits: SessionLimits;
}

/** One session of the SDK. */
export interface Client {
  readonly state: ConnectionState;
  readonly session: SessionInfo | undefined;
  onState(listener: (state: ConnectionState, why?: unknown) => void): () => void;
  close(): Promise<void>;
  actor(kind: string, key: string): Actor;
  operation(id: string): Operation;
  /** Of an operation also beyond its end, which a retry may follow. */
  subscribe(target: { operation: string }, since?: Since): Items;
  readonly operations: Operations;
  readonly cluster: Cluster;
  readonly actors: {
    list(kind: string, options?: { after?: string; limit?: number } & Asking): Promise<unknown>;
  };
}

/** Opens a session: resolves with its first Welcome. */
export type Connect = (options: {
  url: string;
  /** The credential, or what gives it before each connection. */
  token: string | (() => Promise<string>);
  tenant?: string;
  agent?: string;
  signal?: AbortSignal;
}) => Promise<Client>;
