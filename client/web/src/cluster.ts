/** The nodes of the cluster: what they do, and what they shall do. For the principal `admin`. */

import type { CallOptions } from "./call.js";
import { command, query } from "./call.js";
import type { Driver } from "./driver.js";

export type NodeState =
  "serving" | "draining" | "drained" | "isolated" | "leaving" | "left" | "dead";

export interface ClusterNode {
  node: string;
  state: NodeState;
  drained: boolean;
  controller: boolean;
  incarnation: number;
  roles: string[];
  weight: number;
  /** How many slots it has. */
  slots: number;
  /** How many it has by the plan. */
  planned: number;
  quic: string | null;
  peer: string;
  operations: string[];
  versions: { binary: string; protocol: number; schema: number };
}

export interface ClusterStatus {
  plan: number;
  slots: number;
  owned: number;
  moving: number;
  controller: string | null;
  nodes: ClusterNode[];
}

/** The first and the last of slots in a row. */
export type SlotRange = [first: number, last: number];

export interface ClusterPlan {
  plan: number;
  slots: number;
  nodes: { node: string; count: number; slots: SlotRange[] }[];
  /** Slots without an owner. */
  nobody: SlotRange[];
  /** Slots that the plan gives to another node than the one that has them. */
  moves: { from: string | null; to: string | null; count: number; slots: SlotRange[] }[];
}

export interface ClusterWhy {
  atRest: boolean;
  reasons: { code: string; node: string | null; message: string }[];
}

export class Cluster {
  readonly #driver: Driver;

  /** @internal */
  constructor(driver: Driver) {
    this.#driver = driver;
  }

  status(options?: CallOptions): Promise<ClusterStatus> {
    return this.#ask("status", {}, options);
  }

  plan(options?: CallOptions): Promise<ClusterPlan> {
    return this.#ask("plan", {}, options);
  }

  /** What is not at rest, of one node or of all. */
  why(node?: string, options?: CallOptions): Promise<ClusterWhy> {
    return this.#ask("why", node === undefined ? {} : { node }, options);
  }

  /** The node owns nothing, until `undrain`. The last that can own slots is refused unless forced. */
  drain(
    node: string,
    { force = false, ...options }: CallOptions & { force?: boolean } = {},
  ): Promise<ClusterNode> {
    return this.#tell("drain", { node, force }, options);
  }

  /** The node takes its share. */
  undrain(node: string, options?: CallOptions): Promise<ClusterNode> {
    return this.#tell("undrain", { node }, options);
  }

  /** Forgets a node that is dead or has left; `before`: it was forgotten already. */
  remove(
    node: string,
    options?: CallOptions,
  ): Promise<{ node: string; removed: boolean; before: boolean }> {
    return this.#tell("remove", { node }, options);
  }

  async #ask<T>(name: string, body: unknown, options: CallOptions = {}): Promise<T> {
    return (await query<T>(this.#driver, "cluster", name, body, options)).body;
  }

  async #tell<T>(name: string, body: unknown, options: CallOptions = {}): Promise<T> {
    return (await command<T>(this.#driver, "cluster", name, body, options)).body;
  }
}
