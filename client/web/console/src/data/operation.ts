/** Operations as the node shows them, read from JSON that may have more or less than this page knows. Pure. */

import { flag, inline, list, members, number, text, texts } from "../json.js";

export type Status =
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

/** How a status is shown. `tone`: what it means for who looks. */
export interface StatusInfo {
  name: Status;
  isFinal: boolean;
  tone: "quiet" | "busy" | "good" | "bad" | "warn";
  words: string;
}

/** Every status, in the order of a life. */
export const STATUSES: readonly StatusInfo[] = [
  { name: "pending", isFinal: false, tone: "quiet", words: "accepted, not started" },
  { name: "running", isFinal: false, tone: "busy", words: "its handler is at work" },
  {
    name: "waiting",
    isFinal: false,
    tone: "warn",
    words: "for a timer, a signal, a payload or a worker",
  },
  { name: "paused", isFinal: false, tone: "warn", words: "held by somebody until it is resumed" },
  { name: "cancelling", isFinal: false, tone: "warn", words: "asked to stop, not stopped" },
  { name: "compensating", isFinal: false, tone: "warn", words: "undoing what it has done" },
  { name: "succeeded", isFinal: true, tone: "good", words: "done" },
  { name: "failed", isFinal: true, tone: "bad", words: "ended with an error" },
  { name: "cancelled", isFinal: true, tone: "quiet", words: "stopped before it was done" },
  { name: "compensated", isFinal: true, tone: "quiet", words: "stopped, and undone" },
];

export interface Fault {
  code: string;
  message: string;
  step?: string;
}

export interface Step {
  name: string;
  status: string;
  attempt: number;
  result?: unknown;
  error?: Fault;
  finishedAt?: Date;
}

export interface Operation {
  id: string;
  type: string;
  status: string;
  metadata: unknown;
  input: unknown;
  result: unknown;
  error: Fault | undefined;
  waitingFor: string | undefined;
  createdBy: string;
  createdAt: Date | undefined;
  updatedAt: Date | undefined;
  version: number;
  attempt: number;
  progress: unknown;
  steps: Step[];
  deadline: Date | undefined;
  runAt: Date | undefined;
  priority: number;
  labels: Record<string, unknown>;
  /** Of the answer to a submit: whether it made the operation. */
  created: boolean;
}

export function statusInfo(name: string): StatusInfo {
  // A newer node may know more of them.
  const unknown: StatusInfo = { name: name as Status, isFinal: false, tone: "quiet", words: "" };
  return STATUSES.find((status) => status.name === name) ?? unknown;
}

export function isFinal(operation: { status: string }): boolean {
  return statusInfo(operation.status).isFinal;
}

/** A time of the wire, unless there is none. */
export function time(value: unknown): Date | undefined {
  const given = text(value);
  if (given === undefined) return undefined;
  const date = new Date(given);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

export function readFault(value: unknown): Fault | undefined {
  const { code, message, step } = members(value);
  if (typeof code !== "string") return undefined;
  const place = text(step);
  return { code, message: text(message) ?? "", ...(place === undefined ? {} : { step: place }) };
}

function readStep(value: unknown): Step {
  const step = members(value);
  const [error, finishedAt] = [readFault(step["error"]), time(step["finishedAt"])];
  return {
    name: text(step["name"]) ?? "?",
    status: text(step["status"]) ?? "?",
    attempt: number(step["attempt"]) ?? 0,
    result: step["result"],
    ...(error === undefined ? {} : { error }),
    ...(finishedAt === undefined ? {} : { finishedAt }),
  };
}

export function readOperation(value: unknown): Operation {
  const from = members(value);
  return {
    id: text(from["id"]) ?? "?",
    type: text(from["type"]) ?? "?",
    status: text(from["status"]) ?? "?",
    metadata: from["metadata"],
    input: from["input"],
    result: from["result"],
    error: readFault(from["error"]),
    waitingFor: text(from["waitingFor"]),
    createdBy: text(from["createdBy"]) ?? "?",
    createdAt: time(from["createdAt"]),
    updatedAt: time(from["updatedAt"]),
    version: number(from["version"]) ?? 0,
    attempt: number(from["attempt"]) ?? 0,
    progress: from["progress"],
    steps: list(from["steps"]).map(readStep),
    deadline: time(from["deadline"]),
    runAt: time(from["runAt"]),
    priority: number(from["priority"]) ?? 0,
    labels: members(from["labels"]),
    created: flag(from["created"]),
  };
}

/** Something that an operation waits for. */
export interface Wait {
  reason: string;
  detail: string;
  since: Date | undefined;
  until: Date | undefined;
  step: string | undefined;
}

export interface Why {
  summary: string;
  waits: Wait[];
  nextAttemptAt: Date | undefined;
  lastError: Fault | undefined;
  lastStep: string | undefined;
  compensations: string[];
  owner: { node: string; slot: number } | undefined;
}

export function readWhy(value: unknown): Why {
  const why = members(value);
  const owner = members(why["owner"]);
  const [node, slot] = [text(owner["node"]), number(owner["slot"])];
  return {
    summary: text(why["summary"]) ?? "",
    waits: list(why["waits"]).map((value) => {
      const wait = members(value);
      return {
        reason: text(wait["reason"]) ?? "?",
        detail: text(wait["detail"]) ?? "",
        since: time(wait["since"]),
        until: time(wait["until"]),
        step: text(wait["step"]),
      };
    }),
    nextAttemptAt: time(why["nextAttemptAt"]),
    lastError: readFault(why["lastError"]),
    lastStep: text(why["lastStep"]),
    compensations: texts(why["compensations"]),
    owner: node === undefined || slot === undefined ? undefined : { node, slot },
  };
}

export type Verb = "cancel" | "pause" | "resume" | "retry" | "signal";

const VERBS: Readonly<Record<string, readonly Verb[]>> = {
  pending: ["signal", "pause", "cancel"],
  running: ["signal", "pause", "cancel"],
  waiting: ["signal", "retry", "pause", "cancel"],
  paused: ["signal", "resume", "cancel"],
  cancelling: [],
  compensating: [],
  succeeded: [],
  failed: ["retry"],
  cancelled: ["retry"],
  compensated: ["retry"],
};

/** What can be done about an operation as it is; the node decides. */
export function verbs(operation: Pick<Operation, "status" | "waitingFor">): readonly Verb[] {
  const { status, waitingFor } = operation;
  const possible = VERBS[status] ?? ["signal", "retry", "pause", "resume", "cancel"];
  // Before its end only what waits for its next attempt can begin it at once.
  const waitsForRetry = waitingFor?.startsWith("retry:") ?? false;
  if (status !== "waiting" || waitsForRetry) return possible;
  return possible.filter((verb) => verb !== "retry");
}

/** Progress as a part of one, where it says so in a form that is known. */
export function fraction(progress: unknown): number | undefined {
  if (typeof progress === "number") return part(progress > 1 ? progress / 100 : progress);
  const known = members(progress);
  const percent = number(known["percent"]);
  if (percent !== undefined) return part(percent / 100);
  const done = number(known["done"]) ?? number(known["current"]) ?? number(known["bytes"]);
  const total = number(known["total"]) ?? number(known["of"]);
  return done !== undefined && total !== undefined && total > 0 ? part(done / total) : undefined;
}

const part = (value: number): number => Math.min(1, Math.max(0, value));

/** Progress in a line of words. */
export function progressText(progress: unknown): string {
  if (progress === undefined || progress === null) return "";
  const known = members(progress);
  const names = Object.keys(known);
  if (names.length === 0) return inline(progress);
  return names.map((name) => `${name} ${inline(known[name])}`).join(", ");
}
