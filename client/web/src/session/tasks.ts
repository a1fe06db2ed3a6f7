/** The client as a worker: what it takes, and what of it is out. The machine asks it; it is loaded with the worker. */

import type { ClientFrame, Notice, StepReport, Task, WorkerReady } from "../wire/frames.js";

export class Tasks {
  /** The most that was ever taken at a time: tasks cross with a word that it takes less. */
  #capacityMax = 0;
  /**
   * Leases whose end was not said, and whether they came over this connection: a server that has lost its memory of
   * the others counts anew.
   */
  readonly #leases = new Map<number, boolean>();
  #ready: WorkerReady;

  constructor(ready: WorkerReady) {
    this.#ready = ready;
    this.offer(ready);
  }

  offer(ready: WorkerReady): void {
    this.#ready = ready;
    this.#capacityMax = Math.max(this.#capacityMax, ready.capacity);
  }

  /** The session is open on a new connection, or goes on as another: then the leases were of one that is gone. */
  welcomed(resumed: boolean): WorkerReady {
    if (!resumed) this.#leases.clear();
    for (const lease of this.#leases.keys()) this.#leases.set(lease, false);
    return this.#ready;
  }

  /** Whether there is room for it. */
  take(task: Task): boolean {
    let out = 0;
    for (const isHere of this.#leases.values()) if (isHere) out += 1;
    if (out >= this.#capacityMax) return false;
    this.#leases.set(task.lease, true);
    return true;
  }

  /** Whether the report is worth sending: not of a lease that the server has given up. */
  report(lease: number, report: StepReport): boolean {
    return "heartbeat" in report ? this.#leases.has(lease) : this.#leases.delete(lease);
  }

  /** What there is to say to a notice about a task that is not at work any more. */
  answer(notice: Notice): ClientFrame | undefined {
    if ("resultRefused" in notice) this.#leases.delete(notice.resultRefused);
    if (!("taskCancelled" in notice) || this.#leases.has(notice.taskCancelled)) return undefined;
    // Its end was said and has got lost, or is on its way: the place is free either way.
    const report: StepReport = { failure: { code: "unavailable", message: "the work has ended" } };
    return { type: "stepResult", lease: notice.taskCancelled, report };
  }
}
