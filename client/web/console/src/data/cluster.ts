/** The cluster as its nodes tell it: status, plan, and who has which slot at the moment. Pure. */

import { flag, list, members, number, text, texts } from "../json.js";

export interface Node {
  node: string;
  state: string;
  drained: boolean;
  controller: boolean;
  incarnation: number;
  roles: string[];
  weight: number;
  slots: number;
  planned: number;
  quic: string | undefined;
  peer: string | undefined;
  operations: string[];
  binary: string;
}

export interface Status {
  plan: number;
  slots: number;
  owned: number;
  moving: number;
  controller: string | undefined;
  nodes: Node[];
}

/** First and last slot of a run. */
export type Run = readonly [number, number];

export interface Move {
  from: string | undefined;
  to: string | undefined;
  count: number;
  slots: Run[];
}

export interface Plan {
  plan: number;
  slots: number;
  nodes: { node: string; count: number; slots: Run[] }[];
  nobody: Run[];
  moves: Move[];
}

export interface Reason {
  code: string;
  node: string | undefined;
  message: string;
}

export interface Why {
  atRest: boolean;
  reasons: Reason[];
}

function readNode(value: unknown): Node {
  const node = members(value);
  return {
    node: text(node["node"]) ?? "?",
    state: text(node["state"]) ?? "?",
    drained: flag(node["drained"]),
    controller: flag(node["controller"]),
    incarnation: number(node["incarnation"]) ?? 0,
    roles: texts(node["roles"]),
    weight: number(node["weight"]) ?? 0,
    slots: number(node["slots"]) ?? 0,
    planned: number(node["planned"]) ?? 0,
    quic: text(node["quic"]),
    peer: text(node["peer"]),
    operations: texts(node["operations"]),
    binary: text(members(node["versions"])["binary"]) ?? "?",
  };
}

export function readStatus(value: unknown): Status {
  const status = members(value);
  return {
    plan: number(status["plan"]) ?? 0,
    slots: number(status["slots"]) ?? 0,
    owned: number(status["owned"]) ?? 0,
    moving: number(status["moving"]) ?? 0,
    controller: text(status["controller"]),
    nodes: list(status["nodes"]).map(readNode),
  };
}

function readRuns(value: unknown): Run[] {
  return list(value).flatMap((run) => {
    const [first, last] = [number(list(run)[0]), number(list(run)[1])];
    return first === undefined || last === undefined ? [] : [[first, last] as const];
  });
}

export function readPlan(value: unknown): Plan {
  const plan = members(value);
  return {
    plan: number(plan["plan"]) ?? 0,
    slots: number(plan["slots"]) ?? 0,
    nodes: list(plan["nodes"]).map((value) => {
      const node = members(value);
      const [name, count] = [text(node["node"]) ?? "?", number(node["count"]) ?? 0];
      return { node: name, count, slots: readRuns(node["slots"]) };
    }),
    nobody: readRuns(plan["nobody"]),
    moves: list(plan["moves"]).map((value) => {
      const move = members(value);
      return {
        from: text(move["from"]),
        to: text(move["to"]),
        count: number(move["count"]) ?? 0,
        slots: readRuns(move["slots"]),
      };
    }),
  };
}

export function readWhy(value: unknown): Why {
  const why = members(value);
  return {
    atRest: flag(why["atRest"]),
    reasons: list(why["reasons"]).map((value) => {
      const reason = members(value);
      return {
        code: text(reason["code"]) ?? "?",
        node: text(reason["node"]),
        message: text(reason["message"]) ?? "",
      };
    }),
  };
}

/** Who has a slot, and whether it is on its way to somebody else. */
export interface Slot {
  owner: string | undefined;
  isMoving: boolean;
}

/** Every slot: that of the plan, but for those that another node still has. */
export function slotMap(plan: Plan): Slot[] {
  const slots: Slot[] = Array.from({ length: plan.slots }, () => ({
    owner: undefined,
    isMoving: false,
  }));
  const mark = (runs: readonly Run[], slot: Slot): void => {
    for (const [first, last] of runs) {
      slots.fill(slot, Math.max(0, first), Math.min(slots.length, last + 1));
    }
  };
  for (const { node, slots } of plan.nodes) mark(slots, { owner: node, isMoving: false });
  for (const { from, slots } of plan.moves) mark(slots, { owner: from, isMoving: true });
  return slots;
}

/**
 * Every node that is known, in the order of their names: of the status, and whoever has or gets slots by the plan. A
 * node keeps its place, and so its colour, while it has no slots.
 */
export function nodeNames(status: Status | undefined, plan: Plan | undefined): string[] {
  const moving = plan?.moves.flatMap(({ from, to }) => [from, to]) ?? [];
  const named = [...(status?.nodes ?? []), ...(plan?.nodes ?? [])].map(({ node }) => node);
  return [...new Set([...named, ...moving].filter((node) => node !== undefined))].sort();
}

/** Runs in words: "0 to 12, 40". */
export function runsText(runs: readonly Run[], most = 12): string {
  const shown = runs.slice(0, most).map(([first, last]) => {
    return first === last ? String(first) : `${first} to ${last}`;
  });
  const more = runs.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more runs` : shown.join(", ");
}

/** Operation types that nodes of the cluster run, in the order of their names. */
export function operationTypes(status: Status | undefined): string[] {
  const types = new Set(status?.nodes.flatMap((node) => node.operations));
  return [...types].sort();
}
