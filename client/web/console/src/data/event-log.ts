/**
 * The last events of an actor or operation while somebody looks: reads a subscription of the SDK, which goes on
 * over reconnects by itself, and keeps what fits. Views own one each and dispose of it.
 */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { EVENTS_MAX } from "../bounds.js";
import { toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import type { Item, Items } from "../session/port.js";

/** A line of a log. Ephemeral messages are no events and no part of it. */
export type Line = Exclude<Item, { type: "ephemeral" }>;

export interface Listener {
  /** Each item as it comes. */
  item?: (item: Item) => void;
}

export class EventLog {
  readonly #lines = signal<readonly Line[]>([]);
  readonly #problem = signal<Problem | undefined>(undefined);
  readonly #dropped = signal(0);
  readonly #items: Items;
  readonly #listener: Listener;
  #waiting: Line[] = [];
  #isDisposed = false;

  constructor(items: Items, listener: Listener = {}) {
    this.#items = items;
    this.#listener = listener;
    void this.#run();
  }

  /** In the order of their seqs. */
  get lines(): ReadonlySignal<readonly Line[]> {
    return this.#lines;
  }

  /** Lines that were here and made room for later ones. */
  get dropped(): ReadonlySignal<number> {
    return this.#dropped;
  }

  /** Why no more will come. */
  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem;
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#items.close();
  }

  async #run(): Promise<void> {
    try {
      for await (const item of this.#items) {
        if (this.#isDisposed) return;
        if (item.type !== "ephemeral") this.#append(item);
        this.#listener.item?.(item);
      }
    } catch (error) {
      if (!this.#isDisposed) this.#problem.value = toProblem(error);
    }
  }

  /** Many lines that come at once are one change of the page. */
  #append(line: Line): void {
    this.#waiting.push(line);
    if (this.#waiting.length > 1) return;
    queueMicrotask(() => {
      setTimeout(() => {
        const lines = [...this.#lines.value, ...this.#waiting];
        this.#waiting = [];
        const over = Math.max(0, lines.length - EVENTS_MAX);
        this.#dropped.value += over;
        this.#lines.value = lines.slice(over);
      }, 0);
    });
  }
}
