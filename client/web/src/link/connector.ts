/**
 * Makes the connections of a session, one after the other: where to, how often, and with which credential. The driver
 * asks for a connection and says how it ended.
 */

import { SelvedgeError } from "../errors.js";
import { CONNECT_MS_MAX, REDIRECTS_AT_ONCE_MAX, TOKEN_BYTES_MAX } from "../limits.js";
import { reconnectMs } from "../session/backoff.js";
import { byteLength } from "../wire/base64.js";
import type { Opened, WebSocketConstructor } from "./race.js";
import { race } from "./race.js";
import type { Servers } from "./servers.js";

/** The credential, or where to get the one that is good now. */
export type Token = string | (() => string | Promise<string>);

/** A connection, and the credential to show on it. */
export interface Established extends Opened {
  token: string;
}

export class Connector {
  readonly servers: Servers;
  readonly #make: WebSocketConstructor;
  readonly #token: Token;
  /** Connections in a row that did not last. */
  #attempts = 0;
  #isFirst = true;
  #wake: (() => void) | undefined;

  constructor(servers: Servers, make: WebSocketConstructor, token: Token) {
    this.servers = servers;
    this.#make = make;
    this.#token = token;
  }

  /** One attempt, after a pause. Rejects with why there is no connection. */
  async establish(signal: AbortSignal): Promise<Established> {
    await this.#pause(signal);
    this.#attempts += 1;
    const token = await this.#credential(signal);
    const opened = await race(this.#make, this.servers.round(Math.random), signal);
    this.servers.connected(opened.url);
    return { ...opened, token };
  }

  /** The connection was a good one: the next is tried at once. */
  lasted(): void {
    this.#attempts = 0;
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

  async #credential(signal: AbortSignal): Promise<string> {
    const token = typeof this.#token === "string" ? this.#token : await this.#fresh(signal);
    if (typeof token !== "string" || byteLength(token) > TOKEN_BYTES_MAX) {
      const message = `the token is no text of at most ${TOKEN_BYTES_MAX} bytes`;
      throw new SelvedgeError("invalid", message, { field: "token" });
    }
    return token;
  }

  /** What the program's function says, unless it takes too long. */
  async #fresh(signal: AbortSignal): Promise<unknown> {
    const ask = async (): Promise<unknown> =>
      typeof this.#token === "string" ? "" : this.#token();
    try {
      const late = this.#sleep(CONNECT_MS_MAX, signal).then(() => Promise.reject(TOO_LATE));
      return await Promise.race([ask(), late]);
    } catch (cause) {
      const message = `the function that gives the token failed: ${String(cause)}`;
      throw new SelvedgeError("unavailable", message, { field: "token", cause });
    } finally {
      this.#wake?.();
    }
  }
}

const TOO_LATE = new Error("it takes too long");
