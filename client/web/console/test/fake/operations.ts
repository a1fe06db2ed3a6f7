/** Operations of the fake cluster: an import in five steps that takes its time, as the demo application has it. */

import { FakeError } from "./error.js";
import { Feed } from "./feed.js";

interface Undo {
  name: string;
}

export interface FakeOperation {
  id: string;
  type: string;
  status: string;
  [field: string]: unknown;
}

const STEPS = ["fetch", "check", "reserve", "load", "publish"] as const;
const UNDO: Readonly<Record<string, string>> = { reserve: "release", load: "unload" };
const FINAL = ["succeeded", "failed", "cancelled", "compensated"];

export class FakeOperations {
  readonly #all = new Map<string, FakeOperation>();
  readonly #feeds = new Map<string, Feed>();
  readonly #undo = new Map<string, Undo[]>();
  readonly #stepMs: number;

  /** `stepMs`: what a step takes; 0: nothing happens by itself. */
  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  feed(id: string): Feed {
    const feed = this.#feeds.get(id) ?? new Feed();
    this.#feeds.set(id, feed);
    return feed;
  }

  find(id: string): FakeOperation {
    const found = this.#all.get(id);
    if (found === undefined) throw new FakeError("not_found", `no operation has the id ${id}`);
    return found;
  }

  list(query: { status?: string; type?: string; limit?: number; cursor?: string }): unknown {
    const { status, type, limit = 50, cursor } = query;
    const newest = [...this.#all.values()].reverse();
    const matching = newest.filter(
      (it) =>
        (status === undefined || it.status === status) && (type === undefined || it.type === type),
    );
    const from = cursor === undefined ? 0 : matching.findIndex((it) => it.id === cursor) + 1;
    const items = matching.slice(from, from + limit);
    const isMore = from + limit < matching.length;
    return { items: structuredClone(items), cursor: isMore ? items.at(-1)?.id : null };
  }

  count({ status }: { status?: string }): unknown {
    const counted = [...this.#all.values()].filter((it) => it.status === status);
    return { count: counted.length, isExact: true };
  }

  submit(
    submit: { type: string; id?: string; input?: unknown },
    created = new Date(),
  ): FakeOperation {
    const id = submit.id ?? crypto.randomUUID();
    const before = this.#all.get(id);
    if (before !== undefined) return { ...before, created: false };
    if (!/^[a-z]/.test(submit.type)) throw new FakeError("invalid", "use a type", "type");
    const operation: FakeOperation = {
      priority: 0,
      labels: {},
      metadata: {},
      ...submit,
      id,
      status: "pending",
      tenant: "default",
      createdBy: "admin",
      createdAt: created.toISOString(),
      updatedAt: created.toISOString(),
      version: 1,
      attempt: 0,
      steps: [],
    };
    this.#all.set(id, operation);
    this.feed(id).append("submitted", { type: submit.type }, created);
    if (this.#stepMs > 0)
      setTimeout(() => {
        this.#start(id);
      }, this.#stepMs / 2);
    return { ...operation, created: true };
  }

  change(
    id: string,
    fields: Partial<FakeOperation>,
    kind: string,
    data: unknown = {},
  ): FakeOperation {
    const operation = this.find(id);
    Object.assign(operation, fields, {
      version: Number(operation["version"]) + 1,
      updatedAt: new Date().toISOString(),
    });
    this.feed(id).append(kind, data);
    return structuredClone(operation);
  }

  cancel(id: string): FakeOperation {
    this.#mustBeOpen(id, "cancelled");
    const undo = (this.#undo.get(id) ?? []).reverse().map(({ name }) => name);
    if (undo.length === 0) return this.change(id, { status: "cancelled" }, "cancelled");
    const error = { code: "cancelled", message: "somebody has cancelled it" };
    const changed = this.change(id, { status: "compensating", error }, "compensating", {
      error,
      compensations: undo,
    });
    this.#undoNext(id, undo);
    return changed;
  }

  verb(id: string, status: string, kind: string): FakeOperation {
    this.#mustBeOpen(id, kind);
    return this.change(id, { status }, kind);
  }

  signal(id: string, name: string, data: unknown): FakeOperation {
    const operation = this.find(id);
    const changed = this.change(id, { status: "running" }, "signalled", { signal: name, data });
    delete operation["waitingFor"];
    this.#later(id, () => {
      this.#step(id, STEPS.length - 1);
    });
    return changed;
  }

  why(id: string): unknown {
    const operation = this.find(id);
    const waits = operation.status === "waiting" ? [wait(operation)] : [];
    const [first] = waits;
    return {
      id,
      status: operation.status,
      summary: `it is ${operation.status}${first === undefined ? "" : `: ${first.detail}`}`,
      waits,
      attempt: operation["attempt"],
      compensations: (this.#undo.get(id) ?? []).map(({ name }) => name).reverse(),
      owner: { node: "node-1", slot: 712 },
    };
  }

  #mustBeOpen(id: string, what: string): void {
    const { status } = this.find(id);
    if (FINAL.includes(status)) {
      throw new FakeError("conflict", `the operation is ${status} and cannot be ${what} any more`);
    }
  }

  #later(id: string, work: () => void): void {
    if (this.#stepMs === 0) return;
    setTimeout(() => {
      const { status } = this.find(id);
      if (status === "paused") this.#later(id, work);
      else if (status === "running" || status === "pending") work();
    }, this.#stepMs);
  }

  #start(id: string): void {
    if (this.find(id).status !== "pending") return;
    this.change(id, { status: "running", attempt: 1 }, "started", { attempt: 1 });
    this.#later(id, () => {
      this.#step(id, 0);
    });
  }

  #step(id: string, at: number): void {
    const name = STEPS[at];
    if (name === undefined) return;
    const operation = this.find(id);
    const input = operation["input"] as
      { rows?: number; approval?: boolean; failAt?: string } | undefined;
    if (input?.failAt === name) {
      const error = { code: "told_to_fail", message: `told to fail at ${name}`, step: name };
      this.feed(id).append("step.failed", { step: name, attempt: 1, error, nextAttemptAt: null });
      this.change(id, { status: "failed", error }, "failed", { error });
      return;
    }
    const step = { name, status: "succeeded", attempt: 1, result: { rows: input?.rows ?? 1000 } };
    const steps = [
      ...(operation["steps"] as unknown[]),
      { ...step, finishedAt: new Date().toISOString() },
    ];
    const progress = { done: at + 1, total: STEPS.length, step: name };
    this.change(id, { steps, progress }, "step.finished", {
      step: name,
      attempt: 1,
      result: step.result,
    });
    const undo = UNDO[name];
    if (undo !== undefined) this.#undo.set(id, [...(this.#undo.get(id) ?? []), { name: undo }]);
    if (name === "load" && input?.approval === true) {
      const waitingFor = 'signal: step "approval" waits for the signal "approve"';
      this.change(id, { status: "waiting", waitingFor }, "waiting", { waitingFor });
    } else if (at + 1 < STEPS.length)
      this.#later(id, () => {
        this.#step(id, at + 1);
      });
    else
      this.change(id, { status: "succeeded", result: step.result }, "succeeded", {
        result: step.result,
      });
  }

  #undoNext(id: string, names: readonly string[]): void {
    setTimeout(() => {
      const [name, ...rest] = names;
      if (name === undefined) this.change(id, { status: "compensated" }, "compensated");
      else {
        this.feed(id).append("compensation.finished", { compensation: name });
        this.#undoNext(id, rest);
      }
    }, this.#stepMs);
  }
}

function wait(operation: FakeOperation): { detail: string } & Record<string, unknown> {
  return {
    reason: "signal",
    detail: String(operation["waitingFor"]),
    since: operation["updatedAt"],
    step: "approval",
  };
}
