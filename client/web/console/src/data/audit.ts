/** The audit trail: records by page and filter, and whether their chain is whole. */

import { members, number, text } from "../json.js";
import { withQuery } from "./http.js";
import type { Http } from "./http.js";
import { time } from "./operation.js";

/** What somebody did, or was not let do. */
export interface AuditRecord {
  number: number;
  at: Date | undefined;
  principal: string;
  action: string;
  target: string;
  outcome: string;
  /** Why it was refused. */
  code: string | undefined;
  detail: unknown;
  previous: string;
  hash: string;
}

/** Empty: whatever. */
export interface AuditFilter {
  /** `tenant`, or `cluster`. */
  chain: string;
  principal: string;
  action: string;
  since: string;
  until: string;
}

export function readRecord(value: unknown): AuditRecord {
  const record = members(value);
  return {
    number: number(record["number"]) ?? 0,
    at: time(record["time"]),
    principal: text(record["principal"]) ?? "?",
    action: text(record["action"]) ?? "?",
    target: text(record["target"]) ?? "",
    outcome: text(record["outcome"]) ?? "?",
    code: text(record["code"]),
    detail: record["detail"],
    previous: text(record["previous"]) ?? "",
    hash: text(record["hash"]) ?? "",
  };
}

/** Where a page of the trail is. */
export function auditPath(filter: AuditFilter, limit: number, cursor = ""): string {
  const { chain, principal, action, since, until } = filter;
  const parameters = { chain: chain === "tenant" ? "" : chain, principal, action, since, until };
  return withQuery("v1/audit", { ...parameters, limit: String(limit), cursor });
}

/** A record and its hash. */
interface Known {
  number: number;
  hash: string;
}

/** What verifying came to. */
export type Verified =
  | { result: "whole"; records: number; first: number; head: Known | undefined }
  | { result: "damaged"; number: number; message: string };

/**
 * Verifies a chain from its first record to its last, part by part as the node has it. `onPart` hears how far it is:
 * the number of the last record of each part.
 */
export async function verify(
  http: Http,
  chain: string,
  onPart: (last: number) => void,
  signal: AbortSignal,
): Promise<Verified> {
  let from: Known | undefined;
  for (;;) {
    const body = {
      chain: chain === "" ? "tenant" : chain,
      ...(from === undefined ? {} : { from }),
    };
    const answer = members(
      await http.send({ method: "POST", path: "v1/audit/verify", body }, signal),
    );
    const at = known(answer["at"]);
    // A part that came no further than the one before would go on for ever.
    const isOn = at !== undefined && at.number > (from?.number ?? 0);
    if (answer["result"] !== "partial" || !isOn) return found(answer);
    onPart(at.number);
    from = at;
  }
}

function found(answer: Record<string, unknown>): Verified {
  if (answer["result"] === "whole") {
    return {
      result: "whole",
      records: number(answer["records"]) ?? 0,
      first: number(answer["first"]) ?? 0,
      head: known(answer["head"]),
    };
  }
  const message =
    text(answer["message"]) ?? "the node says neither that it is whole nor what is wrong";
  return { result: "damaged", number: number(answer["number"]) ?? 0, message };
}

function known(value: unknown): Known | undefined {
  const [at, hash] = [number(members(value)["number"]), text(members(value)["hash"])];
  return at === undefined || hash === undefined ? undefined : { number: at, hash };
}
