/** The audit trail of the fake cluster: numbers instead of hashes, in parts of a few records. */

import { ok, paged, refusal } from "./answer.js";
import type { Answered, Asked } from "./answer.js";

interface FakeRecord {
  number: number;
  time: string;
  principal: string;
  action: string;
  target: string;
  outcome: "done" | "refused";
  code?: string;
  detail?: unknown;
  previous: string;
  hash: string;
}

/** Records that are verified in one part. */
const PART = 2;

export class Trail {
  readonly records: FakeRecord[] = [];
  /** The record that is not as it was. */
  damaged: number | undefined;

  add(action: string, target: string, detail?: unknown, code?: string): void {
    const number = this.records.length + 1;
    this.records.push({
      number,
      time: new Date().toISOString(),
      principal: "admin",
      action,
      target,
      outcome: code === undefined ? "done" : "refused",
      ...(code === undefined ? {} : { code }),
      ...(detail === undefined ? {} : { detail }),
      previous: hash(number - 1),
      hash: hash(number),
    });
  }

  answer({ parts, query, body }: Asked): Answered {
    if (query.get("chain") === "cluster") {
      return refusal(403, "permission_denied", "only administrators of the cluster have it");
    }
    if (parts[2] === "verify") return this.#verified(body);
    const [action, principal] = [query.get("action"), query.get("principal")];
    const isAsked = (record: FakeRecord): boolean =>
      (action === null || record.action === action || record.action.startsWith(`${action}.`)) &&
      (principal === null || record.principal === principal);
    return paged(this.records.filter(isAsked).reverse(), query);
  }

  #verified(body: Record<string, unknown>): Answered {
    const from = (body["from"] as { number: number } | undefined)?.number ?? 0;
    const last = Math.min(from + PART, this.records.length);
    if (this.damaged !== undefined && this.damaged > from && this.damaged <= last) {
      const message = "its hash is not that of what is stored";
      return ok({ result: "damaged", number: this.damaged, message });
    }
    const at = { number: last, hash: hash(last) };
    if (last < this.records.length) return ok({ result: "partial", first: from + 1, last, at });
    return ok({ result: "whole", records: last, first: 1, ...(last === 0 ? {} : { head: at }) });
  }
}

function hash(number: number): string {
  return number.toString(16).padStart(64, "0");
}
