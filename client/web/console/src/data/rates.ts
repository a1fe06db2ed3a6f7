/** Rates of tenants and principals over the cluster: what is set, and whom this node refused most. */

import { TOP_LEN } from "../bounds.js";
import { list, members, number, text } from "../json.js";
import { withQuery } from "./http.js";
import type { Http } from "./http.js";
import { time } from "./operation.js";

/** What can be limited. */
export const LIMITED = [
  ["commands", "commands"],
  ["queries", "queries"],
  ["submissions", "submissions of operations"],
  ["subscriptions", "subscriptions opened"],
  ["datagrams", "ephemeral messages"],
  ["frames", "frames"],
  ["bytes", "bytes"],
] as const;

/** A rate that is set. */
export interface RateLimit {
  /** Undefined: it is of every tenant. */
  tenant: string | undefined;
  scope: string;
  limit: string;
  rate: string;
  burst: number;
  /** What each node may be ahead of all others. */
  batch: number;
  changedBy: string;
  changedAt: Date | undefined;
}

/** Somebody who was refused in the last minute. */
export interface Limited {
  tenant: string;
  principal: string;
  limit: string;
  /** Whose limit it is. */
  scope: string;
  refused: number;
}

/** Which limit of whom. */
export interface LimitName {
  scope: string;
  limit: string;
  /** Whose principals the scope is about. */
  tenant: string | undefined;
}

export function readRateLimit(value: unknown): RateLimit {
  const limit = members(value);
  return {
    tenant: text(limit["tenant"]),
    scope: text(limit["scope"]) ?? "?",
    limit: text(limit["limit"]) ?? "?",
    rate: text(limit["rate"]) ?? "?",
    burst: number(limit["burst"]) ?? 0,
    batch: number(limit["batch"]) ?? 0,
    changedBy: text(limit["changedBy"]) ?? "?",
    changedAt: time(limit["changedAt"]),
  };
}

function readLimited(value: unknown): Limited {
  const limited = members(value);
  return {
    tenant: text(limited["tenant"]) ?? "?",
    principal: text(limited["principal"]) ?? "?",
    limit: text(limited["limit"]) ?? "?",
    scope: text(limited["scope"]) ?? "?",
    refused: number(limited["refused"]) ?? 0,
  };
}

export async function getLimits(http: Http, signal: AbortSignal): Promise<RateLimit[]> {
  return list(members(await http.read("v1/limits", signal))["items"]).map(readRateLimit);
}

export async function getLimited(http: Http, signal: AbortSignal): Promise<Limited[]> {
  const path = withQuery("v1/limits/top", { limit: String(TOP_LEN) });
  return list(members(await http.read(path, signal))["items"]).map(readLimited);
}

export async function setLimit(
  http: Http,
  name: LimitName,
  rate: { rate: string; burst?: number },
): Promise<RateLimit> {
  const { path, tenant } = placed(name);
  return readRateLimit(await http.send({ method: "PUT", path, body: rate, tenant }));
}

export async function deleteLimit(http: Http, name: LimitName): Promise<void> {
  await http.send({ method: "DELETE", ...placed(name) });
}

/** The scope of a principal means another one in each tenant: it is said which. */
function placed({ scope, limit, tenant }: LimitName): Pick<LimitName, "tenant"> & { path: string } {
  const path = `v1/limits/${encodeURIComponent(scope)}/${encodeURIComponent(limit)}`;
  return { path, tenant: scope.startsWith("principal:") ? tenant : undefined };
}

/** What is wrong with a rate that somebody types. */
export function wrongRate(rate: string): string | undefined {
  return /^[1-9]\d*\/(s|min|h)$/.test(rate) ? undefined : "Write 50/s, 600/min or 10/h.";
}
