/**
 * Does something soon, once for all who ask meanwhile, and never twice at a time: what follows a burst of events
 * is one question.
 */

import { SETTLE_MS } from "../bounds.js";

export class Settle {
  readonly #work: () => Promise<void>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isAtWork = false;
  /** Times that it was wanted. */
  #wanted = 0;
  #isDisposed = false;

  /** `work` never rejects. */
  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  soon(): void {
    this.#wanted += 1;
    if (this.#isAtWork || this.#isDisposed) return;
    this.#timer ??= setTimeout(() => void this.#run(), SETTLE_MS);
  }

  dispose(): void {
    this.#isDisposed = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    const wanted = this.#wanted;
    this.#isAtWork = true;
    await this.#work();
    this.#isAtWork = false;
    if (this.#wanted !== wanted) this.soon();
  }
}
