/**
 * One operation while somebody looks at it: as it is, why it waits, and all its events. Each event makes it be read
 * anew; `why` is asked every two seconds besides, for queues move without events. The view owns one.
 */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { POLL_MS } from "../bounds.js";
import { members, number, text } from "../json.js";
import { toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import type { Client, Operation as Port } from "../session/port.js";
import { EventLog } from "./event-log.js";
import type { Line } from "./event-log.js";
import { readFault, readOperation, readWhy, time } from "./operation.js";
import type { Fault, Operation, Why } from "./operation.js";
import { Polled } from "./poll.js";
import { Settle } from "./settle.js";

export class OperationWatch {
  readonly #port: Port;
  readonly #operation = signal<Operation | undefined>(undefined);
  readonly #problem = signal<Problem | undefined>(undefined);
  readonly #log: EventLog;
  readonly #settle: Settle;
  readonly #why: Polled<Why>;

  constructor(client: Client, id: string) {
    this.#port = client.operation(id);
    this.#settle = new Settle(() => this.#read());
    const item = (): void => {
      this.#settle.soon();
    };
    this.#log = new EventLog(client.subscribe({ operation: id }, { after: 0 }), { item });
    this.#why = new Polled(POLL_MS, async (signal) => readWhy(await this.#port.why({ signal })));
    void this.#read();
  }

  get operation(): ReadonlySignal<Operation | undefined> {
    return this.#operation;
  }

  /** Why it cannot be read. */
  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem;
  }

  get log(): EventLog {
    return this.#log;
  }

  get why(): Polled<Why> {
    return this.#why;
  }

  get port(): Port {
    return this.#port;
  }

  /** What a verb has answered is how it is now. */
  answered(value: unknown): void {
    const operation = readOperation(value);
    if (operation.version >= (this.#operation.peek()?.version ?? 0))
      this.#operation.value = operation;
    this.#settle.soon();
    this.#why.refresh();
  }

  dispose(): void {
    this.#log.dispose();
    this.#settle.dispose();
    this.#why.dispose();
  }

  async #read(): Promise<void> {
    try {
      const operation = readOperation(await this.#port.get());
      this.#operation.value = operation;
      this.#problem.value = undefined;
      this.#why.refresh();
    } catch (error) {
      this.#problem.value = toProblem(error);
    }
  }
}

/** A try of an operation, or of one of its steps, that came to nothing. */
export interface Failure {
  seq: number;
  at: Date;
  attempt: number;
  error: Fault;
  nextAttemptAt: Date | undefined;
}

/** The failures that a log tells of, in their order. */
export function failures(lines: readonly Line[]): Failure[] {
  return lines.flatMap((line) => {
    if (line.type !== "event" || !/^(step|attempt)\.failed$/.test(line.kind)) return [];
    const data = members(line.data);
    const error = readFault(data["error"]);
    if (error === undefined) return [];
    const step = text(data["step"]);
    const nextAttemptAt = time(data["nextAttemptAt"]);
    const attempt = number(data["attempt"]) ?? 0;
    const named = step === undefined ? error : { ...error, step };
    return [{ seq: line.seq, at: line.time, attempt, error: named, nextAttemptAt }];
  });
}
