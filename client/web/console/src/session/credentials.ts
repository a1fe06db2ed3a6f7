/** The token and tenant of this tab, in its session storage: gone with the tab, and never in an address. */

export interface Credentials {
  token: string;
  tenant: string;
}

const KEY = "selvedge.credentials";

/** What was kept, unless the browser keeps nothing. */
export function recall(): Credentials | undefined {
  try {
    const text = sessionStorage.getItem(KEY);
    const kept: unknown = text === null ? undefined : JSON.parse(text);
    if (typeof kept !== "object" || kept === null) return undefined;
    const { token, tenant } = kept as Partial<Record<keyof Credentials, unknown>>;
    if (typeof token !== "string" || typeof tenant !== "string") return undefined;
    return { token, tenant };
  } catch {
    return undefined;
  }
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
