/**
 * Which servers a session may go on at, and in which order they are tried. Pure: the driver asks it, and says what
 * came of it.
 */

import type { SelvedgeError } from "../errors.js";
import { invalid } from "../ids.js";
import { SERVERS_MAX } from "../limits.js";
import { isServer } from "../session/extensions.js";

/** Addresses of servers, each the whole of a WebSocket's: at most 16 by name and 16 from the cluster, and two more. */
export class Servers {
  /** As the program named them; never empty. */
  readonly #named: string[];
  /** What the cluster told last of others. */
  #told: string[] = [];
  /** Where the session is or was last. */
  #current: string | undefined;
  /** Whether it sent us away or fell silent: any other is better. */
  #isLeft = false;
  /** Where the server sent us, for one round. */
  #redirect: string | undefined;

  /** Throws where one of them is no address of a WebSocket. */
  constructor(urls: string | readonly string[]) {
    const named = typeof urls === "string" ? [urls] : urls;
    if (named.length === 0 || named.length > SERVERS_MAX) {
      throw wrong();
    }
    this.#named = [...new Set(named.map(checked))];
  }

  get isRedirected(): boolean {
    return this.#redirect !== undefined;
  }

  /** Where the session is or was last; before there was a connection, all that were named. */
  toString(): string {
    return this.#current ?? this.#named.join(", ");
  }

  /**
   * The servers to try now, each once: where we were sent; where we were, unless there is a reason not to; the others;
   * at last where we were. Before there was a session the others come as they were named, later in an order of chance,
   * so that the clients of a node that is lost do not all go to the same.
   */
  round(random: () => number): string[] {
    const current = this.#current;
    const known = [...this.#named, ...this.#told];
    const others = current === undefined ? known : shuffled(known, random);
    const first = this.#isLeft ? undefined : current;
    const round = [this.#redirect, first, ...others.filter((other) => other !== current), current];
    this.#redirect = undefined;
    return [...new Set(round.filter((url) => url !== undefined))];
  }

  /** There is a connection to this server. */
  connected(url: string): void {
    this.#current = url;
    this.#isLeft = false;
  }

  /** The cluster told of others, each `host:port`. Without any, those that were told before stand. */
  learn(servers: string[]): void {
    if (servers.length > 0) this.#told = servers.slice(0, SERVERS_MAX).map((to) => this.#at(to));
  }

  /** Any other server is better now than the one where we were. */
  leave(): void {
    this.#isLeft = true;
  }

  /**
   * The server sent us there. It may be all that is left of those that are known, so it is remembered until the
   * cluster tells of others.
   */
  redirect(server: string): void {
    this.leave();
    if (!isServer(server)) return;
    const url = this.#at(server);
    this.#redirect = url;
    if (!this.#told.includes(url)) this.#told = [url, ...this.#told].slice(0, SERVERS_MAX);
  }

  /** The address of another server: it is spoken to as this one is. */
  #at(server: string): string {
    const url = new URL(this.#current ?? this.#named[0] ?? "");
    return `${url.protocol}//${server}${url.pathname}${url.search}`;
  }
}

function checked(text: string): string {
  try {
    const url = new URL(text);
    url.protocol = url.protocol.replace("http", "ws");
    if (/^wss?:$/.test(url.protocol) && url.hash + url.username + url.password === "") {
      return url.href;
    }
  } catch {
    // It is no address at all.
  }
  throw wrong();
}

/** What is wrong is not repeated: it may hold a password. */
function wrong(): SelvedgeError {
  const message = `name 1 to ${SERVERS_MAX} servers, each as in wss://node-1.example/ws, without a name, password or #`;
  return invalid("url", message);
}

/** In an order of chance. */
function shuffled(items: string[], random: () => number): string[] {
  const drawn = items.map((item): [number, string] => [random(), item]);
  return drawn.sort(([one], [other]) => one - other).map(([, item]) => item);
}
