/**
 * WebTransport as a better way to a server than its WebSocket: tried first, and left alone for a while where it was of
 * no use, so that a network which lets no UDP through costs nothing. Its code is loaded when it is tried.
 */

import { PLAIN_MS, PLAIN_SERVERS_MAX } from "../limits.js";
import type { Kit } from "../wire/binary/codec.js";
import type { Transport } from "./link.js";
import type { Candidate } from "./race.js";
import type { WebTransportConstructor } from "./webtransport.js";

export class Upgrade {
  readonly #make: WebTransportConstructor;
  readonly #kit: Kit;
  /** Servers that were begun with since they were last asked for. */
  readonly #tried = new Set<string>();
  /** Servers that are left alone, and until when. */
  readonly #plain = new Map<string, number>();

  constructor(make: WebTransportConstructor, kit: Kit) {
    this.#make = make;
    this.#kit = kit;
  }

  /** This way to a server, unless it is left alone. */
  candidate(url: string): Candidate[] {
    this.#tried.delete(url);
    if ((this.#plain.get(url) ?? 0) > performance.now()) return [];
    const open: Candidate["open"] = async (signal) => {
      this.#tried.add(url);
      const { openWebTransport } = await import("./webtransport.js");
      return openWebTransport(this.#kit, this.#make, url, signal);
    };
    return [{ url, open }];
  }

  /** There is a connection to this server: if it is a WebSocket although this was tried, this is no use. */
  opened(url: string, transport: Transport): void {
    if (transport === "websocket" && this.#tried.has(url)) this.leave(url);
  }

  /** It is left alone for a while. */
  leave(url: string): void {
    this.#plain.delete(url);
    this.#plain.set(url, performance.now() + PLAIN_MS);
    for (const first of this.#plain.keys()) {
      if (this.#plain.size > PLAIN_SERVERS_MAX) this.#plain.delete(first);
    }
  }
}
