/** The nodes of the cluster: what they do, for who may see it, and what they shall do, for administrators of the cluster. */

import type { ClusterCalls } from "./calls.js";

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

export type Cluster = Pick<ClusterCalls, keyof ClusterCalls>;
