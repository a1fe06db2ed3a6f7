/**
 * A list that is read in pages by cursor: the page that is shown is asked for again and again, the others are where
 * one goes back or on to. Views own one for each filter and dispose of it.
 */

import { computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { list, members, text } from "../json.js";
import { Polled } from "./poll.js";

export interface Page<T> {
  items: T[];
  /** Where the next one begins, if there is one. */
  cursor: string | undefined;
}

/** A page as the API has it. */
export function readPageOf<T>(value: unknown, read: (item: unknown) => T): Page<T> {
  const page = members(value);
  return { items: list(page["items"]).map(read), cursor: text(page["cursor"]) };
}

export class Pages<T> {
  readonly page: Polled<Page<T>>;
  /** Cursors of the pages before this one, and its own. */
  readonly #cursors = signal<readonly (string | undefined)[]>([undefined]);

  /** Begins at once with the first. */
  constructor(
    everyMs: number,
    read: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  ) {
    this.page = new Polled(everyMs, (signal) => read(this.#cursors.peek().at(-1), signal));
  }

  /** What is on the page, once it is known. */
  readonly items: ReadonlySignal<readonly T[] | undefined> = computed(
    () => this.page.value.value?.items,
  );

  /** Counts from 1. */
  readonly number: ReadonlySignal<number> = computed(() => this.#cursors.value.length);

  readonly hasNext: ReadonlySignal<boolean> = computed(
    () => this.page.value.value?.cursor !== undefined,
  );

  next(): void {
    const cursor = this.page.value.peek()?.cursor;
    if (cursor === undefined) return;
    this.#cursors.value = [...this.#cursors.peek(), cursor];
    this.page.restart();
  }

  previous(): void {
    if (this.#cursors.peek().length < 2) return;
    this.#cursors.value = this.#cursors.peek().slice(0, -1);
    this.page.restart();
  }

  /** Something was changed. */
  refresh(): void {
    this.page.refresh();
  }

  dispose(): void {
    this.page.dispose();
  }
}
