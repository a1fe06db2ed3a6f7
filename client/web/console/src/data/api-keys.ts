/** The API keys of a tenant. Their secrets are in one answer only, and pass through here once. */

import { members, number, text, texts } from "../json.js";
import { ConsoleError } from "../problem.js";
import type { Http } from "./http.js";
import { time } from "./operation.js";

export interface ApiKey {
  id: string;
  name: string;
  roles: string[];
  createdBy: string;
  createdAt: Date | undefined;
  expiresAt: Date | undefined;
  /** To the hour. */
  lastUsedAt: Date | undefined;
  revokedAt: Date | undefined;
  version: number;
}

export interface NewApiKey {
  name: string;
  roles: string[];
  /** RFC 3339. */
  expiresAt?: string;
}

export const API_KEYS = "v1/api-keys";

export function readApiKey(value: unknown): ApiKey {
  const key = members(value);
  return {
    id: text(key["id"]) ?? "",
    name: text(key["name"]) ?? "?",
    roles: texts(key["roles"]),
    createdBy: text(key["createdBy"]) ?? "?",
    createdAt: time(key["createdAt"]),
    expiresAt: time(key["expiresAt"]),
    lastUsedAt: time(key["lastUsedAt"]),
    revokedAt: time(key["revokedAt"]),
    version: number(key["version"]) ?? 0,
  };
}

/** Makes a key. The secret is in no other answer: whoever gets it shows it and keeps it nowhere. */
export async function makeApiKey(
  http: Http,
  key: NewApiKey,
): Promise<{ key: ApiKey; secret: string }> {
  const made = await http.send({ method: "POST", path: API_KEYS, body: key });
  const secret = text(members(made)["key"]);
  if (secret === undefined) {
    throw new ConsoleError("internal", "the node has made a key and did not say it; revoke it");
  }
  return { key: readApiKey(made), secret };
}

export async function revokeApiKey(http: Http, { id, version }: ApiKey): Promise<void> {
  const path = `${API_KEYS}/${encodeURIComponent(id)}/revoke`;
  await http.send({ method: "POST", path, body: {}, version });
}

/** Revokes it, and takes it off the list. */
export async function removeApiKey(http: Http, { id, version }: ApiKey): Promise<void> {
  await http.send({ method: "DELETE", path: `${API_KEYS}/${encodeURIComponent(id)}`, version });
}

export type KeyState = "good" | "expired" | "revoked";

export function keyState({ revokedAt, expiresAt }: ApiKey, now: number): KeyState {
  if (revokedAt !== undefined) return "revoked";
  return expiresAt !== undefined && expiresAt.getTime() <= now ? "expired" : "good";
}
