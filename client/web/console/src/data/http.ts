/**
 * What is asked and told over plain HTTP at the node that serves this page, with the token of the session. Never sends
 * it elsewhere, and never sends a change twice.
 */

import { HTTP_MS, JSON_BYTES_MAX, METRICS_BYTES_MAX, WRITE_MS } from "../bounds.js";
import { members, number, text } from "../json.js";
import { ConsoleError } from "../problem.js";

/** Who asks. */
export interface Asker {
  readonly credentials: { tenant: string } | undefined;
  token(): Promise<string | undefined>;
}

/** A change. */
export interface Change {
  method: "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  body?: unknown;
  /** The version of what is changed that the change rests on. */
  version?: number;
  /** Where it is of another tenant than the one that is acted in. */
  tenant?: string | undefined;
}

export class Http {
  readonly #base: string;
  readonly #asker: Asker;

  /** `base`: where this page is served. */
  constructor(base: string, asker: Asker) {
    this.#base = base;
    this.#asker = asker;
  }

  async text(path: string, signal: AbortSignal): Promise<string> {
    const headers = { accept: "text/plain" };
    const response = await this.#fetch(path, { headers, signal }, HTTP_MS);
    return bounded(path, response, METRICS_BYTES_MAX);
  }

  /** The JSON answer, or undefined where the node has no such path. */
  async json(path: string, signal: AbortSignal): Promise<unknown> {
    try {
      return await this.read(path, signal);
    } catch (error) {
      if (error instanceof ConsoleError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  /** The JSON answer. */
  async read(path: string, signal?: AbortSignal): Promise<unknown> {
    const headers = { accept: "application/json" };
    const response = await this.#fetch(path, { headers, signal: signal ?? null }, HTTP_MS);
    return parsed(path, await bounded(path, response, JSON_BYTES_MAX));
  }

  /** Changes something; the answer, or undefined where there is none. */
  async send(change: Change, signal?: AbortSignal): Promise<unknown> {
    const { method, path, body, version, tenant } = change;
    const headers: Record<string, string> = { accept: "application/json" };
    if (body !== undefined) headers["content-type"] = "application/json";
    if (version !== undefined) headers["if-match"] = `"${version}"`;
    if (tenant !== undefined) headers["selvedge-tenant"] = tenant;
    const init: RequestInit = { method, headers, signal: signal ?? null };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await this.#fetch(path, init, WRITE_MS);
    const answer = await bounded(path, response, JSON_BYTES_MAX);
    return answer === "" ? undefined : parsed(path, answer);
  }

  async #fetch(path: string, init: RequestInit, ms: number): Promise<Response> {
    const token = await this.#asker.token();
    const tenant = this.#asker.credentials?.tenant ?? "";
    const headers: Record<string, string> = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(tenant === "" ? {} : { "selvedge-tenant": tenant }),
      ...(init.headers as Record<string, string>),
    };
    const late = AbortSignal.timeout(ms);
    const signal = init.signal == null ? late : AbortSignal.any([init.signal, late]);
    let response: Response;
    try {
      const url = new URL(path, this.#base);
      response = await fetch(url, { ...init, headers, signal, cache: "no-store" });
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      const message = `the node that serves this page does not answer ${named(path)}`;
      throw new ConsoleError("unreachable", message);
    }
    if (response.ok) return response;
    throw await refused(path, response);
  }
}

/** A path with parameters; those that are empty are left out. */
export function withQuery(path: string, parameters: Readonly<Record<string, string>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given).toString()}`;
}

function named(path: string): string {
  return `/${path.split("?")[0] ?? ""}`;
}

async function bounded(path: string, response: Response, most: number): Promise<string> {
  const answer = await response.text();
  if (answer.length <= most) return answer;
  throw new ConsoleError("too_large", `${named(path)} answered with more than this page reads`);
}

function parsed(path: string, answer: string): unknown {
  try {
    return JSON.parse(answer) as unknown;
  } catch {
    throw new ConsoleError("internal", `${named(path)} answered with what is no JSON`);
  }
}

/** The problem of an answer (RFC 9457), or what its status says. */
async function refused(path: string, response: Response): Promise<ConsoleError> {
  const problem = members(await response.json().catch(() => undefined));
  const said = text(problem["detail"]) ?? text(problem["title"]);
  const message = said ?? `${named(path)} answered with status ${response.status}`;
  const code = text(problem["code"]) ?? codeOf(response.status);
  return new ConsoleError(code, message, text(problem["field"]), number(problem["retryAfterMs"]));
}

function codeOf(status: number): string {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
      return "not_found";
    case 409:
    case 412:
      return "conflict";
    case 429:
      return "limit_exceeded";
    case 503:
      return "unavailable";
    default:
      return "internal";
  }
}
