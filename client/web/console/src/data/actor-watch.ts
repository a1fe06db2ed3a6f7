/** One actor while somebody looks at it: its state, read anew after each event, and its last events. */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { EVENTS_BEFORE } from "../bounds.js";
import { toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import type { Actor, Answer, Client } from "../session/port.js";
import { EventLog } from "./event-log.js";
import { Settle } from "./settle.js";

export class ActorWatch {
  readonly #actor: Actor;
  readonly #state = signal<Answer | undefined>(undefined);
  readonly #problem = signal<Problem | undefined>(undefined);
  readonly #log = signal<EventLog | undefined>(undefined);
  readonly #settle: Settle;
  #isDisposed = false;

  constructor(client: Client, kind: string, key: string) {
    this.#actor = client.actor(kind, key);
    this.#settle = new Settle(() => this.#read());
    void this.#read();
  }

  get actor(): Actor {
    return this.#actor;
  }

  get state(): ReadonlySignal<Answer | undefined> {
    return this.#state;
  }

  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem;
  }

  /** There is one once the state was read. */
  get log(): ReadonlySignal<EventLog | undefined> {
    return this.#log;
  }

  /** Reads the state again. */
  refresh(): void {
    this.#settle.soon();
  }

  dispose(): void {
    this.#isDisposed = true;
    this.#settle.dispose();
    this.#log.peek()?.dispose();
  }

  async #read(): Promise<void> {
    try {
      const state = await this.#actor.state();
      if (this.#isDisposed) return;
      this.#state.value = state;
      this.#problem.value = undefined;
      if (this.#log.peek() === undefined) this.#follow(state.seq);
    } catch (error) {
      this.#problem.value = toProblem(error);
    }
  }

  #follow(seq: number): void {
    const item = (): void => {
      this.#settle.soon();
    };
    const after = Math.max(0, seq - EVENTS_BEFORE);
    this.#log.value = new EventLog(this.#actor.events({ after }), { item });
  }
}
