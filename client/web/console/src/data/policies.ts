/** Policies of operation types: actors of the kind `policy`, read as the command line does. */

import { KEYS_LEN } from "../bounds.js";
import { duration } from "../format.js";
import { members, number, text, texts } from "../json.js";
import { toProblem } from "../problem.js";
import type { Client } from "../session/port.js";
import { time } from "./operation.js";

/** A policy of this tenant. */
export interface Policy {
  /** An operation type, or `*` for all. */
  type: string;
  /** What is changed of the application's policy. */
  patch: Record<string, unknown>;
  /** The whole policy; empty for `*`, and for types that the node asked does not run. */
  effective: Record<string, unknown>;
  changedBy: string | undefined;
  changedAt: Date | undefined;
  breaker: { state: string; until: Date | undefined } | undefined;
}

/** Types that have no policy of their own cost one question each: no more than these are asked about. */
const TYPES_MAX = 100;

export function readPolicy(value: unknown): Policy {
  const policy = members(value);
  const breaker = members(policy["breaker"]);
  const state = text(breaker["state"]);
  return {
    type: text(policy["type"]) ?? "?",
    patch: members(policy["patch"]),
    effective: members(policy["effective"]),
    changedBy: text(policy["changedBy"]),
    changedAt: time(policy["changedAt"]),
    breaker: state === undefined ? undefined : { state, until: time(breaker["until"]) },
  };
}

/** The policies of `*`, of these types, and of whatever else has one. */
export async function readPolicies(
  client: Client,
  types: readonly string[],
  signal: AbortSignal,
): Promise<Policy[]> {
  const page = members(await client.actors.list("policy", { limit: KEYS_LEN, signal }));
  const names = [...new Set(["*", ...types, ...texts(page["keys"])])].slice(0, TYPES_MAX);
  const read = names.map(async (name) => {
    try {
      const answer = await client.actor("policy", name).query("get", {}, { signal });
      return [readPolicy(answer.body)];
    } catch (error) {
      // A type that nobody runs and nobody has set anything for.
      if (toProblem(error).code === "not_found") return [];
      throw error;
    }
  });
  const policies = (await Promise.all(read)).flat();
  return policies.sort((one, two) => one.type.localeCompare(two.type));
}

/** A setting of a policy, with the names of what it is in: `retry.attemptsMax`. */
export interface Setting {
  name: string;
  text: string;
  /** Whether the tenant has set it. */
  isOwn: boolean;
}

/** Every setting in force; of `*`, what is set. */
export function settings({ effective, patch }: Policy): Setting[] {
  const own = flat(patch);
  const all = new Map([...flat(effective), ...own]);
  return [...all].map(([name, value]) => {
    const text = `${name.replace(/Ms$/, "")} ${valueText(name, value)}`;
    return { name, text, isOwn: own.has(name) };
  });
}

function flat(values: Record<string, unknown>, within = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(values)) {
    const inner = members(value);
    if (Object.keys(inner).length === 0) found.set(within + name, value);
    for (const [path, leaf] of flat(inner, `${within}${name}.`)) found.set(path, leaf);
  }
  return found;
}

function valueText(name: string, value: unknown): string {
  const ms = name.endsWith("Ms") ? number(value) : undefined;
  return ms === undefined ? JSON.stringify(value) : duration(ms);
}
