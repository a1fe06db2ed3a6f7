/** The API of a node as another client than the console uses it: what somebody else does meanwhile. */

import type { Node } from "./node.js";

export class Api {
  readonly #node: Node;
  readonly #token: string;

  /** As the node's administrator, or whose token this is. */
  constructor(node: Node, token = node.token) {
    this.#node = node;
    this.#token = token;
  }

  async status(method: string, path: string, body?: unknown): Promise<number> {
    return (await this.#ask(method, path, body)).status;
  }

  /** The answer, which is a good one. */
  async done(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const response = await this.#ask(method, path, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
  }

  #ask(method: string, path: string, body?: unknown): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}` };
    const init: RequestInit = { method, headers };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      init.body = JSON.stringify(body);
    }
    return fetch(new URL(path, this.#node.own), init);
  }
}
