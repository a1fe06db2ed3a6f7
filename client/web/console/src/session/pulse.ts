/**
 * Asks for a sign of life again and again, through session, node and store, so that silence is seen where the
 * connection looks open. The session owns one and compares when it asked with the present.
 */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { PULSE_MS } from "../bounds.js";
import type { Client } from "./port.js";

/** A list of one key: what the cheapest answer costs that a store has to give. */
const KIND = "room";

export class Pulse {
  readonly #askedAt = signal<number | undefined>(undefined);
  #client: Client | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round = 0;

  /** When the sign was asked for that is awaited now. */
  get askedAt(): ReadonlySignal<number | undefined> {
    return this.#askedAt;
  }

  start(client: Client): void {
    this.stop();
    this.#client = client;
    document.addEventListener("visibilitychange", this.#seen);
    this.#ask();
  }

  /** What is awaited is counted anew: the connection has changed. */
  reset(): void {
    if (this.#client !== undefined) this.#ask();
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.#seen);
    clearTimeout(this.#timer);
    this.#client = undefined;
    this.#askedAt.value = undefined;
    this.#round += 1;
  }

  #ask(): void {
    clearTimeout(this.#timer);
    const client = this.#client;
    if (client === undefined) return;
    this.#round += 1;
    const round = this.#round;
    this.#askedAt.value = Date.now();
    // A refusal is a sign of life as well.
    void client.actors
      .list(KIND, { limit: 1 })
      .catch(() => undefined)
      .then(() => {
        if (round !== this.#round) return;
        this.#askedAt.value = undefined;
        this.#timer = setTimeout(this.#due, PULSE_MS);
      });
  }

  readonly #due = (): void => {
    // A hidden tab is throttled and would blame the node.
    if (!document.hidden) this.#ask();
  };

  readonly #seen = (): void => {
    if (document.hidden) this.#askedAt.value = undefined;
    else this.#ask();
  };
}
