/**
 * The session of this tab: signs in and out, follows the state of the connection, and says what became of it.
 * The shell makes one; views take its client and ask it whether what they show may be stale. It never retries
 * by itself: that is the SDK's.
 */

import { batch, computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { JOURNAL_MAX, PULSE_LATE_MS, RETRY_MS } from "../bounds.js";
import { now } from "../data/clock.js";
import { span } from "../format.js";
import { isAborted, toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import { forget, keep } from "./credentials.js";
import type { Credentials } from "./credentials.js";
import type { Client, Connect, ConnectionState, SessionInfo } from "./port.js";
import { Pulse } from "./pulse.js";

/** How the connection is. */
export interface Connection {
  state: ConnectionState | "signedOut";
  /** Since when, Unix milliseconds. */
  since: number;
  why?: Problem;
}

/** A line of the log of the connection. */
export interface Entry {
  at: number;
  text: string;
}

export class Session {
  readonly #connect: Connect;
  readonly #url: string;
  readonly #client = signal<Client | undefined>(undefined);
  readonly #connection = signal<Connection>({ state: "signedOut", since: Date.now() });
  readonly #info = signal<SessionInfo | undefined>(undefined);
  readonly #journal = signal<readonly Entry[]>([]);
  readonly #notice = signal<Entry | undefined>(undefined);
  readonly #pulse = new Pulse();
  #credentials: Credentials | undefined;
  #connecting: AbortController | undefined;
  #unsubscribe: (() => void) | undefined;
  #lostAt: number | undefined;

  constructor(connect: Connect, url: string) {
    this.#connect = connect;
    this.#url = url;
  }

  get client(): ReadonlySignal<Client | undefined> {
    return this.#client;
  }

  get connection(): ReadonlySignal<Connection> {
    return this.#connection;
  }

  /** What the last Welcome said. */
  get info(): ReadonlySignal<SessionInfo | undefined> {
    return this.#info;
  }

  /** What became of the connection, the latest first. */
  get journal(): ReadonlySignal<readonly Entry[]> {
    return this.#journal;
  }

  /** The latest good news, for a while. */
  get notice(): ReadonlySignal<Entry | undefined> {
    return this.#notice;
  }

  get credentials(): Credentials | undefined {
    return this.#credentials;
  }

  /** For how long an answer has been missing that should be here, or nothing. */
  readonly quietMs = computed<number | undefined>(() => {
    const askedAt = this.#pulse.askedAt.value;
    if (askedAt === undefined || this.#connection.value.state !== "open") return undefined;
    const quiet = now.value - askedAt;
    return quiet > PULSE_LATE_MS ? quiet : undefined;
  });

  /** Whether what is on screen may be older than it looks. */
  readonly isStale = computed<boolean>(() => {
    const { state } = this.#connection.value;
    if (state === "signedOut") return false;
    return (state !== "open" && state !== "draining") || this.quietMs.value !== undefined;
  });

  /** Opens a session. Rejects with what the form shows. */
  async signIn(credentials: Credentials): Promise<void> {
    this.#connecting?.abort();
    const connecting = new AbortController();
    this.#connecting = connecting;
    this.#credentials = credentials;
    this.#connection.value = { state: "connecting", since: Date.now() };
    try {
      const client = await this.#firstClient(credentials, connecting.signal);
      if (connecting.signal.aborted) {
        void client.close();
        return;
      }
      keep(credentials);
      this.#opened(client);
    } catch (error) {
      if (connecting.signal.aborted || isAborted(error)) return;
      this.#end(toProblem(error));
      throw error;
    }
  }

  /** Tries for as long as it takes, unless the node says no; says what each try met. */
  async #firstClient(credentials: Credentials, signal: AbortSignal): Promise<Client> {
    for (;;) {
      try {
        return await this.#connect({
          url: this.#url,
          token: credentials.token,
          ...(credentials.tenant === "" ? {} : { tenant: credentials.tenant }),
          agent: "console/0.1",
          signal,
        });
      } catch (error) {
        const why = toProblem(error);
        if (signal.aborted || why.code !== "unavailable") throw error;
        this.#connection.value = { ...this.#connection.peek(), why };
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Ends the session, or the try to open one. */
  async signOut(): Promise<void> {
    const client = this.#client.value;
    this.#connecting?.abort();
    this.#end();
    await client?.close().catch(() => undefined);
  }

  /** Lets the word go that the connection has resumed. */
  dismiss(): void {
    this.#notice.value = undefined;
  }

  #opened(client: Client): void {
    this.#unsubscribe = client.onState((state, why) => {
      this.#changed(client, state, why);
    });
    batch(() => {
      this.#client.value = client;
      this.#info.value = client.session;
      this.#connection.value = { state: client.state, since: Date.now() };
    });
    this.#note(`signed in at ${client.session?.node ?? "a node"}`);
    this.#pulse.start(client);
  }

  #changed(client: Client, state: ConnectionState, error: unknown): void {
    const at = Date.now();
    const why = error === undefined ? undefined : toProblem(error);
    if (state === "closed") {
      this.#end(why);
      return;
    }
    const before = this.#connection.value;
    batch(() => {
      // Tries that fail one after the other are one wait.
      const since = before.state === state ? before.since : at;
      this.#connection.value = { state, since, ...(why === undefined ? {} : { why }) };
      this.#info.value = client.session;
      if (state === "open") this.#reopened(client, at);
      else if (before.state !== state) this.#note(describe(state, why));
      if (state === "reconnecting" || state === "connecting") this.#lostAt ??= at;
    });
    if (state === "open") this.#pulse.reset();
  }

  #reopened(client: Client, at: number): void {
    if (this.#lostAt === undefined) return;
    const [node, waited] = [client.session?.node ?? "a node", span(at - this.#lostAt)];
    this.#lostAt = undefined;
    const text =
      client.session?.resumed === false
        ? `Connected to ${node} again after ${waited}, with a new session: the one before was no longer known.`
        : `Session resumed at ${node} after ${waited}. Nothing was missed.`;
    this.#notice.value = { at, text };
    this.#note(text);
  }

  #end(why?: Problem): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#pulse.stop();
    this.#lostAt = undefined;
    // Credentials that still hold are wanted again after a reload.
    if (why === undefined || why.code === "unauthenticated") forget();
    batch(() => {
      this.#client.value = undefined;
      this.#info.value = undefined;
      this.#notice.value = undefined;
      this.#connection.value = {
        state: "signedOut",
        since: Date.now(),
        ...(why === undefined ? {} : { why }),
      };
    });
    this.#note(why === undefined ? "signed out" : `session ended: ${why.message}`);
  }

  #note(text: string): void {
    this.#journal.value = [{ at: Date.now(), text }, ...this.#journal.value].slice(0, JOURNAL_MAX);
  }
}

function describe(state: ConnectionState, why: Problem | undefined): string {
  const because = why === undefined ? "" : `: ${why.message}`;
  switch (state) {
    case "connecting":
      return `connecting${because}`;
    case "open":
      return "connected";
    case "reconnecting":
      return `connection lost${because}`;
    case "draining":
      return `the node is draining${because}`;
    case "closed":
      return `closed${because}`;
  }
}
