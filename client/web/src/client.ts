/** The client: opens a session, and hands out what can be done over it. */

import type { Actors } from "./actor.js";
import { ActorRef, tell } from "./actor.js";
import type { Answer, CommandOptions, QueryOptions } from "./call.js";
import { aborted, call, closed } from "./call.js";
import type { Calls } from "./calls.js";
import type { Cluster } from "./cluster.js";
import type { SessionInfo, State } from "./driver.js";
import { Driver } from "./driver.js";
import { ERROR_CODES, SelvedgeError, WorkError } from "./errors.js";
import type { EventsOptions } from "./events.js";
import { Events } from "./events.js";
import { checkedAgent, checkedKind, checkedTenant, invalid, operationTarget } from "./ids.js";
import { checkSize, written } from "./json.js";
import { later, loaded } from "./later.js";
import { CONNECT_MS_MAX } from "./limits.js";
import type { Token } from "./link/connector.js";
import { Connector } from "./link/connector.js";
import { Servers } from "./link/servers.js";
import { Upgrade } from "./link/upgrade.js";
import type { WebSocketConstructor } from "./link/websocket.js";
import type { WebTransportConstructor } from "./link/webtransport.js";
import type { OperationRef, Operations } from "./operations.js";
import { isFinal, isTheEnd } from "./operations.js";
import { extensionLength } from "./session/extensions.js";
import { toBase64, tryBase64 } from "./wire/base64.js";
import type { Target } from "./wire/frames.js";
import type { Worker, WorkerOptions } from "./worker.js";

export interface ConnectOptions {
  /** Where nodes serve WebSockets, as in `wss://node-1.example/ws`; several are tried one a moment after the other. Further nodes are learned from the cluster. */
  url: string | readonly string[];
  /** The credential, or a function that gives it, asked before each connection. */
  token: Token;
  /** The tenant to act in, where it is not the principal's own. */
  tenant?: string | undefined;
  /** Name and version of the program, for the logs of the server. */
  agent?: string | undefined;
  /** Ends the connecting; once the session is open it means nothing. */
  signal?: AbortSignal | undefined;
  /** How long to try to connect, 10 s where nothing is said. Afterwards a broken connection is made again for as long as it takes. */
  timeoutMs?: number | undefined;
  /** Silence after which the server is asked for a sign of life, at least 250 ms; one that gives none within 2.5 s is left. 5 s where nothing is said, longer while nothing is waited for. */
  keepAliveMs?: number | undefined;
  /** The class of WebSockets where there is no global one, as in Node.js 20: that of the npm package `ws`. */
  WebSocket?: WebSocketConstructor | undefined;
  /** `false`: by WebSocket only. Else WebTransport is tried where there is a class for it, the global one where none is given here, and the node can be reached by it. */
  webTransport?: WebTransportConstructor | false | undefined;
}

/** Opens a session. Rejects with a `SelvedgeError` where there is no server, or it refuses. */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { signal } = options;
  const page = globalThis as {
    WebSocket?: WebSocketConstructor;
    WebTransport?: WebTransportConstructor;
  };
  const { WebSocket: own = page.WebSocket, webTransport = page.WebTransport } = options;
  if (own === undefined) {
    throw invalid("WebSocket", "there is none, give that of the npm package ws");
  }
  const keepAliveMs = options.keepAliveMs;
  if (keepAliveMs !== undefined && !(keepAliveMs >= KEEP_ALIVE_MS_MIN)) {
    throw invalid("keepAliveMs", `at least ${KEEP_ALIVE_MS_MIN} ms`);
  }
  const tenant = options.tenant === undefined ? undefined : checkedTenant(options.tenant);
  const agent = checkedAgent(options.agent ?? AGENT);
  const upgrade = webTransport ? new Upgrade(webTransport, KIT) : undefined;
  const connector = new Connector(new Servers(options.url), options.token, own, upgrade);
  if (signal?.aborted === true) throw aborted(signal);
  const driver = new Driver({ connector, tenant, agent, keepAliveMs });
  const abort = (): void => {
    if (signal !== undefined) void driver.stop(aborted(signal));
  };
  signal?.addEventListener("abort", abort);
  const timer = setTimeout(() => {
    void driver.stop(
      driver.lastError ?? new SelvedgeError("unavailable", "the server does not answer"),
    );
  }, options.timeoutMs ?? CONNECT_MS_MAX);
  try {
    await driver.opened;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
  return new Client(driver);
}

/**
 * A session with the cluster. It outlives connections: calls that are waiting when one breaks are answered over the
 * next, and events go on where they were.
 */
export class Client {
  readonly #driver: Driver;
  readonly #kit: typeof KIT & { driver: Driver };
  /** Operations of the tenant. */
  readonly operations: Operations;
  /** Actors of the tenant. */
  readonly actors: Actors;
  /** The nodes, for administrators. */
  readonly cluster: Cluster;

  /** @internal */
  constructor(driver: Driver) {
    this.#driver = driver;
    this.#kit = { ...KIT, driver };
    this.operations = this.#calls("operations", ["submit", "list", "count"]);
    this.actors = this.#calls("actors", ["list"]);
    const ofCluster = ["status", "plan", "why", "drain", "undrain", "remove"] as const;
    this.cluster = this.#calls("cluster", ofCluster);
    watchNetwork(driver);
  }

  get state(): State {
    return this.#driver.state;
  }

  /** The session as it was when it last came to be open. */
  get session(): SessionInfo | undefined {
    return this.#driver.session;
  }

  /** Calls `listener` when the state changes, and with each failed attempt while it is `reconnecting`. Gives the way to stop that. */
  onState(listener: (state: State, why?: SelvedgeError) => void): () => void {
    return this.#driver.onState(listener);
  }

  /** Ends the session: tells the server, fails what is waiting with `closed`, ends iterations over events. */
  close(): Promise<void> {
    return this.#driver.stop(closed());
  }

  /** One actor. */
  actor(kind: string, key: string): ActorRef {
    return new ActorRef(this.#driver, kind, key);
  }

  /** One operation. */
  operation(id: string): OperationRef {
    const target = operationTarget(id);
    const events = (options: EventsOptions = {}): Events =>
      new Events(this.#driver, target, options, isTheEnd);
    return { ...this.#calls("operation", VERBS, target), id, events };
  }

  /** Executes steps of operations. A later worker takes the place of an earlier one. */
  async worker(options: WorkerOptions): Promise<Worker> {
    // Few programs are workers, so its code is loaded when it is needed.
    const { startWorker } = await loaded(() => import("./worker.js"));
    if (this.state === "closed") throw closed();
    return startWorker(this.#kit, options);
  }

  /** A command to any target. */
  command<T = unknown>(
    target: Target,
    name: string,
    body?: unknown,
    options?: CommandOptions,
  ): Promise<Answer<T>> {
    return call<T>(this.#driver, "command", target, name, body, options);
  }

  /** A query of any target. */
  query<T = unknown>(
    target: Target,
    name: string,
    body?: unknown,
    options?: QueryOptions,
  ): Promise<Answer<T>> {
    return call<T>(this.#driver, "query", target, name, body, options);
  }

  /** The events of an actor or operation from a position on. */
  subscribe(target: Target, options: EventsOptions = {}): Events {
    return new Events(this.#driver, target, options);
  }

  /** An ephemeral message to whoever listens to the target now. */
  tell(target: Target, name: string, data?: unknown): void {
    tell(this.#driver, target, name, data);
  }

  /** Calls whose code is loaded with the first of them. */
  #calls<What extends keyof Calls>(
    what: What,
    names: readonly (keyof Calls[What])[],
    target = what as Target,
  ): Pick<Calls[What], keyof Calls[What]> {
    return later<Calls[What]>(names, async () => {
      const { calls } = await import("./calls.js");
      return calls[what](this.#kit, target);
    });
  }
}

/** Browsers know before anybody else when the network goes, comes back or may have changed. */
function watchNetwork(driver: Driver): void {
  const page = globalThis as Partial<Pick<typeof globalThis, "addEventListener" | "document">>;
  if (page.addEventListener === undefined) return;
  const over = new AbortController();
  const { signal } = over;
  const doubt = (): void => {
    driver.doubt();
  };
  for (const event of ["online", "offline", "pageshow"]) {
    globalThis.addEventListener(event, doubt, { signal });
  }
  page.document?.addEventListener("visibilitychange", doubt, { signal });
  void driver.ended.then(() => {
    over.abort();
  });
}

/** What can be done with an operation. */
const VERBS = ["get", "why", "cancel", "pause", "resume", "retry", "signal", "wait"] as const;
/** What code that is loaded later needs of the SDK. */
const KIT = {
  ERROR_CODES,
  SelvedgeError,
  WorkError,
  call,
  checkedKind,
  checkSize,
  extensionLength,
  invalid,
  isFinal,
  operationTarget,
  toBase64,
  tryBase64,
  written,
};
/** What a program is called that does not say. */
const AGENT = "selvedge-client-web/0.1.0";
/** Less is no use: the server is looked at that often. */
const KEEP_ALIVE_MS_MIN = 250;
