/**
 * Goes on with a login: gives the token that is good now, and gets the next before it expires. The session owns one
 * while somebody is signed in with a password. It never asks twice at a time, since a refresh token is good once; and
 * each is kept before it is used, so that a page that is closed in the middle repeats the same question.
 */

import { RENEW_BEFORE_MS } from "../bounds.js";
import type { Credentials, Renewal } from "./credentials.js";
import type { OAuth } from "./oauth.js";

type Renewable = Credentials & { renewal: Renewal };

export class Login {
  readonly #oauth: OAuth;
  readonly #keep: (credentials: Credentials) => void;
  #now: Renewable;
  #asking: Promise<string> | undefined;

  /** `keep` is told of each that is new. */
  constructor(oauth: OAuth, now: Renewable, keep: (credentials: Credentials) => void) {
    this.#oauth = oauth;
    this.#now = now;
    this.#keep = keep;
  }

  /** The token that is good now. Rejects with `unauthenticated` where the login is over. */
  async token(): Promise<string> {
    const left = this.#now.renewal.expiresAt - Date.now();
    if (left > RENEW_BEFORE_MS) return this.#now.token;
    this.#asking ??= this.#renewed().finally(() => {
      this.#asking = undefined;
    });
    if (left <= 0) return this.#asking;
    // The present one is good for a while, whatever keeps the next from coming, unless the login is over.
    return this.#asking.catch((error: unknown) => {
      if (isOver(error)) throw error;
      return this.#now.token;
    });
  }

  /** The node says that this token is not good any more, whatever the clock of this machine says. */
  spoil(token: string | undefined): void {
    // The next may be here already.
    if (token !== this.#now.token) return;
    const renewal = { ...this.#now.renewal, expiresAt: 0 };
    this.#now = { ...this.#now, renewal };
  }

  /** Ends it. */
  async revoke(): Promise<void> {
    // What is on its way would be the one to end.
    await this.#asking?.catch(() => undefined);
    await this.#oauth.revoke(this.#now.renewal.refreshToken);
  }

  async #renewed(): Promise<string> {
    const { tenant, renewal } = this.#now;
    const next = await this.#oauth.refresh(tenant, renewal.refreshToken);
    this.#now = { ...next, renewal: next.renewal ?? renewal };
    this.#keep(this.#now);
    return next.token;
  }
}

/** Whether an error says that a login is over. */
export function isOver(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === "unauthenticated";
}
