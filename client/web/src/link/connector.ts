/**
 * Makes the connections of a session, one after the other: where to, how often, and with which credential. The driver
 * asks for a connection and says how it ended.
 */

import { SelvedgeError } from "../errors.js";
import { invalid } from "../ids.js";
import { CONNECT_MS_MAX, REDIRECTS_AT_ONCE_MAX, TOKEN_BYTES_MAX } from "../limits.js";
import { reconnectMs } from "../session/backoff.js";
import { byteLength } from "../wire/base64.js";
import type { Link } from "./link.js";
import type { Candidate } from "./race.js";
import { race } from "./race.js";
import type { Servers } from "./servers.js";
import type { Upgrade } from "./upgrade.js";
import type { WebSocketConstructor } from "./websocket.js";
import { openWebSocket } from "./websocket.js";

/** The credential, or where to get the one that is good now. */
export type Token = string | (() => string | Promise<string>);

/** A connection, and the credential to show on it. */
export interface Established {
  link: Link;
  token: string;
}

export class Connector {
  readonly servers: Servers;
  readonly #make: WebSocketConstructor;
  readonly #upgrade: Upgrade | undefined;
  readonly #token: () => Promise<unknown>;
  /** Connections in a row that did not last. */
  #attempts = 0;
  #isFirst = true;
  #wake: (() => void) | undefined;

  /** `make` is for the way that is always there, `upgrade` a better one. */
  constructor(
    servers: Servers,
    token: Token,
    make: WebSocketConstructor,
    upgrade: Upgrade | undefined,
  ) {
    this.servers = servers;
    this.#token = async () => (typeof token === "function" ? token() : token);
    this.#make = make;
    this.#upgrade = upgrade;
  }

  /** One attempt, after a pause. Rejects with why there is no connection. */
  async establish(signal: AbortSignal): Promise<Established> {
    await this.#pause(signal);
    this.#attempts += 1;
    const token = await this.#credential(signal);
    const candidates = this.servers
      .round(Math.random)
      .flatMap((url): Candidate[] => [
        ...(this.#upgrade?.candidate(url) ?? []),
        { url, open: (ending) => openWebSocket(this.#make, url, ending) },
      ]);
    const { link, url } = await race(candidates, signal);
    this.servers.connected(url);
    this.#upgrade?.opened(url, link.transport);
    return { link, token };
  }

  /** The connection was a good one: the next is tried at once. */
  lasted(): void {
    this.#attempts = 0;
  }

  /** It was not, or was of no use: if it was an upgrade, the next is none. */
  spoilt({ transport }: Link): void {
    if (transport === "webtransport") this.#upgrade?.leave(String(this.servers));
  }

  /** The network may be back: what waits for its time is tried now. */
  hurry(): void {
    this.#wake?.();
  }

  /** A redirect is followed at once, unless one follows another. */
  async #pause(signal: AbortSignal): Promise<void> {
    const isAtOnce =
      this.#isFirst ||
      (this.servers.isRedirected && this.#attempts <= REDIRECTS_AT_ONCE_MAX) ||
      signal.aborted;
    this.#isFirst = false;
    if (!isAtOnce) await this.#sleep(reconnectMs(this.#attempts, Math.random()), signal);
  }

  /** Until it is woken, or the client stops. */
  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener("abort", wake);
      this.#wake = wake;
    });
  }

  /** What the program or its function says, unless it takes too long. */
  async #credential(signal: AbortSignal): Promise<string> {
    let token: unknown;
    try {
      const late = this.#sleep(CONNECT_MS_MAX, signal).then(() => Promise.reject(TOO_LATE));
      token = await Promise.race([this.#token(), late]);
    } catch (cause) {
      const message = `the token's function failed: ${String(cause)}`;
      throw new SelvedgeError("unavailable", message, { field: "token", cause });
    } finally {
      this.#wake?.();
    }
    if (typeof token !== "string" || byteLength(token) > TOKEN_BYTES_MAX) {
      throw invalid("token", `text of at most ${TOKEN_BYTES_MAX} bytes`);
    }
    return token;
  }
}

const TOO_LATE = new Error("it takes too long");
