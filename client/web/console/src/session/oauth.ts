/**
 * Logging in with a password at the node that serves this page: authorization code with PKCE (RFC 6749, 7636, 9207).
 * The password is typed at the node's own page; what comes back is a code, which is good once and only with the
 * verifier that this tab has kept. It starts and ends a login and asks for tokens; it keeps none of them.
 */

import { HTTP_MS } from "../bounds.js";
import { members, number, text } from "../json.js";
import { ConsoleError } from "../problem.js";
import type { Credentials } from "./credentials.js";

/** What every node knows this console as. */
const CLIENT = "console";
const KEY = "selvedge.login";
/** Of the state and of the verifier, which has 43 characters then (RFC 7636, 4.1). */
const RANDOM_BYTES = 32;

/** What a login that has begun comes back to. */
interface Pending {
  state: string;
  verifier: string;
  tenant: string;
  /** Who is to answer. */
  issuer: string;
  /** The view that was asked for. */
  hash: string;
}

/** What the address brought back. */
export interface Returned {
  code: string | undefined;
  error: string | undefined;
  description: string | undefined;
  state: string | undefined;
  issuer: string | undefined;
}

export class OAuth {
  readonly #base: URL;

  /** `base`: where this page is served. */
  constructor(base: string) {
    this.#base = new URL(base);
  }

  /** Who answers logins at this node; undefined where nobody does, or this page may not come back from there. */
  async issuer(signal: AbortSignal): Promise<string | undefined> {
    if (this.#base.pathname !== "/") return undefined;
    const response = await this.#fetch(".well-known/openid-configuration", { signal });
    if (!response.ok) return undefined;
    return text(members(await response.json().catch(() => undefined))["issuer"]);
  }

  /** The address that a login begins at. What it needs to come back is kept in this tab. */
  async begin(issuer: string, tenant: string, hash: string): Promise<URL> {
    const pending: Pending = { state: random(), verifier: random(), tenant, issuer, hash };
    const challenge = await challengeOf(pending.verifier);
    sessionStorage.setItem(KEY, JSON.stringify(pending));
    const url = new URL("oauth/authorize", this.#base);
    url.search = new URLSearchParams({
      response_type: "code",
      client_id: CLIENT,
      redirect_uri: this.#redirect,
      code_challenge: challenge,
      code_challenge_method: "S256",
      state: pending.state,
      ...(tenant === "" ? {} : { tenant }),
    }).toString();
    return url;
  }

  /** Ends what began: the credentials that the code stands for, and the view that was asked for. */
  async finish(returned: Returned): Promise<{ credentials: Credentials; hash: string }> {
    const pending = takePending();
    if (pending === undefined || returned.state !== pending.state) {
      throw new ConsoleError(
        "login_unknown",
        "this sign-in was not begun in this tab, or is done already",
      );
    }
    // Who sends a code says who it is (RFC 9207); a refusal from somebody else would do nothing.
    const isOther = returned.issuer !== pending.issuer;
    if (isOther && (returned.code !== undefined || returned.issuer !== undefined)) {
      throw new ConsoleError("login_unknown", "somebody else has answered than was asked");
    }
    const { code, error, description } = returned;
    if (code === undefined) {
      throw new ConsoleError(error ?? "login_unknown", description ?? "the node gave no reason");
    }
    const credentials = await this.#ask(pending.tenant, {
      grant_type: "authorization_code",
      code,
      code_verifier: pending.verifier,
      redirect_uri: this.#redirect,
    });
    return { credentials, hash: pending.hash };
  }

  /** The next credentials of a login. */
  refresh(tenant: string, refreshToken: string): Promise<Credentials> {
    return this.#ask(tenant, { grant_type: "refresh_token", refresh_token: refreshToken });
  }

  /** Ends a login: nobody goes on with what came of it. */
  async revoke(refreshToken: string): Promise<void> {
    const response = await this.#post("oauth/revoke", { token: refreshToken });
    if (!response.ok) throw await refused(response);
  }

  get #redirect(): string {
    return `${this.#base.origin}/`;
  }

  async #ask(tenant: string, form: Record<string, string>): Promise<Credentials> {
    const response = await this.#post("oauth/token", form);
    if (!response.ok) throw await refused(response);
    const answer = members(await response.json().catch(() => undefined));
    const token = text(answer["access_token"]);
    const refreshToken = text(answer["refresh_token"]);
    const seconds = number(answer["expires_in"]);
    if (token === undefined || refreshToken === undefined || seconds === undefined) {
      throw new ConsoleError("internal", "the node answered without tokens");
    }
    const expiresAt = Date.now() + seconds * 1_000;
    return { token, tenant, renewal: { refreshToken, expiresAt } };
  }

  #post(path: string, form: Record<string, string>): Promise<Response> {
    const body = new URLSearchParams({ ...form, client_id: CLIENT });
    return this.#fetch(path, { method: "POST", body });
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const late = AbortSignal.timeout(HTTP_MS);
    const signal = init.signal == null ? late : AbortSignal.any([init.signal, late]);
    try {
      return await fetch(new URL(path, this.#base), { ...init, signal, cache: "no-store" });
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      throw new ConsoleError(
        "unreachable",
        `the node that serves this page does not answer /${path}`,
      );
    }
  }
}

/** What a login has come back with, once: the address has none of it any more, nor has the history. */
export function takeReturned(): Returned | undefined {
  const asked = new URLSearchParams(location.search);
  const ask = (name: string): string | undefined => asked.get(name) ?? undefined;
  const [code, error] = [ask("code"), ask("error")];
  if (code === undefined && error === undefined) return undefined;
  history.replaceState(null, "", location.pathname + location.hash);
  const [description, state, issuer] = [ask("error_description"), ask("state"), ask("iss")];
  return { code, error, description, state, issuer };
}

/** Why this page cannot begin a login, if it cannot: browsers hash in pages that nobody can have changed on their way. */
export function hindrance(): string | undefined {
  return isSecureContext
    ? undefined
    : "A password is asked for over HTTPS or on the node's own machine only.";
}

function takePending(): Pending | undefined {
  try {
    const kept = members(JSON.parse(sessionStorage.getItem(KEY) ?? "null"));
    sessionStorage.removeItem(KEY);
    const [state, verifier] = [text(kept["state"]), text(kept["verifier"])];
    const [tenant, issuer] = [text(kept["tenant"]), text(kept["issuer"])];
    const isWhole = state !== undefined && verifier !== undefined;
    if (!isWhole || tenant === undefined || issuer === undefined) return undefined;
    return { state, verifier, tenant, issuer, hash: text(kept["hash"]) ?? "" };
  } catch {
    return undefined;
  }
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)));
}

async function challengeOf(verifier: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return base64url(new Uint8Array(hash));
}

function base64url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** A refusal (RFC 6749, 5.2): that what goes on with a login is not good any more, or another. */
async function refused(response: Response): Promise<ConsoleError> {
  const answer = members(await response.json().catch(() => undefined));
  const error = text(answer["error"]);
  const message = text(answer["error_description"]) ?? `status ${response.status}`;
  if (error === "invalid_grant") return new ConsoleError("unauthenticated", message);
  if (response.status === 503) return new ConsoleError("unavailable", message);
  return new ConsoleError(error ?? "internal", message);
}
