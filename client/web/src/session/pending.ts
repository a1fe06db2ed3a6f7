/** Requests: kept until they are answered, sent again with patience. The machine's; it decides when nothing happens. */

import type { Failure } from "../errors.js";
import { mayBeRetried } from "../errors.js";
import type { Command, Query } from "../wire/frames.js";
import { backoffMs } from "./backoff.js";

/** A request that is not answered. */
export class Pending<C> {
  /** Refused for the moment: waits to be sent again. */
  isParked = false;
  #attempts = 0;
  #waitedMs = 0;

  constructor(
    /** It gets its number when it is sent for the first time. */
    readonly frame: Command | Query,
    /** How long refusals that may be retried are retried, in all. */
    readonly retryMs: number,
    /** Who waits for the answer; nobody any more where the caller has left. */
    public ticket: C | undefined,
  ) {}

  /** How long to wait before this is sent again, or nothing if the refusal is the answer. */
  waitMs(failure: Failure, random: number): number | undefined {
    if (!mayBeRetried(failure.code) || this.ticket === undefined) return undefined;
    const wait = Math.max(backoffMs(this.#attempts + 1, random), failure.retryAfterMs ?? 0);
    if (this.#waitedMs + wait > this.retryMs) return undefined;
    this.#attempts += 1;
    this.#waitedMs += wait;
    this.isParked = true;
    return wait;
  }
}

/**
 * Whether a repeat in another session is recognised: by the id that its caller chose, because operations know their
 * own submissions and cancellations again, or because commands to the cluster say what shall be and not what to change.
 */
export function isRecognised(frame: Command | Query): boolean {
  const { target } = frame;
  return (
    ("id" in frame && frame.id !== undefined) ||
    target === "cluster" ||
    (typeof target === "object" && "operation" in target)
  );
}
