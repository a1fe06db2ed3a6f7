/** What an operator watches: the audit trail, rates, sessions. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PAGE_LEN } from "../../src/bounds.js";
import { sessionRow } from "../fake/api.js";
import type { FakeApi } from "../fake/api.js";
import { choose, find, pass, press, Shown, submit, type, visit } from "./shown.js";

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

function rows(label: string): string[] {
  const all = document.querySelectorAll(`[aria-label="${label}"] tbody tr`);
  return [...all].map((row) => row.textContent);
}

describe("the audit trail", () => {
  it("shows the newest first, with outcome and detail, as it grows", async () => {
    api.trail.add("user.create", "ann", { roles: ["viewer"] });
    api.trail.add("cluster.drain", "node-1", undefined, "permission_denied");
    await visit("#/audit");
    expect(rows("Audit records")).toHaveLength(2);
    expect(rows("Audit records")[0]).toMatch(/^2.*cluster\.drain.*refused.*permission_denied/);
    expect(rows("Audit records")[1]).toContain('{"roles":["viewer"]}');
    api.trail.add("role.set", "teller");
    await pass(2_500);
    expect(rows("Audit records")[0]).toContain("role.set");
  });

  it("is filtered by the address, by typing, and by what is in it", async () => {
    api.trail.add("user.create", "ann");
    api.trail.add("role.set", "teller");
    await visit("#/audit?action=user");
    expect(rows("Audit records")).toHaveLength(1);
    await type("Action", "role");
    await pass();
    await pass();
    expect(location.hash).toBe("#/audit?action=role");
    expect(rows("Audit records")[0]).toContain("teller");
    await visit("#/audit");
    const link = find('[aria-label="Audit records"] a', "user.create");
    await visit(link.getAttribute("href") ?? "");
    expect(rows("Audit records")).toHaveLength(1);
  });

  it("goes to older records and back", async () => {
    for (let number = 0; number < PAGE_LEN + 3; number += 1) api.trail.add("role.set", "r");
    await visit("#/audit");
    await press("nav button", "Older");
    expect(rows("Audit records")).toHaveLength(3);
    expect(find("section h2").textContent).toBe("Newest first, page 2");
    await press("nav button", "Newer");
    expect(rows("Audit records")).toHaveLength(PAGE_LEN);
  });

  it("is verified part by part, and its last hash is told", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) api.trail.add("role.set", name);
    await visit("#/audit");
    await press("button", "Verify");
    const section = find("section", "Is the chain whole?");
    expect(section.querySelector(".badge")?.textContent).toContain("whole");
    expect(section.textContent).toContain("5 records");
    expect(section.textContent).toContain("5".padStart(64, "0"));
    expect(api.requests.filter(({ method }) => method === "POST")).toHaveLength(3);
  });

  it("that is damaged says where", async () => {
    for (const name of ["a", "b", "c"]) api.trail.add("role.set", name);
    api.trail.damaged = 3;
    await visit("#/audit");
    await press("button", "Verify");
    expect(find(".problem").textContent).toContain("damaged at record 3: its hash is not");
  });

  it("of the cluster says who may see it", async () => {
    await visit("#/audit");
    await choose("Chain", "cluster");
    expect(find(".problem").textContent).toContain("only administrators of the cluster");
  });
});

describe("rates", () => {
  it("are set, changed and deleted, and who is refused is told", async () => {
    await visit("#/limits");
    expect(rows("Who is refused most")[0]).toMatch(/^anndefaultcommandsthe tenant450$/);
    await press("button", "Set a limit…");
    await type("Name", "user:ann");
    await type("Rate", "50 a second");
    expect(find("dialog").textContent).toContain("Write 50/s, 600/min or 10/h.");
    await type("Rate", "50/s");
    await submit("dialog form");
    expect(find("dialog [role=status]").textContent).toContain("50/s, 50 at once");
    await press("dialog button", "Close");
    expect(rows("Rates")[0]).toContain("principal:user:ann of default");
    await press('button[aria-label="Change the limit of commands of principal:user:ann"]');
    await type("Burst", "200");
    await submit("dialog form");
    expect(api.limits).toMatchObject([{ scope: "principal:user:ann", rate: "50/s", burst: 200 }]);
    // The scope of a principal means another one in each tenant.
    const put = api.requests.filter(({ method }) => method === "PUT").at(-1);
    expect(put?.headers.get("selvedge-tenant")).toBe("default");
    await press("dialog button", "Close");
    await press('button[aria-label^="Delete the limit"]');
    await press("dialog button", "Delete");
    expect(api.limits).toEqual([]);
  });

  it("are not offered where somebody may not set them", async () => {
    api.denied.add("limit:write");
    await visit("#/limits");
    await press("button", "Set a limit…");
    await choose("Of", "tenant:*");
    await type("Rate", "50/s");
    await submit("dialog form");
    await press("dialog button", "Close");
    expect(find("button", "Set a limit…").getAttribute("aria-disabled")).toBe("true");
  });
});

describe("sessions", () => {
  beforeEach(async () => {
    api.sessions.push(sessionRow("a", "ann"), sessionRow("b", "ann"), sessionRow("c", "bob"));
    await visit("#/sessions");
  });

  it("are closed one by one", async () => {
    expect(rows("Sessions of the node")).toHaveLength(3);
    await press('button[aria-label="Close the session b"]');
    await press("dialog button", "Close the session");
    expect(find("dialog [role=status]").textContent).toContain("Closed.");
    expect(api.sessions.map(({ id }) => id)).toEqual(["a", "c"]);
  });

  it("are closed all of a principal, in the tenant that it is of", async () => {
    await press('button[aria-label="Close all sessions of ann"]');
    expect(find("dialog").textContent).toContain("also those that this list does not show");
    await press("dialog button", "Close them");
    expect(api.sessions.map(({ id }) => id)).toEqual(["c"]);
    expect(api.requests.at(-1)?.headers.get("selvedge-tenant") ?? "default").toBe("default");
  });

  it("that are gone meanwhile are told, and the list is read again", async () => {
    const asked = (): number => api.requests.filter(({ method }) => method === "GET").length;
    api.sessions.length = 0;
    await press('button[aria-label="Close the session a"]');
    const before = asked();
    await press("dialog button", "Close the session");
    expect(find("dialog .problem").textContent).toContain("not_found");
    expect(asked()).toBeGreaterThan(before);
  });

  it("of a user lead to it", async () => {
    const id = "01890a5d-ac96-774b-bcce-b302099a8057";
    api.sessions.push(sessionRow("d", `user:${id}`));
    await pass(3_000);
    const link = find('[aria-label="Sessions of the node"] a', `user:${id}`);
    expect(link.getAttribute("href")).toBe(`#/user/${id}`);
  });

  it("of this tab are told apart", () => {
    expect(find("section", "This tab").textContent).toContain("node-1");
  });
});
