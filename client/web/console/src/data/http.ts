/**
 * The few things that are asked over plain HTTP of the node that serves this page, with the token of the session.
 * Never sends it elsewhere.
 */

import { HTTP_MS, METRICS_BYTES_MAX } from "../bounds.js";
import { members, text } from "../json.js";
import { ConsoleError } from "../problem.js";

export class Http {
  readonly #base: string;
  readonly #credentials: () => { token: string; tenant: string } | undefined;

  /** `base`: where this page is served. */
  constructor(base: string, credentials: () => { token: string; tenant: string } | undefined) {
    this.#base = base;
    this.#credentials = credentials;
  }

  async text(path: string, signal: AbortSignal): Promise<string> {
    const response = await this.#get(path, "text/plain", signal);
    const answer = await response.text();
    if (answer.length > METRICS_BYTES_MAX) {
      throw new ConsoleError("too_large", `/${path} answered with more than this page reads`);
    }
    return answer;
  }

  /** The JSON answer, or undefined where the node has no such path. */
  async json(path: string, signal: AbortSignal): Promise<unknown> {
    try {
      const response = await this.#get(path, "application/json", signal);
      return (await response.json()) as unknown;
    } catch (error) {
      if (error instanceof ConsoleError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  async #get(path: string, accept: string, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { accept };
    const credentials = this.#credentials();
    if (credentials !== undefined) headers["authorization"] = `Bearer ${credentials.token}`;
    if (credentials !== undefined && credentials.tenant !== "") {
      headers["selvedge-tenant"] = credentials.tenant;
    }
    let response: Response;
    try {
      response = await fetch(new URL(path, this.#base), {
        headers,
        cache: "no-store",
        signal: AbortSignal.any([signal, AbortSignal.timeout(HTTP_MS)]),
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ConsoleError(
        "unreachable",
        `the node that serves this page does not answer /${path}`,
      );
    }
    if (response.ok) return response;
    throw await refused(path, response);
  }
}

/** The problem of an answer (RFC 9457), or what its status says. */
async function refused(path: string, response: Response): Promise<ConsoleError> {
  const problem = members(await response.json().catch(() => undefined));
  const message = text(problem["detail"]) ?? text(problem["title"]) ?? `status ${response.status}`;
  const code = text(problem["code"]) ?? codeOf(response.status);
  return new ConsoleError(code, `/${path}: ${message}`, text(problem["field"]));
}

function codeOf(status: number): string {
  switch (status) {
    case 401:
      return "unauthenticated";
    case 403:
      return "permission_denied";
    case 404:
      return "not_found";
    case 429:
      return "limit_exceeded";
    case 503:
      return "unavailable";
    default:
      return "internal";
  }
}
