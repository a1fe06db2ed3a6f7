/**
 * The session of this tab: signs in and out, follows the state of the connection, and says what became of it.
 * The shell makes one; views take its client and ask it whether what they show may be stale. It never retries
 * by itself: that is the SDK's.
 */

import { batch, computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { JOURNAL_MAX, PULSE_LATE_MS, RENEWED_MS, RETRY_MS } from "../bounds.js";
import { now } from "../data/clock.js";
import { span } from "../format.js";
import { isAborted, toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import { forget, keep } from "./credentials.js";
import type { Credentials } from "./credentials.js";
import { isOver, Login } from "./login.js";
import type { OAuth, Returned } from "./oauth.js";
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
  readonly #oauth: OAuth;
  readonly #client = signal<Client | undefined>(undefined);
  readonly #connection = signal<Connection>({ state: "signedOut", since: Date.now() });
  readonly #info = signal<SessionInfo | undefined>(undefined);
  readonly #journal = signal<readonly Entry[]>([]);
  readonly #notice = signal<Entry | undefined>(undefined);
  readonly #pulse = new Pulse();
  #credentials: Credentials | undefined;
  /** Of who is signed in with a password. */
  #login: Login | undefined;
  /** The token that the connection was opened with. */
  #shown: string | undefined;
  /** While the connection is made anew with the next token of the login. */
  #renewing: { since: number; timer: ReturnType<typeof setTimeout> } | undefined;
  #connecting: AbortController | undefined;
  #unsubscribe: (() => void) | undefined;
  #lostAt: number | undefined;

  constructor(connect: Connect, url: string, oauth: OAuth) {
    this.#connect = connect;
    this.#url = url;
    this.#oauth = oauth;
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

  /** How somebody signs in with a password. */
  get oauth(): OAuth {
    return this.#oauth;
  }

  /** The token that is good now. */
  async token(): Promise<string | undefined> {
    try {
      return (await this.#login?.token()) ?? this.#credentials?.token;
    } catch (error) {
      if (isOver(error)) this.#over(toProblem(error));
      throw error;
    }
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
    this.#adopt(credentials);
    this.#connection.value = { state: "connecting", since: Date.now() };
    try {
      const client = await this.#firstClient(credentials, connecting.signal);
      if (connecting.signal.aborted) {
        void client.close();
        return;
      }
      if (this.#credentials !== undefined) keep(this.#credentials);
      this.#opened(client);
    } catch (error) {
      if (connecting.signal.aborted || isAborted(error)) return;
      this.#end(toProblem(error));
      throw error;
    }
  }

  /** Whether the credentials of before may still hold. */
  get canReturn(): boolean {
    const hasToken = this.#credentials !== undefined && this.#credentials.token !== "";
    return hasToken && this.#connection.value.state === "signedOut";
  }

  /** Opens another session with the credentials of before. */
  async signInAgain(): Promise<void> {
    if (this.#credentials !== undefined) await this.signIn(this.#credentials);
  }

  /** Goes on from the node's own page, where somebody has shown a password or has not. */
  async comeBack(returned: Returned): Promise<void> {
    this.#connection.value = { state: "connecting", since: Date.now() };
    try {
      const { credentials, hash } = await this.#oauth.finish(returned);
      // It is good once: a reload must find what came of it.
      keep(credentials);
      if (hash !== "") location.hash = hash;
      await this.signIn(credentials);
    } catch (error) {
      if (this.#connection.peek().state !== "signedOut") this.#end(toProblem(error));
      throw error;
    }
  }

  #adopt(credentials: Credentials): void {
    this.#credentials = credentials;
    const { renewal } = credentials;
    if (renewal === undefined) {
      this.#login = undefined;
      return;
    }
    const login = new Login(this.#oauth, { ...credentials, renewal }, (next) => {
      // Somebody who has left in the meantime is not remembered.
      if (this.#login !== login) return;
      this.#credentials = next;
      keep(next);
    });
    this.#login = login;
  }

  /** Tries for as long as it takes, unless the node says no; says what each try met. */
  async #firstClient(credentials: Credentials, signal: AbortSignal): Promise<Client> {
    for (;;) {
      try {
        return await this.#connect({
          url: this.#url,
          token: credentials.renewal === undefined ? credentials.token : this.#good,
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

  /** What the SDK asks before each connection. */
  readonly #good = async (): Promise<string> => {
    this.#shown = await this.token();
    return this.#shown ?? "";
  };

  /** Ends the session, or the try to open one; and the login that it came from. */
  async signOut(): Promise<void> {
    const [client, login] = [this.#client.value, this.#login];
    this.#connecting?.abort();
    this.#end();
    await client?.close().catch(() => undefined);
    try {
      await login?.revoke();
    } catch (error) {
      const why = toProblem(error);
      const message = `signed out here, but the node was not told: ${why.message}`;
      if (this.#connection.peek().state !== "signedOut") return;
      this.#connection.value = { ...this.#connection.peek(), why: { code: why.code, message } };
      this.#note(message);
    }
  }

  /** The login is over, whatever the connection is. */
  #over(why: Problem): void {
    const client = this.#client.value;
    this.#connecting?.abort();
    this.#end(why);
    void client?.close().catch(() => undefined);
  }

  /** Lets the word go that the connection has resumed. */
  dismiss(): void {
    this.#notice.value = undefined;
  }

  #opened(client: Client): void {
    this.#unsubscribe = client.onState((state, why) => {
      if (!this.#isRenewal(client, state, why)) this.#changed(client, state, why);
    });
    batch(() => {
      this.#client.value = client;
      this.#info.value = client.session;
      this.#connection.value = { state: client.state, since: Date.now() };
    });
    this.#note(`signed in at ${client.session?.node ?? "a node"}`);
    this.#pulse.start(client);
  }

  /**
   * Whether it is nothing to tell of: every few minutes the token ends, and the connection is made anew with the next.
   * What takes longer than a moment is told like any other loss.
   */
  #isRenewal(client: Client, state: ConnectionState, error: unknown): boolean {
    if (this.#renewing !== undefined) {
      const { since } = this.#renewing;
      this.#renewed();
      if (state !== "open" || client.session?.resumed !== true) {
        this.#lostAt ??= since;
        return false;
      }
      this.#info.value = client.session;
      this.#note("went on with the next token");
      this.#pulse.reset();
      return true;
    }
    const isOpen = this.#connection.peek().state === "open";
    const hasEnded = isOpen && state === "reconnecting" && isOver(error);
    if (!hasEnded || this.#login === undefined) return false;
    this.#login.spoil(this.#shown);
    const timer = setTimeout(() => {
      this.#renewing = undefined;
      this.#changed(client, state, error);
    }, RENEWED_MS);
    this.#renewing = { since: Date.now(), timer };
    return true;
  }

  #renewed(): void {
    clearTimeout(this.#renewing?.timer);
    this.#renewing = undefined;
  }

  #changed(client: Client, state: ConnectionState, error: unknown): void {
    const at = Date.now();
    const why = error === undefined ? undefined : toProblem(error);
    if (state === "closed") {
      // Who was let in and may not stay was closed, or may less now: to sign in again shows which.
      const isClosed = why?.code === "permission_denied";
      this.#end(isClosed ? { ...why, code: "session_closed" } : why);
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
    this.#renewed();
    this.#login = undefined;
    // Credentials that still hold are wanted again, also after a reload.
    if (why === undefined || why.code === "unauthenticated") {
      forget();
      this.#credentials = { token: "", tenant: this.#credentials?.tenant ?? "" };
    }
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
