/** Subscriptions that are held: on the server, waiting to be asked for again, or halted by a slow consumer. The machine's. */

import type { ClientFrame, Since, Target } from "../wire/frames.js";
import { backoffMs } from "./backoff.js";
import { Cursor } from "./cursor.js";

/** A subscription. Its number changes when it goes on after a halt, so that what was on its way can be told apart. */
export class Subscription<S> {
  number = 0;
  readonly cursor: Cursor;
  /** Refused for the moment: waits to be sent again. */
  isParked = false;
  /** The position that the server was told. */
  reported = 0;
  #attempts = 0;
  #endedAt: Since | undefined;

  constructor(
    readonly target: Target,
    since: Since,
    readonly ticket: S,
  ) {
    this.cursor = new Cursor(since);
  }

  frame(): ClientFrame {
    this.isParked = false;
    const { number: subscription, target, cursor } = this;
    return { type: "subscribe", subscription, target, since: cursor.since };
  }

  /** It was refused, or ended, for the moment: how long to wait before it is asked for again. */
  waitMs(random: number): number {
    const { since } = this.cursor;
    // Something has come since the last time, so this trouble is a new one.
    if (this.#endedAt !== since) this.#attempts = 0;
    this.#endedAt = since;
    this.#attempts += 1;
    this.isParked = true;
    return backoffMs(this.#attempts, random);
  }
}

export class Subscriptions<S> {
  /** What the server has, or is to have. */
  readonly active = new Map<number, Subscription<S>>();
  readonly #halted = new Set<Subscription<S>>();
  #next = 1;

  get size(): number {
    return this.active.size + this.#halted.size;
  }

  add(subscription: Subscription<S>): void {
    this.#halted.delete(subscription);
    subscription.number = this.#next;
    this.#next += 1;
    this.active.set(subscription.number, subscription);
  }

  /** Whether the server is to be told that it ends. */
  halt(subscription: Subscription<S>): boolean {
    const wasActive = this.active.delete(subscription.number);
    if (wasActive) this.#halted.add(subscription);
    return wasActive;
  }

  isHalted(subscription: Subscription<S>): boolean {
    return this.#halted.has(subscription);
  }

  /** Whether the server is to be told. */
  end(subscription: Subscription<S>): boolean {
    this.#halted.delete(subscription);
    return this.active.delete(subscription.number);
  }

  *all(): Generator<Subscription<S>> {
    yield* this.active.values();
    yield* this.#halted;
  }
}
