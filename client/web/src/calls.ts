/**
 * What is asked of and told to operations, the cluster, and all actors of a tenant. Loaded with the first such call; of
 * the rest of the SDK it imports types only.
 */

import type { call, CallOptions, CommandOptions, QueryOptions } from "./call.js";
import type { ClusterNode, ClusterPlan, ClusterStatus, ClusterWhy } from "./cluster.js";
import type { Driver } from "./driver.js";
import type { checkedKind, operationTarget } from "./ids.js";
import type {
  isFinal,
  Operation,
  OperationFilter,
  OperationPage,
  OperationWhy,
  Submit,
} from "./operations.js";
import type { Target } from "./wire/frames.js";

/** What the rest of the SDK lends: so this module imports nothing, and the others stay one file. */
export interface CallsKit {
  driver: Driver;
  call: typeof call;
  checkedKind: typeof checkedKind;
  isFinal: typeof isFinal;
  operationTarget: typeof operationTarget;
}

/** Who is asked and told: an operation, all of them, all actors, the cluster. */
class Remote {
  /** @internal */
  constructor(
    /** @internal */
    protected readonly kit: CallsKit,
    /** @internal */
    protected readonly target: Target,
  ) {}

  /** @internal The answer's body. */
  protected command<T>(name: string, body?: unknown, options?: CommandOptions): Promise<T> {
    return this.ask("command", this.target, name, body, options);
  }

  /** @internal The answer's body. */
  protected query<T>(name: string, body?: unknown, options?: QueryOptions): Promise<T> {
    return this.ask("query", this.target, name, body, options);
  }

  /** @internal */
  protected async ask<T>(
    type: "command" | "query",
    target: Target,
    name: string,
    body: unknown,
    options: CommandOptions | undefined,
  ): Promise<T> {
    const { call, driver } = this.kit;
    return (await call<T>(driver, type, target, name, body, options)).body;
  }
}

/** The operations of the tenant. */
export class OperationsCalls extends Remote {
  /** Submits an operation and waits until it is accepted, which means durable. */
  submit(submit: Submit, options: CallOptions = {}): Promise<Operation> {
    const { id = newId(), payload, type, ...rest } = submit;
    const body = { type: this.kit.checkedKind("type", type), ...rest };
    const to = this.kit.operationTarget(id);
    const all = { ...options, payload };
    return this.ask<Operation>("command", to, "submit", body, all);
  }

  /** A page of them. */
  list(
    filter: OperationFilter & { limit?: number; cursor?: string } = {},
    options?: CallOptions,
  ): Promise<OperationPage> {
    return this.query("list", filter, options);
  }

  /** How many a list would have; not exact where there are so many that counting was ended. */
  count(
    filter: OperationFilter = {},
    options?: CallOptions,
  ): Promise<{ count: number; isExact: boolean }> {
    return this.query("count", filter, options);
  }
}

/** Of one operation. The verbs give what it is then. */
export class OperationCalls extends Remote {
  /** The operation as it is now. */
  get(options?: QueryOptions): Promise<Operation> {
    return this.query("get", undefined, options);
  }

  /** What it waits for, since when, and who has it. */
  why(options?: CallOptions): Promise<OperationWhy> {
    return this.query("why", undefined, options);
  }

  /** Asks it to stop, and to undo what it has done where it can. */
  cancel(options?: CallOptions): Promise<Operation> {
    return this.command("cancel", undefined, options);
  }

  /** Asks it to halt: the step at work finishes, no other begins. */
  pause(options?: CallOptions): Promise<Operation> {
    return this.command("pause", undefined, options);
  }

  /** Lets it go on after a pause. */
  resume(options?: CallOptions): Promise<Operation> {
    return this.command("resume", undefined, options);
  }

  /** Runs it again after it has failed or was cancelled: from a step on, or from the first that has not finished. */
  retry({ fromStep, ...options }: CallOptions & { fromStep?: string } = {}): Promise<Operation> {
    return this.command("retry", { from: fromStep ?? null }, options);
  }

  /** Tells it something: whoever of its steps waits for the signal goes on. One that comes early is kept. */
  signal(name: string, data?: unknown, options?: CallOptions): Promise<Operation> {
    return this.command("signal", { name, data: data ?? null }, options);
  }

  /** Waits until it is final: what it is then. */
  async wait(options?: CallOptions): Promise<Operation> {
    for (;;) {
      // Answered when it is final, or after a while with what it is then.
      const operation = await this.query<Operation>("wait", undefined, options);
      if (this.kit.isFinal(operation.status)) return operation;
    }
  }
}

/** The actors of the tenant. */
export class ActorsCalls extends Remote {
  /** Keys of a kind in order, after the last of the page before; fewer than `limit` means that there are no more. */
  list(
    kind: string,
    { after, limit, ...options }: CallOptions & { after?: string; limit?: number } = {},
  ): Promise<{ keys: string[] }> {
    const body = { kind: this.kit.checkedKind("kind", kind), after, limit };
    return this.query("list", body, options);
  }
}

/** The nodes, for administrators. */
export class ClusterCalls extends Remote {
  status(options?: CallOptions): Promise<ClusterStatus> {
    return this.query("status", {}, options);
  }

  plan(options?: CallOptions): Promise<ClusterPlan> {
    return this.query("plan", {}, options);
  }

  /** What is not at rest, of one node or of all. */
  why(node?: string, options?: CallOptions): Promise<ClusterWhy> {
    return this.query("why", node === undefined ? {} : { node }, options);
  }

  /** The node owns nothing, until `undrain`. The last that can own slots is refused unless forced. */
  drain(
    node: string,
    { force = false, ...options }: CallOptions & { force?: boolean } = {},
  ): Promise<ClusterNode> {
    return this.command("drain", { node, force }, options);
  }

  /** The node takes its share. */
  undrain(node: string, options?: CallOptions): Promise<ClusterNode> {
    return this.command("undrain", { node }, options);
  }

  /** Forgets a node that is dead or has left; `before`: it was forgotten already. */
  remove(
    node: string,
    options?: CallOptions,
  ): Promise<{ node: string; removed: boolean; before: boolean }> {
    return this.command("remove", { node }, options);
  }
}

/** A UUIDv7: ids of operations sort by the time they were made. */
function newId(): string {
  const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, "0");
  const random = Array.from(crypto.getRandomValues(new Uint16Array(5)), (part) => hex(part, 4));
  // Of random bits all but those of the version and the variant.
  const digits = `${hex(Date.now(), 12)}7${random.join("").slice(1)}`;
  return digits.replace(/(.{8})(.{4})(.{4}).(.{3})/, "$1-$2-$3-8$4-");
}

/** What each sort of target has. */
export interface Calls {
  operations: OperationsCalls;
  operation: OperationCalls;
  actors: ActorsCalls;
  cluster: ClusterCalls;
}

/** Makes them. */
export const calls: { [What in keyof Calls]: (kit: CallsKit, target: Target) => Calls[What] } = {
  operations: (kit, target) => new OperationsCalls(kit, target),
  operation: (kit, target) => new OperationCalls(kit, target),
  actors: (kit, target) => new ActorsCalls(kit, target),
  cluster: (kit, target) => new ClusterCalls(kit, target),
};
