/** Users, roles and API keys of the fake cluster. */

import { GONE, ok, paged, refusal, stale, unknown } from "./answer.js";
import type { Answered, Asked } from "./answer.js";
import type { Trail } from "./trail.js";

interface FakeUser {
  id: string;
  username: string;
  email: string | null;
  roles: string[];
  enabled: boolean;
  passwordChangedAt: string | null;
  createdAt: string;
  updatedAt: string;
  version: number;
}

interface FakeRole {
  name: string;
  rules: string[];
  builtIn: boolean;
  version: number;
  updatedAt: string | null;
}

interface FakeKey {
  id: string;
  name: string;
  roles: string[];
  createdBy: string;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
  version: number;
}

const RULES: Readonly<Record<string, string[]>> = {
  admin: ["*:*"],
  developer: ["operation:read", "operation:write", "actor:read", "actor:write"],
  operator: ["operation:read", "operation:write", "session:read", "session:write"],
  viewer: ["operation:read", "actor:read", "session:read"],
};

function builtIn(): FakeRole[] {
  return Object.entries(RULES).map(([name, rules]) => {
    return { name, rules, builtIn: true, version: 0, updatedAt: null };
  });
}

/** The secret of each key that is made. */
export const SECRET = "selv_default.00000000000000000000000000000001.c2VjcmV0";

export class FakeDirectory {
  readonly users: FakeUser[] = [];
  readonly roles: FakeRole[] = builtIn();
  readonly keys: FakeKey[] = [];
  readonly logins = new Map<string, Record<string, unknown>[]>();
  readonly #trail: Trail;
  #made = 0;

  constructor(trail: Trail) {
    this.#trail = trail;
  }

  user(username: string, roles: string[] = ["viewer"]): FakeUser {
    const at = new Date().toISOString();
    this.#made += 1;
    const id = `01890a5d-ac96-774b-bcce-${String(this.#made).padStart(12, "0")}`;
    const password = { passwordChangedAt: at, createdAt: at, updatedAt: at };
    const user = { id, username, email: null, roles, enabled: true, ...password, version: 1 };
    this.users.push(user);
    return user;
  }

  answer(asked: Asked): Answered | undefined {
    const [, noun, id, more, last] = asked.parts;
    if (noun === "users") return this.#ofUsers(asked, id, more, last);
    if (noun === "roles") return this.#ofRoles(asked, id);
    return noun === "api-keys" ? this.#ofKeys(asked, id, more) : undefined;
  }

  #ofUsers(asked: Asked, id?: string, more?: string, login?: string): Answered {
    const { method, body } = asked;
    if (id === undefined) {
      if (method === "GET") return paged(this.users, asked.query);
      if (this.users.some(({ username }) => username === body["username"])) {
        return refusal(409, "conflict", "there is a user of this name already", "username");
      }
      const made = this.user(String(body["username"]), body["roles"] as string[]);
      this.#trail.add("user.create", made.username, { roles: made.roles });
      return { status: 201, body: made };
    }
    const user = this.users.find((it) => it.id === id);
    if (user === undefined) return unknown("user");
    if (more === "logins") return this.#ofLogins(method, user, login);
    const refused = method === "GET" ? undefined : stale(asked, user.version);
    if (refused !== undefined) return refused;
    if (method === "DELETE") {
      this.users.splice(this.users.indexOf(user), 1);
      this.#trail.add("user.remove", user.username);
      return GONE;
    }
    if (method === "PATCH") this.#change(user, "user.change", body);
    if (more === "password") {
      this.#change(user, "user.set-password", { passwordChangedAt: new Date().toISOString() });
    }
    return ok({ ...user });
  }

  #change(user: FakeUser, action: string, change: object): void {
    Object.assign(user, change, { version: user.version + 1 });
    this.#trail.add(action, user.username);
  }

  #ofLogins(method: string, user: FakeUser, login?: string): Answered {
    const logins = this.logins.get(user.id) ?? [];
    if (method === "GET") return ok({ items: logins, cursor: null });
    const found = logins.find((it) => it["id"] === login);
    if (found === undefined) return unknown("login");
    Object.assign(found, { endedAt: new Date().toISOString(), reason: "ended" });
    this.#trail.add("login.end", user.username);
    return GONE;
  }

  #ofRoles(asked: Asked, name?: string): Answered {
    if (name === undefined) return paged(this.roles, asked.query);
    const found = this.roles.find((it) => it.name === name);
    if (asked.method === "GET") return found === undefined ? unknown("role") : ok({ ...found });
    const refused = stale(asked, found?.version ?? 0);
    if (refused !== undefined) return refused;
    if (asked.method === "DELETE") {
      if (found === undefined) return unknown("role");
      this.roles.splice(this.roles.indexOf(found), 1);
      this.#trail.add("role.remove", name);
      return GONE;
    }
    const rules = asked.body["rules"] as string[];
    const updatedAt = new Date().toISOString();
    const role = found ?? { name, rules, builtIn: false, version: 0, updatedAt };
    Object.assign(role, { rules, updatedAt, version: role.version + 1 });
    if (found === undefined) this.roles.push(role);
    this.#trail.add("role.set", name, { rules });
    return ok({ ...role });
  }

  #ofKeys(asked: Asked, id?: string, more?: string): Answered {
    const { method, body } = asked;
    if (id === undefined) {
      return method === "GET" ? paged(this.keys, asked.query) : this.#makeKey(body);
    }
    const key = this.keys.find((it) => it.id === id);
    if (key === undefined) return unknown("key");
    const refused = stale(asked, key.version);
    if (refused !== undefined) return refused;
    if (method === "DELETE") this.keys.splice(this.keys.indexOf(key), 1);
    if (more === "revoke") {
      Object.assign(key, { revokedAt: new Date().toISOString(), version: key.version + 1 });
    }
    this.#trail.add(more === "revoke" ? "api-key.revoke" : "api-key.remove", key.id);
    return method === "DELETE" ? GONE : ok({ ...key });
  }

  #makeKey(body: Record<string, unknown>): Answered {
    const at = new Date().toISOString();
    const key: FakeKey = {
      id: String(this.keys.length + 1).padStart(32, "0"),
      name: String(body["name"]),
      roles: body["roles"] as string[],
      createdBy: "admin",
      createdAt: at,
      expiresAt: typeof body["expiresAt"] === "string" ? body["expiresAt"] : null,
      lastUsedAt: null,
      revokedAt: null,
      version: 1,
    };
    this.keys.push(key);
    this.#trail.add("api-key.create", key.id, { name: key.name });
    return { status: 201, body: { ...key, key: SECRET } };
  }
}
