/** The routes of the page, which live behind the `#` of its address. Pure but for `watchRoute`. */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { AuditFilter } from "./data/audit.js";

export type Route =
  | { view: "overview" }
  | { view: "operations"; status: string; type: string; label: string }
  | { view: "submit"; type: string }
  | { view: "operation"; id: string }
  | { view: "actors"; kind: string }
  | { view: "actor"; kind: string; key: string }
  | { view: "sessions" }
  | { view: "limits" }
  | ({ view: "audit" } & AuditFilter)
  | { view: "users" }
  | { view: "user"; id: string }
  | { view: "roles" }
  | { view: "api-keys" }
  | { view: "metrics" }
  | { view: "room"; key: string }
  | { view: "unknown"; path: string };

/** The audit trail without filters. */
export const AUDIT: Extract<Route, { view: "audit" }> = {
  view: "audit",
  chain: "",
  principal: "",
  action: "",
  since: "",
  until: "",
};

/** The room that everybody knows. */
export const ROOM = "42";

/** What the address asks for. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const asked = new URLSearchParams(query);
  const [first = "", ...rest] = path.split("/").filter((part) => part !== "");
  // A key may hold slashes: they are escaped in the address, so the parts are whole.
  const parts = rest.map(unescape);
  const [second, third] = parts;
  const ask = (name: string): string => asked.get(name) ?? "";
  switch (`${first}/${parts.length}`) {
    case "/0":
      return { view: "overview" };
    case "operations/0":
      return { view: "operations", status: ask("status"), type: ask("type"), label: ask("label") };
    case "submit/0":
      return { view: "submit", type: ask("type") };
    case "operation/1":
      return { view: "operation", id: second ?? "" };
    case "actors/0":
      return { view: "actors", kind: ask("kind") };
    case "actor/2":
      return { view: "actor", kind: second ?? "", key: third ?? "" };
    case "sessions/0":
      return { view: "sessions" };
    case "limits/0":
      return { view: "limits" };
    case "audit/0": {
      const [chain, principal, action] = [ask("chain"), ask("principal"), ask("action")];
      return { view: "audit", chain, principal, action, since: ask("since"), until: ask("until") };
    }
    case "users/0":
      return { view: "users" };
    case "user/1":
      return { view: "user", id: second ?? "" };
    case "roles/0":
      return { view: "roles" };
    case "api-keys/0":
      return { view: "api-keys" };
    case "metrics/0":
      return { view: "metrics" };
    case "room/0":
      return { view: "room", key: ROOM };
    case "room/1":
      return { view: "room", key: second ?? ROOM };
    default:
      return { view: "unknown", path };
  }
}

/** The address of a route. */
export function href(route: Route): string {
  switch (route.view) {
    case "overview":
      return "#/";
    case "operations": {
      const { status, type, label } = route;
      return `#/operations${query({ status, type, label })}`;
    }
    case "submit":
      return `#/submit${query({ type: route.type })}`;
    case "operation":
      return `#/operation/${encodeURIComponent(route.id)}`;
    case "actors":
      return `#/actors${query({ kind: route.kind })}`;
    case "actor":
      return `#/actor/${encodeURIComponent(route.kind)}/${encodeURIComponent(route.key)}`;
    case "sessions":
    case "limits":
    case "metrics":
    case "users":
    case "roles":
    case "api-keys":
      return `#/${route.view}`;
    case "audit": {
      const { chain, principal, action, since, until } = route;
      return `#/audit${query({ chain, principal, action, since, until })}`;
    }
    case "user":
      return `#/user/${encodeURIComponent(route.id)}`;
    case "room":
      return `#/room/${encodeURIComponent(route.key)}`;
    case "unknown":
      return `#${route.path}`;
  }
}

function query(filters: Record<string, string>): string {
  const set = Object.entries(filters).filter(([, value]) => value !== "");
  return set.length === 0 ? "" : `?${new URLSearchParams(set).toString()}`;
}

function unescape(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What tells pages apart: filters of a list are no page of their own. */
export function page(route: Route): string {
  return href(route).split("?")[0] ?? "";
}

const current = signal<Route>({ view: "overview" });

/** The route of now. */
export const route: ReadonlySignal<Route> = current;

/** Follows the address. The answer ends it. */
export function watchRoute(): () => void {
  const look = (): void => {
    current.value = parseRoute(location.hash);
  };
  look();
  addEventListener("hashchange", look);
  return () => {
    removeEventListener("hashchange", look);
  };
}

export function go(to: Route): void {
  location.hash = href(to);
}

/** The same page with other filters: not a step to go back to. */
export function replace(to: Route): void {
  history.replaceState(null, "", href(to));
  current.value = to;
}
