/**
 * Where a subscription stands: which event is the next, which is a repeat, which one skips. The machine asks it with
 * every event and gap, and where to go on after a reconnect.
 */

import type { Since } from "../wire/frames.js";

/**
 * What to do with an event or gap: hand it over; drop it, it was handed over before; or, as events before it are
 * missing, which is a defect of the peer, go on from the position over a new connection.
 */
export type Verdict = "next" | "repeat" | "skip";

export class Cursor {
  #since: Since;
  /** Whether the next event must be the one right after the position. */
  #isExact: boolean;

  constructor(since: Since) {
    this.#since = since;
    this.#isExact = since !== "latest";
  }

  /** Where to go on from. */
  get since(): Since {
    return this.#since;
  }

  event(seq: number): Verdict {
    if (this.#since !== "latest") {
      if (seq <= this.#since.after) return "repeat";
      if (this.#isExact && seq !== this.#since.after + 1) return "skip";
    }
    this.#advance(seq);
    return "next";
  }

  /** A gap may go back, if it does from here: the actor has ended and its events begin anew. */
  gap(after: number, seq: number): Verdict {
    if (this.#since !== "latest") {
      const position = this.#since.after;
      if (seq === position || (seq < position && after !== position)) return "repeat";
    }
    this.#advance(seq);
    return "next";
  }

  /** The server began at `seq`: a subscription to what is latest that breaks before its first event goes on there. */
  beganAt(seq: number): void {
    // Not exact: the server may have read the seq a moment before it began to listen.
    if (this.#since === "latest") this.#since = { after: seq };
  }

  #advance(seq: number): void {
    this.#since = { after: seq };
    this.#isExact = true;
  }
}
