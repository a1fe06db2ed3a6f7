/** The API of the fake cluster over HTTP, as far as the console asks it: what `fetch` of a test is, or Vite serves. */

import { GONE, ok, paged, refusal, unknown } from "./answer.js";
import type { Answered, Asked } from "./answer.js";
import { FakeDirectory } from "./directory.js";
import { Trail } from "./trail.js";

interface FakeLimit {
  tenant: string | null;
  scope: string;
  limit: string;
  rate: string;
  burst: number;
  batch: number;
  changedBy: string;
  changedAt: string;
}

/** What a request is, whoever takes it. */
export interface Request {
  method: string;
  url: URL;
  headers: Headers;
  body: string;
}

export class FakeApi {
  readonly trail = new Trail();
  readonly directory = new FakeDirectory(this.trail);
  readonly limits: FakeLimit[] = [];
  readonly sessions: Record<string, unknown>[] = [];
  readonly requests: Request[] = [];
  /** Permissions that are refused, as `user` or `user:write`. */
  readonly denied = new Set<string>();

  answer(request: Request): Answered {
    this.requests.push(request);
    const { method, url, headers, body } = request;
    const parts = url.pathname.slice(1).split("/").map(decodeURIComponent);
    const [root, noun = ""] = parts;
    if (root !== "v1") return refusal(404, "not_found", "nothing is here");
    const action = method === "GET" ? "read" : "write";
    const resource = noun.replace(/s$/, "");
    if (this.denied.has(resource) || this.denied.has(`${resource}:${action}`)) {
      const detail = `you may not do this; that is ${resource}:${action}`;
      return refusal(403, "permission_denied", detail);
    }
    const tag = /^"(\d+)"$/.exec(headers.get("if-match") ?? "")?.[1];
    const read = body === "" ? {} : (JSON.parse(body) as Record<string, unknown>);
    const version = tag === undefined ? undefined : Number(tag);
    const asked: Asked = { method, parts, query: url.searchParams, body: read, version };
    return this.#of(noun, asked) ?? refusal(404, "not_found", "nothing is here");
  }

  #of(noun: string, asked: Asked): Answered | undefined {
    switch (noun) {
      case "audit":
        return this.trail.answer(asked);
      case "limits":
        return this.#ofLimits(asked);
      case "sessions":
        return this.#ofSessions(asked);
      default:
        return this.directory.answer(asked);
    }
  }

  #ofLimits({ method, parts, body }: Asked): Answered {
    const [, , scope = "", limit = ""] = parts;
    if (scope === "") return ok({ items: this.limits });
    if (scope === "top") {
      const refused = { tenant: "default", principal: "ann", limit: "commands" };
      return ok({ items: [{ ...refused, scope: "tenant", refused: 450 }] });
    }
    const at = this.limits.findIndex((it) => it.scope === scope && it.limit === limit);
    if (at >= 0) this.limits.splice(at, 1);
    this.trail.add(method === "PUT" ? "limit.set" : "limit.delete", `${scope} ${limit}`);
    if (method === "DELETE") return GONE;
    const rate = String(body["rate"]);
    const burst = typeof body["burst"] === "number" ? body["burst"] : parseInt(rate, 10);
    const by = { changedBy: "admin", changedAt: new Date().toISOString() };
    const tenant = scope === "tenant:*" ? null : "default";
    const set = { tenant, scope, limit, rate, burst, batch: Math.ceil(burst / 10), ...by };
    this.limits.push(set);
    return ok(set);
  }

  #ofSessions({ method, parts, query }: Asked): Answered {
    if (method === "GET") return paged(this.sessions, query);
    const [, , id] = parts;
    const principal = query.get("principal");
    const isClosed = (it: Record<string, unknown>): boolean =>
      id === undefined ? it["principal"] === principal : it["id"] === id;
    const left = this.sessions.filter((it) => !isClosed(it));
    if (left.length === this.sessions.length) return unknown("session");
    this.sessions.splice(0, this.sessions.length, ...left);
    return GONE;
  }
}

/** A session as the API lists it. */
export function sessionRow(id: string, principal: string): Record<string, unknown> {
  const at = new Date(Date.now() - 90_000).toISOString();
  const place = { tenant: "default", node: "node-1", transport: "websocket" };
  return { id, principal, ...place, connected: true, since: at, createdAt: at };
}
