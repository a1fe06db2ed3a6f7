/** An answer of the fake API, and the refusals that it knows. */

export interface Asked {
  method: string;
  /** Without the leading slash, each part decoded. */
  parts: string[];
  query: URLSearchParams;
  body: Record<string, unknown>;
  /** Of `If-Match`. */
  version: number | undefined;
}

export interface Answered {
  status: number;
  body?: unknown;
}

export function ok(body: unknown): Answered {
  return { status: 200, body };
}

export const GONE: Answered = { status: 204 };

export function refusal(status: number, code: string, detail: string, field?: string): Answered {
  return { status, body: { code, detail, status, ...(field === undefined ? {} : { field }) } };
}

export function unknown(what: string): Answered {
  return refusal(404, "not_found", `there is no such ${what}`, "id");
}

/** What a change that rests on another version is told. */
export function stale(asked: Asked, version: number): Answered | undefined {
  if (asked.version === undefined || asked.version === version) return undefined;
  const detail = `it has version ${version}, not ${asked.version}`;
  return refusal(412, "conflict", detail, "ifVersion");
}

/** A page by cursor: the position of its first item. */
export function paged(items: readonly unknown[], query: URLSearchParams): Answered {
  const limit = Number(query.get("limit") ?? "50");
  const from = Number(query.get("cursor") ?? "0");
  const next = from + limit < items.length ? String(from + limit) : null;
  return ok({ items: items.slice(from, from + limit), cursor: next });
}
