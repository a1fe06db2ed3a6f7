/** The users of a tenant and their logins, as the API has them. */

import { flag, list, members, number, text, texts } from "../json.js";
import type { Http } from "./http.js";
import { time } from "./operation.js";

/** Who logs in with a password of this cluster. */
export interface User {
  id: string;
  username: string;
  email: string | undefined;
  roles: string[];
  isEnabled: boolean;
  createdAt: Date | undefined;
  updatedAt: Date | undefined;
  /** Undefined: it has no password, and cannot log in with one. */
  passwordChangedAt: Date | undefined;
  version: number;
}

/** That a user has logged in somewhere, and goes on there. */
export interface UserLogin {
  id: string;
  client: string;
  createdAt: Date | undefined;
  usedAt: Date | undefined;
  expiresAt: Date | undefined;
  endedAt: Date | undefined;
  reason: string | undefined;
}

/** Null: no address. */
export interface UserChange {
  email?: string | null;
  roles?: string[];
  enabled?: boolean;
}

export interface NewUser {
  username: string;
  email?: string;
  roles: string[];
  password?: string;
}

export const USERS = "v1/users";

export function userPath(id: string): string {
  return `${USERS}/${encodeURIComponent(id)}`;
}

export function readUser(value: unknown): User {
  const user = members(value);
  return {
    id: text(user["id"]) ?? "",
    username: text(user["username"]) ?? "?",
    email: text(user["email"]),
    roles: texts(user["roles"]),
    isEnabled: flag(user["enabled"]),
    createdAt: time(user["createdAt"]),
    updatedAt: time(user["updatedAt"]),
    passwordChangedAt: time(user["passwordChangedAt"]),
    version: number(user["version"]) ?? 0,
  };
}

export async function getUser(http: Http, id: string, signal?: AbortSignal): Promise<User> {
  return readUser(await http.read(userPath(id), signal));
}

export async function createUser(http: Http, user: NewUser): Promise<User> {
  return readUser(await http.send({ method: "POST", path: USERS, body: user }));
}

/** Changes it, unless it is not as it was. */
export async function changeUser(http: Http, user: User, change: UserChange): Promise<User> {
  const path = userPath(user.id);
  const { version } = user;
  return readUser(await http.send({ method: "PATCH", path, body: change, version }));
}

export async function setPassword(http: Http, user: User, password: string): Promise<User> {
  const path = `${userPath(user.id)}/password`;
  const { version } = user;
  return readUser(await http.send({ method: "PUT", path, body: { password }, version }));
}

export async function removeUser(http: Http, { id, version }: User): Promise<void> {
  await http.send({ method: "DELETE", path: userPath(id), version });
}

export function readLogin(value: unknown): UserLogin {
  const login = members(value);
  return {
    id: text(login["id"]) ?? "",
    client: text(login["client"]) ?? "?",
    createdAt: time(login["createdAt"]),
    usedAt: time(login["usedAt"]),
    expiresAt: time(login["expiresAt"]),
    endedAt: time(login["endedAt"]),
    reason: text(login["reason"]),
  };
}

/** Those of a user, the latest first. */
export async function getLogins(http: Http, id: string, signal: AbortSignal): Promise<UserLogin[]> {
  const page = members(await http.read(`${userPath(id)}/logins`, signal));
  const at = ({ createdAt }: UserLogin): number => createdAt?.getTime() ?? 0;
  return list(page["items"])
    .map(readLogin)
    .sort((one, two) => at(two) - at(one));
}

export async function endLogin(http: Http, user: string, login: string): Promise<void> {
  const path = `${userPath(user)}/logins/${encodeURIComponent(login)}`;
  await http.send({ method: "DELETE", path });
}

/** Whether somebody goes on with it. */
export function isOpen({ endedAt, expiresAt }: UserLogin, now: number): boolean {
  return endedAt === undefined && (expiresAt === undefined || expiresAt.getTime() > now);
}
