/**
 * Something that is asked for again and again while it is on screen: its last value, of when it is, and what
 * went wrong last. Views own one each and dispose of it; it never asks twice at a time, nor in a hidden tab.
 */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { LATE_MS } from "../bounds.js";
import { isAborted, toProblem } from "../problem.js";
import type { Problem } from "../problem.js";

export class Polled<T> {
  readonly #ask: (signal: AbortSignal) => Promise<T>;
  readonly #everyMs: number;
  readonly #value = signal<T | undefined>(undefined);
  readonly #at = signal<number | undefined>(undefined);
  readonly #problem = signal<Problem | undefined>(undefined);
  #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAsking = false;
  /** Times that it was wanted. */
  #wanted = 0;

  /** Begins at once. */
  constructor(everyMs: number, ask: (signal: AbortSignal) => Promise<T>) {
    this.#ask = ask;
    this.#everyMs = everyMs;
    document.addEventListener("visibilitychange", this.#seen);
    this.refresh();
  }

  get value(): ReadonlySignal<T | undefined> {
    return this.#value;
  }

  /** When the value came, Unix milliseconds. */
  get at(): ReadonlySignal<number | undefined> {
    return this.#at;
  }

  /** What the last try met; undefined once it has succeeded again. */
  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem;
  }

  /** Whether the value is older than it should be. */
  isLate(now: number): boolean {
    const at = this.#at.value;
    return at !== undefined && now - at > this.#everyMs + LATE_MS;
  }

  /** Asks now, or once more after the answer that is awaited. */
  refresh(): void {
    if (this.#abort.signal.aborted) return;
    this.#wanted += 1;
    if (this.#isAsking) return;
    clearTimeout(this.#timer);
    void this.#round();
  }

  /** Asks anew, without what is on its way: the question has changed. */
  restart(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#isAsking = false;
    this.#value.value = undefined;
    this.#at.value = undefined;
    this.refresh();
  }

  dispose(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#seen);
  }

  async #round(): Promise<void> {
    const { signal } = this.#abort;
    const wanted = this.#wanted;
    this.#isAsking = true;
    try {
      const value = await this.#ask(signal);
      if (signal.aborted) return;
      this.#value.value = value;
      this.#at.value = Date.now();
      this.#problem.value = undefined;
    } catch (error) {
      if (signal.aborted) return;
      if (!isAborted(error)) this.#problem.value = toProblem(error);
    }
    this.#isAsking = false;
    if (this.#wanted !== wanted) this.refresh();
    else this.#timer = setTimeout(this.#due, this.#everyMs);
  }

  readonly #due = (): void => {
    if (!document.hidden) this.refresh();
  };

  readonly #seen = (): void => {
    if (!document.hidden) this.refresh();
  };
}
