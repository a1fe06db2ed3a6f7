/** Operations: durable jobs. Their JSON as the server writes it, and when they are at their end. */

import type { OperationCalls, OperationsCalls } from "./calls.js";
import type { Events, EventsOptions } from "./events.js";
import type { Item } from "./session/machine.js";

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
export type Operations = Pick<OperationsCalls, keyof OperationsCalls>;

/** One operation, by its id. The verbs give what it is then. */
export interface OperationRef extends Pick<OperationCalls, keyof OperationCalls> {
  readonly id: string;
  /** Its events from a position on, up to the final one. */
  events(options?: EventsOptions): Events;
}

/** An event that announces a final status; or a state that is final, or of an operation that is no more. */
export function isTheEnd(item: Item): boolean {
  if (item.type === "event") return FINAL.includes(item.kind);
  if (item.type === "ephemeral") return false;
  const operation = item.snapshot as Operation | null;
  return operation === null || isFinal(operation.status);
}
