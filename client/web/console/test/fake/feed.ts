/** Events of one actor or operation of the fake cluster: stored, and handed to whoever follows. */

import type { Item, Items, Since } from "../../src/session/port.js";

export class Feed {
  readonly #stored: Extract<Item, { type: "event" }>[] = [];
  readonly #followers = new Set<(item: Item) => void>();

  get seq(): number {
    return this.#stored.length;
  }

  get followers(): number {
    return this.#followers.size;
  }

  append(kind: string, data: unknown, time = new Date()): void {
    const item = { type: "event", seq: this.seq + 1, kind, time, data } as const;
    this.#stored.push(item);
    this.hand(item);
  }

  /** What is not stored, or a gap. */
  hand(item: Item): void {
    for (const follower of [...this.#followers]) follower(item);
  }

  /** Items from a position on, for as long as somebody asks. */
  follow({ after = "latest" }: Since = {}): Items {
    const waiting: Item[] = after === "latest" ? [] : this.#stored.slice(after);
    let wake: (() => void) | undefined;
    let isClosed = false;
    const follower = (item: Item): void => {
      waiting.push(item);
      wake?.();
    };
    this.#followers.add(follower);
    const close = (): void => {
      isClosed = true;
      this.#followers.delete(follower);
      wake?.();
    };
    return {
      close,
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) {
            const item = waiting.shift();
            if (item !== undefined) yield item;
            else if (isClosed) return;
            else await new Promise<void>((resolve) => (wake = resolve));
          }
        } finally {
          close();
        }
      },
    };
  }
}
