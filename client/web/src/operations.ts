/** Operations: durable jobs. Their JSON as the server writes it, and the calls that submit, read and steer them. */

import type { CallOptions, QueryOptions } from "./call.js";
import { command, query } from "./call.js";
import type { Driver } from "./driver.js";
import type { EventsOptions } from "./events.js";
import { Events } from "./events.js";
import { checkedKind, newId, operationTarget } from "./ids.js";
import type { Item } from "./session/machine.js";
import type { Target } from "./wire/frames.js";

export type OperationStatus =
  | "pending"
  | "running"
  | "waiting"
  | "paused"
  | "succeeded"
  | "failed"
  | "cancelling"
  | "cancelled"
  | "compensating"
  | "compensated";

const FINAL: readonly string[] = ["succeeded", "failed", "cancelled", "compensated"];

/** Whether the operation never changes again, unless somebody retries it. */
export function isFinal(status: OperationStatus): boolean {
  return FINAL.includes(status);
}

/** Why an operation or a step failed: a code of the protocol's or of the handler's own, and words for a person. */
export interface OperationError {
  code: string;
  message: string;
  step?: string;
}

/** A named unit of an operation, with its stored result. */
export interface OperationStep {
  name: string;
  status: "running" | "succeeded" | "failed";
  attempt: number;
  result?: unknown;
  error?: OperationError;
  finishedAt?: string;
}

/** A durable job. Times are RFC 3339, UTC. */
export interface Operation {
  id: string;
  type: string;
  status: OperationStatus;
  metadata?: unknown;
  input?: unknown;
  /** Set when it has succeeded. */
  result?: unknown;
  /** Set when it has failed, or while it waits for another attempt. */
  error?: OperationError;
  /** What it waits for, while its status is `waiting`. */
  waitingFor?: string;
  tenant: string;
  createdBy: string;
  createdAt: string;
  updatedAt: string;
  version: number;
  attempt: number;
  progress?: unknown;
  steps: OperationStep[];
  deadline?: string;
  runAt?: string;
  priority: number;
  labels: Record<string, string>;
}

/** A job to be done. */
export interface Submit {
  type: string;
  /** Submitting the same id and input again is harmless: it gives the operation as it is. Else one is made. */
  id?: string;
  input?: unknown;
  metadata?: unknown;
  labels?: Record<string, string>;
  /** Higher goes first. */
  priority?: number;
  /** Not before this time. */
  runAt?: Date | string;
  /** It fails unless it is final by then. */
  deadline?: Date | string;
  payload?: Uint8Array | Blob;
}

/** Every filter that is set must match. */
export interface OperationFilter {
  status?: OperationStatus;
  type?: string;
  /** `name=value`. */
  label?: string;
  createdBy?: string;
  createdAfter?: Date | string;
  createdBefore?: Date | string;
}

export interface OperationPage {
  items: Operation[];
  /** Where the next page begins; none after the last. */
  cursor?: string | null;
}

/** What an operation waits for and who has it. */
export interface OperationWhy {
  id: string;
  type: string;
  status: OperationStatus;
  /** One sentence for a person. */
  summary: string;
  waits: { reason: string; detail: string; since?: string; until?: string; step?: string }[];
  attempt: number;
  nextAttemptAt?: string;
  lastError?: OperationError;
  lastStep?: string;
  /** What will be undone if it fails or is cancelled, in the order in which it will be. */
  compensations?: string[];
  owner: { node: string; slot: number };
}

/** The operations of the tenant. */
export class Operations {
  readonly #driver: Driver;

  /** @internal */
  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** Submits an operation and waits until it is accepted, which means durable. */
  async submit(submit: Submit, options: CallOptions = {}): Promise<Operation> {
    const { id = newId(), payload, type, ...rest } = submit;
    const body = { type: checkedKind("type", type), ...rest };
    const target = operationTarget(id);
    return (await command<Operation>(this.#driver, target, "submit", body, { ...options, payload }))
      .body;
  }

  /** A page of them. */
  async list(
    filter: OperationFilter & { limit?: number; cursor?: string } = {},
    options: CallOptions = {},
  ): Promise<OperationPage> {
    return (await query<OperationPage>(this.#driver, "operations", "list", filter, options)).body;
  }

  /** How many a list would have; not exact where there are so many that counting was ended. */
  async count(
    filter: OperationFilter = {},
    options: CallOptions = {},
  ): Promise<{ count: number; isExact: boolean }> {
    return (
      await query<{ count: number; isExact: boolean }>(
        this.#driver,
        "operations",
        "count",
        filter,
        options,
      )
    ).body;
  }
}

/** One operation, by its id. The verbs give what it is then. */
export class OperationRef {
  readonly id: string;
  readonly #driver: Driver;
  readonly #target: Target;

  /** @internal */
  constructor(driver: Driver, id: string) {
    this.#driver = driver;
    this.#target = operationTarget(id);
    this.id = id;
  }

  /** The operation as it is now. */
  async get(options: QueryOptions = {}): Promise<Operation> {
    return (await query<Operation>(this.#driver, this.#target, "get", undefined, options)).body;
  }

  /** What it waits for, since when, and who has it. */
  async why(options: CallOptions = {}): Promise<OperationWhy> {
    return (await query<OperationWhy>(this.#driver, this.#target, "why", undefined, options)).body;
  }

  /** Asks it to stop, and to undo what it has done where it can. */
  cancel(options?: CallOptions): Promise<Operation> {
    return this.#verb("cancel", undefined, options);
  }

  /** Asks it to halt: the step at work finishes, no other begins. */
  pause(options?: CallOptions): Promise<Operation> {
    return this.#verb("pause", undefined, options);
  }

  /** Lets it go on after a pause. */
  resume(options?: CallOptions): Promise<Operation> {
    return this.#verb("resume", undefined, options);
  }

  /** Runs it again after it has failed or was cancelled: from a step on, or from the first that has not finished. */
  retry({ fromStep, ...options }: CallOptions & { fromStep?: string } = {}): Promise<Operation> {
    return this.#verb("retry", { from: fromStep ?? null }, options);
  }

  /** Tells it something: whoever of its steps waits for the signal goes on. One that comes early is kept. */
  signal(name: string, data?: unknown, options?: CallOptions): Promise<Operation> {
    return this.#verb("signal", { name, data: data ?? null }, options);
  }

  /** Its events from a position on, up to the final one. */
  events(options: EventsOptions = {}): Events {
    return new Events(this.#driver, this.#target, options, isTheEnd);
  }

  /** Waits until it is final: what it is then. */
  async wait(options: CallOptions = {}): Promise<Operation> {
    for (;;) {
      // Answered when it is final, or after a while with what it is then.
      const { body } = await query<Operation>(this.#driver, this.#target, "wait", {}, options);
      if (isFinal(body.status)) return body;
    }
  }

  async #verb(name: string, body: unknown, options: CallOptions = {}): Promise<Operation> {
    return (await command<Operation>(this.#driver, this.#target, name, body, options)).body;
  }
}

/** An event that announces a final status; or a state that is final, or of an operation that is no more. */
function isTheEnd(item: Item): boolean {
  if (item.type === "event") return FINAL.includes(item.kind);
  if (item.type === "ephemeral") return false;
  const operation = item.snapshot as Operation | null;
  return operation === null || isFinal(operation.status);
}
