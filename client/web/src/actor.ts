/** Actors: commands to them, queries of them, their events. */

import type { Answer, CommandOptions, QueryOptions } from "./call.js";
import { call } from "./call.js";
import type { ActorsCalls } from "./calls.js";
import type { Driver } from "./driver.js";
import type { EventsOptions } from "./events.js";
import { Events } from "./events.js";
import { actorTarget, checkedName, checkedTarget } from "./ids.js";
import { checkSize, written } from "./json.js";
import { INLINE_BYTES_MAX } from "./limits.js";
import type { Target } from "./wire/frames.js";

/** One actor, by its kind and key. */
export class ActorRef {
  readonly kind: string;
  readonly key: string;
  readonly #driver: Driver;
  readonly #target: Target;

  /** @internal */
  constructor(driver: Driver, kind: string, key: string) {
    this.#driver = driver;
    this.#target = actorTarget(kind, key);
    this.kind = kind;
    this.key = key;
  }

  /** A command: a request that may change the actor, at most once. Success means committed and durable. */
  send<T = unknown>(name: string, body?: unknown, options?: CommandOptions): Promise<Answer<T>> {
    return call<T>(this.#driver, "command", this.#target, name, body, options);
  }

  /** A query: a read of the actor, as of now. */
  query<T = unknown>(name: string, body?: unknown, options?: QueryOptions): Promise<Answer<T>> {
    return call<T>(this.#driver, "query", this.#target, name, body, options);
  }

  /** What the actor shows of its state. */
  state<T = unknown>(options?: QueryOptions): Promise<Answer<T>> {
    return this.query<T>("state", undefined, options);
  }

  /** Its events from a position on. */
  events(options: EventsOptions = {}): Events {
    return new Events(this.#driver, this.#target, options);
  }

  /** A message to whoever listens to the actor's events now: not stored, not answered, and it may get lost. */
  tell(name: string, data?: unknown): void {
    tell(this.#driver, this.#target, name, data);
  }
}

/** The actors of the tenant. */
export type Actors = Pick<ActorsCalls, keyof ActorsCalls>;

export function tell(driver: Driver, target: Target, name: string, data: unknown): void {
  const { text, bytes } = written("data", data, "null");
  checkSize("data", bytes, INLINE_BYTES_MAX, "send less at a time");
  const to = checkedTarget(target);
  driver.machine.say({ type: "ephemeral", target: to, name: checkedName(name), data: text });
  driver.flush();
}
