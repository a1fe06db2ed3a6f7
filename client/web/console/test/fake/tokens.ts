/** A token endpoint as a node has it: a code is good once and with its verifier, a refresh token once. */

import { createHash } from "node:crypto";

export class TokenServer {
  readonly #issuer: string;
  readonly #lifeMs: number;
  readonly forms: Record<string, string>[] = [];
  readonly revoked: string[] = [];
  /** Of the login that has begun. */
  challenge = "";
  /** Whether the node has logins at all. */
  isKnown = true;
  isAway = false;
  fails: { status: number; error: string } | undefined;
  #generation = 0;

  constructor(issuer: string, lifeMs: number) {
    this.#issuer = issuer;
    this.#lifeMs = lifeMs;
  }

  readonly fetch = (url: URL, init: RequestInit = {}): Promise<Response> => {
    if (this.isAway) return Promise.reject(new TypeError("no connection"));
    return Promise.resolve(this.#answer(url, init));
  };

  #answer(url: URL, { body }: RequestInit): Response {
    if (url.pathname === "/.well-known/openid-configuration") {
      return this.isKnown ? json(200, { issuer: this.#issuer }) : json(404, { code: "not_found" });
    }
    const form = Object.fromEntries(body as URLSearchParams) as Record<string, string>;
    if (url.pathname === "/oauth/revoke") {
      this.revoked.push(form["token"] ?? "");
      return new Response(null, { status: 200 });
    }
    this.forms.push(form);
    if (this.fails !== undefined) {
      const { status, error } = this.fails;
      return json(status, { error, error_description: error });
    }
    return this.#isGood(form) ? this.#next() : json(400, { error: "invalid_grant" });
  }

  #isGood(form: Record<string, string>): boolean {
    if (form["grant_type"] === "refresh_token") {
      return form["refresh_token"] === `refresh-${this.#generation}`;
    }
    const hash = createHash("sha256").update(form["code_verifier"] ?? "");
    return this.#generation === 0 && hash.digest("base64url") === this.challenge;
  }

  #next(): Response {
    this.#generation += 1;
    return json(200, {
      access_token: `access-${this.#generation}`,
      token_type: "Bearer",
      expires_in: this.#lifeMs / 1_000,
      refresh_token: `refresh-${this.#generation}`,
    });
  }
}

function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status });
}
