import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FakeApi } from "../fake/api.js";
import { SECRET } from "../fake/directory.js";
import { field, find, pass, press, Shown, submit, type, visit } from "./shown.js";

let shown: Shown;
let api: FakeApi;

beforeEach(async () => {
  shown = new Shown();
  ({ api } = shown);
  await shown.signIn();
});

afterEach(() => {
  shown.end();
});

const dialog = (): HTMLElement => find("dialog");

function button(text: string): HTMLElement {
  return find("button", text);
}

/** Ticks or clears a role in a dialog. */
async function tick(role: string): Promise<void> {
  find("dialog .choice label", role).querySelector("input")?.click();
  await pass();
}

describe("users", () => {
  it("are listed, added, and led to", async () => {
    api.directory.user("ann", ["operator"]);
    await visit("#/users");
    expect(find('[aria-label="Users"] tbody tr', "ann").textContent).toContain("operator");
    await press("button", "New user…");
    await type("Username", "bob");
    await type("Password", "short");
    expect(dialog().textContent).toContain("It has 5 of at least 15 characters.");
    await type("Password", "four horses chew hay");
    await tick("operator");
    await submit("dialog form");
    window.dispatchEvent(new Event("hashchange"));
    await pass();
    expect(find("h1").textContent).toBe("bob");
    const made = api.requests.find(({ method }) => method === "POST");
    expect(JSON.parse(made?.body ?? "")).toEqual({
      username: "bob",
      roles: ["viewer", "operator"],
      password: "four horses chew hay",
    });
  });

  it("whose name is taken are not, and the field is named", async () => {
    api.directory.user("ann");
    await visit("#/users");
    await press("button", "New user…");
    await type("Username", "ann");
    await submit("dialog form");
    expect(find("dialog .problem").textContent).toContain("conflict in username");
  });

  it("are changed on the version that was seen; where somebody came first that is said and shown", async () => {
    const ann = api.directory.user("ann");
    await visit(`#/user/${ann.id}`);
    await press("button", "Change…");
    await type("Email", "ann@example.org");
    Object.assign(ann, { version: 2, email: "other@example.org", roles: ["operator"] });
    await submit("dialog form");
    expect(find("dialog .problem").textContent).toContain("it has version 2, not 1");
    expect(dialog().textContent).toContain("The form shows what it is now.");
    expect(field("Email").value).toBe("other@example.org");
    await type("Email", "ann@example.org");
    await submit("dialog form");
    expect(find("dialog [role=status]").textContent).toContain("Changed");
    expect(ann).toMatchObject({ version: 3, email: "ann@example.org", roles: ["operator"] });
  });

  it("are disabled after a question, and enabled again", async () => {
    const ann = api.directory.user("ann");
    await visit(`#/user/${ann.id}`);
    await press("button", "Disable…");
    expect(ann.enabled).toBe(true);
    await press("dialog button", "Disable");
    expect(find("dialog [role=status]").textContent).toContain("cannot log in any more");
    await press("dialog button", "Close");
    await pass(6_000);
    expect(find(".title .badge").textContent).toContain("disabled");
    await press("button", "Enable");
    expect(ann.enabled).toBe(true);
  });

  it("get a password that is typed twice, and that no request but one has", async () => {
    const ann = api.directory.user("ann");
    await visit(`#/user/${ann.id}`);
    await press("button", "Set password…");
    await type("New password", "four horses chew hay");
    await type("The same again", "four horses chew hat");
    await submit("dialog form");
    expect(find("dialog .problem").textContent).toContain("Type it twice");
    await type("The same again", "four horses chew hay");
    await submit("dialog form");
    expect(find("dialog [role=status]").textContent).toContain("all logins have ended");
    expect(field("New password").value).toBe("");
    const having = api.requests.filter(({ body, url }) => (body + url.href).includes("horses"));
    expect(having.map(({ method }) => method)).toEqual(["PUT"]);
  });

  it("have their logins ended, one and all", async () => {
    const ann = api.directory.user("ann");
    const at = new Date().toISOString();
    const later = new Date(Date.now() + 3_600_000).toISOString();
    const login = { client: "console", createdAt: at, usedAt: at, expiresAt: later };
    const ended: { endedAt: string | null; reason: string | null } = {
      endedAt: null,
      reason: null,
    };
    const logins = ["1", "2", "3"].map((id) => ({ id, ...login, ...ended }));
    api.directory.logins.set(ann.id, logins);
    await visit(`#/user/${ann.id}`);
    await pass();
    expect(find("section", "Logins").textContent).toContain("3 open");
    await press("button", "End…");
    await press("dialog button", "End");
    await press("dialog button", "Close");
    expect(logins.map(({ endedAt }) => endedAt === null)).toEqual([false, true, true]);
    await press("button", "End all…");
    await press("dialog button", "End");
    expect(find("dialog [role=status]").textContent).toContain("2 logins have ended.");
    expect(logins.every(({ endedAt }) => endedAt !== null)).toBe(true);
  });

  it("are not offered to change where somebody may not, with the reason", async () => {
    const ann = api.directory.user("ann");
    api.denied.add("user:write");
    await visit(`#/user/${ann.id}`);
    await press("button", "Disable…");
    await press("dialog button", "Disable");
    expect(find("dialog .problem").textContent).toContain("permission_denied");
    await press("dialog button", "Leave it as it is");
    expect(button("Change…").getAttribute("aria-disabled")).toBe("true");
    expect(find("section", "About").textContent).toContain("Off: you may not do this");
  });

  it("are not offered at all where somebody may not see them", async () => {
    api.denied.add("user");
    await visit("#/users");
    expect(find(".problem").textContent).toContain("that is user:read");
    expect(() => button("New user…")).toThrow();
  });

  it("and what they are called is text", async () => {
    const ann = api.directory.user("ann", ["<img src=x onerror=alert(1)>"]);
    ann.email = "<b>ann</b>@example.org";
    await visit("#/users");
    expect(find('[aria-label="Users"]').textContent).toContain("<b>ann</b>@example.org");
    expect(document.querySelector('[aria-label="Users"] :is(b, img)')).toBeNull();
  });
});

describe("roles", () => {
  it("are made, changed and removed; those that are built in are not", async () => {
    await visit("#/roles");
    expect(find('[aria-label="Roles"] tr', "viewer").textContent).toContain("built in");
    await press("button", "New role…");
    await type("Name", "teller");
    await type("Rules", "actor:read\nactor tell\n");
    expect(dialog().textContent).toContain("“actor tell” is no rule");
    await type("Rules", "actor:read\nactor:tell, session:read:own\nactor:read");
    await submit("dialog form");
    expect(find("dialog [role=status]").textContent).toContain("3 rules");
    await press("dialog button", "Close");
    await press('button[aria-label="Change teller"]');
    await type("Rules", "actor:read");
    await submit("dialog form");
    expect(api.directory.roles.at(-1)).toMatchObject({ name: "teller", rules: ["actor:read"] });
    await press("dialog button", "Close");
    await press('button[aria-label="Remove teller"]');
    await press("dialog button", "Remove");
    expect(api.directory.roles).toHaveLength(4);
  });

  it("that somebody else has made meanwhile are not overwritten", async () => {
    await visit("#/roles");
    await press("button", "New role…");
    await type("Name", "viewer2");
    await type("Rules", "actor:read");
    const other = { name: "viewer2", rules: ["audit:read"], builtIn: false, updatedAt: null };
    api.directory.roles.push({ ...other, version: 1 });
    await submit("dialog form");
    expect(find("dialog .problem").textContent).toContain("conflict");
    expect(field("Rules").value).toBe("audit:read");
    expect(api.directory.roles.at(-1)?.rules).toEqual(["audit:read"]);
  });
});

describe("API keys", () => {
  it("show their secret once, to be copied, and keep it nowhere", async () => {
    const writeText = vi.fn(() => Promise.resolve());
    vi.stubGlobal("navigator", { clipboard: { writeText } });
    await visit("#/api-keys");
    await press("button", "New key…");
    await type("Name", "build server");
    await tick("developer");
    await submit("dialog form");
    expect(field("The key itself").value).toBe(SECRET);
    await press("dialog button", "Copy");
    expect(writeText).toHaveBeenCalledWith(SECRET);
    expect(dialog().textContent).toContain("Copied.");
    await press("dialog button", "I have kept it");
    expect(document.documentElement.innerHTML).not.toContain(SECRET);
    const kept = JSON.stringify([
      Object.entries(sessionStorage),
      Object.entries(localStorage),
      location.href,
    ]);
    expect(kept).not.toContain(SECRET);
    expect(find('[aria-label="API keys"] tr', "build server").textContent).toContain("good");
  });

  it("are revoked, and then forgotten", async () => {
    await visit("#/api-keys");
    await press("button", "New key…");
    await type("Name", "old");
    await submit("dialog form");
    await press("dialog button", "I have kept it");
    await press('button[aria-label="Revoke old"]');
    await press("dialog button", "Revoke");
    await press("dialog button", "Close");
    expect(find('[aria-label="API keys"] tr', "old").textContent).toContain("revoked");
    await press('button[aria-label="Forget old"]');
    await press("dialog button", "Forget");
    expect(api.directory.keys).toEqual([]);
  });

  it("ask for the names of roles where those may not be seen", async () => {
    api.denied.add("role");
    await visit("#/api-keys");
    await press("button", "New key…");
    await type("Name", "k");
    await type("Roles", "viewer, operator");
    await submit("dialog form");
    expect(api.directory.keys[0]?.roles).toEqual(["viewer", "operator"]);
  });
});
