/** What this tab signs in with, in its session storage: gone with the tab, and never in an address. */

import { members, number, text } from "../json.js";

export interface Credentials {
  token: string;
  tenant: string;
  /** What goes on with it, where somebody has logged in: the token is good for minutes then. */
  renewal?: Renewal;
}

export interface Renewal {
  /** Good once. */
  refreshToken: string;
  /** When the token is no longer good, Unix milliseconds. */
  expiresAt: number;
}

const KEY = "selvedge.credentials";

/** What was kept, unless the browser keeps nothing. */
export function recall(): Credentials | undefined {
  try {
    const kept = members(JSON.parse(sessionStorage.getItem(KEY) ?? "null"));
    const [token, tenant] = [text(kept["token"]), text(kept["tenant"])];
    if (token === undefined || tenant === undefined) return undefined;
    const renewal = readRenewal(kept["renewal"]);
    return { token, tenant, ...(renewal === undefined ? {} : { renewal }) };
  } catch {
    return undefined;
  }
}

function readRenewal(value: unknown): Renewal | undefined {
  const kept = members(value);
  const [refreshToken, expiresAt] = [text(kept["refreshToken"]), number(kept["expiresAt"])];
  if (refreshToken === undefined || expiresAt === undefined) return undefined;
  return { refreshToken, expiresAt };
}

/** Keeps them for a reload of the page. A browser that keeps nothing asks again. */
export function keep(credentials: Credentials): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(credentials));
  } catch {
    // Storage is off or full: the session works without.
  }
}

export function forget(): void {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // There was nothing kept.
  }
}
