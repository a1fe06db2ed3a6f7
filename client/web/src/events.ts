/** Events of an actor or operation, as a program iterates over them. Each is a listener of the driver's. */

import { aborted, closed } from "./call.js";
import type { Driver, Listener } from "./driver.js";
import { SelvedgeError } from "./errors.js";
import { checkedTarget, invalid } from "./ids.js";
import { EVENTS_AHEAD_MAX } from "./limits.js";
import type { Item } from "./session/machine.js";
import type { Subscription } from "./session/subscriptions.js";
import type { Since, Target } from "./wire/frames.js";

export interface EventsOptions {
  /** The seq after which to begin, 0 for the beginning; or with the next event, which is what is done where nothing is said. */
  after?: number | "latest" | undefined;
  /** Ends the iteration with an error. */
  signal?: AbortSignal | undefined;
}

interface Waiting {
  resolve: (result: IteratorResult<Item, undefined>) => void;
  reject: (error: SelvedgeError) => void;
}

/**
 * Events in order, without gap or repeat, across reconnects. Leaving the loop ends the subscription, as does `close`.
 *
 * A consumer that is slow holds at most 256 of them here; past that the server is asked to stop, and to go on from the
 * same place once half of them are taken. Ephemeral messages are lost when it is behind.
 */
export class Events implements AsyncIterableIterator<Item, undefined> {
  /** The position after which events come, once the server has accepted the subscription. */
  readonly ready: Promise<number>;
  readonly #driver: Driver;
  readonly #isLast: (item: Item) => boolean;
  readonly #items: Item[] = [];
  readonly #waiting: Waiting[] = [];
  #settle: { resolve: (seq: number) => void; reject: (error: SelvedgeError) => void } | undefined;
  #subscription: Subscription<Listener> | undefined;
  #isHalted = false;
  #isOver = false;
  #error: SelvedgeError | undefined;
  readonly #signal: AbortSignal | undefined;

  /** @internal `isLast`: after which item nothing comes. */
  constructor(
    driver: Driver,
    target: Target,
    options: EventsOptions,
    isLast: (item: Item) => boolean = () => false,
  ) {
    this.#driver = driver;
    this.#isLast = isLast;
    this.#signal = options.signal;
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Whoever does not look at it hears of the error by iterating.
    this.ready.catch(() => undefined);
    const since = checkedSince(options.after);
    const to = checkedTarget(target);
    if (driver.state === "closed") throw closed();
    if (this.#signal?.aborted === true) throw aborted(this.#signal);
    this.#signal?.addEventListener("abort", this.#abort);
    this.#subscription = driver.machine.subscribe(to, since, {
      subscribed: (seq) => {
        this.#settle?.resolve(seq);
      },
      take: (item) => this.#take(item),
      end: (error) => {
        this.#end(error.code === "closed" ? undefined : error);
      },
    });
    driver.flush();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#goOn();
      return Promise.resolve({ done: false, value: item });
    }
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) return Promise.reject(error);
    if (this.#isOver) return Promise.resolve(OVER);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<Item, undefined>> {
    this.close();
    return Promise.resolve(OVER);
  }

  /** Ends the subscription and the iteration; what was not taken is dropped. */
  close(): void {
    this.#items.length = 0;
    this.#end(undefined);
    this.#error = undefined;
  }

  readonly #abort = (): void => {
    if (this.#signal !== undefined) {
      this.#items.length = 0;
      this.#end(aborted(this.#signal));
    }
  };

  #take(item: Item): boolean {
    if (item.type === "ephemeral" && this.#items.length >= EVENTS_AHEAD_MAX / 2) return true;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting.resolve({ done: false, value: item });
    if (this.#isLast(item)) this.#end(undefined);
    this.#isHalted = this.#items.length >= EVENTS_AHEAD_MAX;
    return !this.#isHalted;
  }

  #goOn(): void {
    if (!this.#isHalted || this.#items.length > EVENTS_AHEAD_MAX / 2) return;
    this.#isHalted = false;
    if (this.#subscription !== undefined) this.#driver.machine.goOn(this.#subscription);
    this.#driver.flush();
  }

  #end(error: SelvedgeError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#settle?.reject(error ?? closed());
    const first = error === undefined ? undefined : this.#waiting.shift();
    if (error !== undefined && first !== undefined) first.reject(error);
    else this.#error = error;
    for (const { resolve } of this.#waiting.splice(0)) resolve(OVER);
    if (this.#subscription !== undefined) this.#driver.machine.unsubscribe(this.#subscription);
    this.#driver.flush();
  }
}

const OVER: IteratorResult<Item, undefined> = { done: true, value: undefined };

function checkedSince(after: number | "latest" | undefined): Since {
  if (after === undefined || after === "latest") return "latest";
  if (Number.isSafeInteger(after) && after >= 0) return { after };
  throw invalid("after", "a seq, 0 for the beginning, or `latest`");
}
