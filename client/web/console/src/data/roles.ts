/** The roles of a tenant: names and the rules that they give. */

import { ROLES_LEN } from "../bounds.js";
import { flag, members, number, text, texts } from "../json.js";
import { withQuery } from "./http.js";
import type { Http } from "./http.js";
import { time } from "./operation.js";
import { readPageOf } from "./pages.js";

export interface Role {
  name: string;
  /** `RESOURCE:ACTION`, with `:own` behind for what is one's own. */
  rules: string[];
  /** Every tenant has it, as it is. */
  isBuiltIn: boolean;
  /** 0: it is built in, or is not there yet. */
  version: number;
  updatedAt: Date | undefined;
}

export function rolePath(name: string): string {
  return `v1/roles/${encodeURIComponent(name)}`;
}

export function readRole(value: unknown): Role {
  const role = members(value);
  return {
    name: text(role["name"]) ?? "?",
    rules: texts(role["rules"]),
    isBuiltIn: flag(role["builtIn"]),
    version: number(role["version"]) ?? 0,
    updatedAt: time(role["updatedAt"]),
  };
}

export async function getRole(http: Http, name: string): Promise<Role> {
  return readRole(await http.read(rolePath(name)));
}

/** Makes it, or gives it other rules, unless it is not as it was. */
export async function setRole(
  http: Http,
  { name, version }: Pick<Role, "name" | "version">,
  rules: readonly string[],
): Promise<Role> {
  const path = rolePath(name);
  return readRole(await http.send({ method: "PUT", path, body: { rules }, version }));
}

export async function removeRole(http: Http, { name, version }: Role): Promise<void> {
  await http.send({ method: "DELETE", path: rolePath(name), version });
}

/** Names to choose from. Rejects where whoever asks may not see roles. */
export async function roleNames(http: Http, signal: AbortSignal): Promise<string[]> {
  const path = withQuery("v1/roles", { limit: String(ROLES_LEN) });
  return readPageOf(await http.read(path, signal), readRole).items.map(({ name }) => name);
}

/** Rules that somebody types, one a line; empty lines are none. */
export function rulesOf(text: string): string[] {
  const rules = text.split(/[\n,]/).map((rule) => rule.trim());
  return [...new Set(rules.filter((rule) => rule !== ""))];
}

/** What is wrong with a rule's form. What it means only the node knows. */
export function wrongRule(rules: readonly string[]): string | undefined {
  const wrong = rules.find((rule) => !/^(\*|[a-z-]+):(\*|[a-z-]+)(:own)?$/.test(rule));
  return wrong === undefined ? undefined : `“${wrong}” is no rule: write RESOURCE:ACTION.`;
}

/** What a role may be called. */
export function wrongRoleName(name: string): string | undefined {
  const isName = /^[a-z][a-z0-9_.-]{0,63}$/.test(name);
  return isName ? undefined : "A letter a-z, then letters, digits and _.- up to 64.";
}
