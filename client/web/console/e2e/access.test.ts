/** Users, roles, API keys, the audit trail, rates and sessions in Chromium against a real node. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Browser, Locator, Page } from "playwright-core";
import { Api } from "./api.js";
import { audit, launch, signedIn, visit } from "./browser.js";
import { BINARY, Node } from "./node.js";

const PASSWORD = "four horses chew hay";

let node: Node;
let browser: Browser;
let api: Api;

function button(within: Page | Locator, name: string): Locator {
  return within.getByRole("button", { name, exact: true });
}

async function close(dialog: Locator): Promise<void> {
  await button(dialog, "Close").last().click();
  await dialog.waitFor({ state: "detached" });
}

describe.skipIf(BINARY === undefined)("access (not run without SELVEDGE_BIN)", () => {
  beforeAll(async () => {
    [node, browser] = await Promise.all([Node.start(), launch()]);
    api = new Api(node);
  });

  afterAll(async () => {
    await browser.close();
    await node.end();
  });

  it("makes a user, changes it on the version that was seen, and ends its logins", async () => {
    const { page, errors } = await signedIn(browser, node);
    const dialog = page.getByRole("dialog");
    await visit(page, "#/users");
    await button(page, "New user…").click();
    await dialog.getByLabel("Username").fill("Ann");
    await dialog.getByLabel("Password").fill(PASSWORD);
    await button(dialog, "Make the user").click();
    await page.getByRole("heading", { name: "ann", level: 1 }).waitFor();
    const about = page.getByRole("region", { name: "About" });

    await button(page, "Change…").click();
    await dialog.getByLabel("operator").check();
    await api.done("PATCH", "v1/users/ann", { email: "other@example.org" });
    await button(dialog, "Save").click();
    await dialog.getByText("conflict").waitFor();
    await dialog.getByText("The form shows what it is now.").waitFor();
    expect(await dialog.getByLabel("Email").inputValue()).toBe("other@example.org");
    await dialog.getByLabel("operator").check();
    await button(dialog, "Save").click();
    await dialog.getByText(/^Changed\./).waitFor();
    await close(dialog);
    await about.getByText("operator").waitFor();

    const login = await api.done("POST", "v1/login", { username: "ann", password: PASSWORD });
    const ann = new Api(node, String(login["accessToken"]));
    expect(await ann.status("GET", "v1/sessions")).toBe(200);
    const logins = page.getByRole("region", { name: "Logins" });
    await button(logins, "End the login with first-party").click();
    await button(dialog, "End").click();
    await dialog.getByText("It has ended.").waitFor();
    await close(dialog);
    await logins.getByText("ended").first().waitFor();
    await expect.poll(() => ann.status("GET", "v1/sessions"), { timeout: 5_000 }).toBe(401);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("gives it a password and disables it", async () => {
    const { page, errors } = await signedIn(browser, node);
    const dialog = page.getByRole("dialog");
    await visit(page, "#/users");
    await page.getByRole("link", { name: "ann", exact: true }).click();
    await button(page, "Set password…").click();
    await dialog.getByLabel("New password").fill("password password");
    await dialog.getByLabel("The same again").fill("password password");
    await button(dialog, "Set the password").click();
    await dialog.getByText(/made of what is tried first/).waitFor();
    await dialog.getByLabel("New password").fill("nine green teapots sing");
    await dialog.getByLabel("The same again").fill("nine green teapots sing");
    await button(dialog, "Set the password").click();
    await dialog.getByText(/all logins have ended/).waitFor();
    await close(dialog);
    const other = { username: "ann", password: "nine green teapots sing" };
    expect(await api.status("POST", "v1/login", other)).toBe(200);
    await button(page, "Disable…").click();
    await button(dialog, "Disable").click();
    await dialog.getByText(/cannot log in any more/).waitFor();
    await close(dialog);
    expect(await api.status("POST", "v1/login", other)).toBe(401);
    await button(page, "Enable").click();
    await page.getByText("ann may log in again.").waitFor();
    expect(await api.status("POST", "v1/login", other)).toBe(200);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("makes a role and a key with it, whose secret is shown once and works until it is revoked", async () => {
    const { page, errors } = await signedIn(browser, node);
    const dialog = page.getByRole("dialog");
    await visit(page, "#/roles");
    await button(page, "New role…").click();
    await dialog.getByLabel("Name").fill("watcher");
    await dialog.getByLabel("Rules").fill("operation:fly");
    await button(dialog, "Make the role").click();
    await dialog.getByText(/there is no such action/).waitFor();
    await dialog.getByLabel("Rules").fill("operation:read\nactor:read\nsession:read:own");
    await button(dialog, "Make the role").click();
    await dialog.getByText(/3 rules/).waitFor();
    await close(dialog);
    await page
      .getByRole("row", { name: /watcher/ })
      .getByText("session:read:own")
      .waitFor();

    await visit(page, "#/api-keys");
    await button(page, "New key…").click();
    await dialog.getByLabel("Name").fill("<i>gate</i>");
    await dialog.getByLabel("watcher").check();
    await button(dialog, "Make the key").click();
    const secret = await dialog.getByLabel("The key itself").inputValue();
    expect(await audit(page)).toEqual([]);
    await button(dialog, "I have kept it").click();
    await dialog.waitFor({ state: "detached" });
    await page
      .getByRole("row", { name: /<i>gate<\/i>/ })
      .getByText("good")
      .waitFor();
    expect(await page.content()).not.toContain(secret);

    const tab = await signedIn(browser, { url: node.url, token: secret });
    await visit(tab.page, "#/users");
    await tab.page.getByText("permission_denied").waitFor();
    await tab.page.getByText(/that is user:read/).waitFor();
    expect(await button(tab.page, "New user…").count()).toBe(0);
    expect(await audit(tab.page)).toEqual([]);

    await button(page, "Revoke <i>gate</i>").click();
    await button(dialog, "Revoke").click();
    await dialog.getByText("Revoked.").waitFor();
    await close(dialog);
    await tab.page.getByRole("heading", { name: "Sign in" }).waitFor();
    await button(page, "Forget <i>gate</i>").click();
    await button(dialog, "Forget").click();
    await dialog.getByText("Forgotten.").waitFor();
    await close(dialog);
    await page.getByRole("row", { name: /gate/ }).waitFor({ state: "detached" });
    expect([...errors, ...tab.errors]).toEqual([]);
    await Promise.all([page.context().close(), tab.page.context().close()]);
  });

  it("shows in the audit trail what was done, as it is done, and that the chain is whole", async () => {
    const { page, errors } = await signedIn(browser, node);
    await visit(page, "#/audit");
    const records = page.getByRole("group", { name: "Audit records" });
    await records.getByText("role.set").first().waitFor();
    await api.done("PUT", "v1/roles/later", { rules: ["actor:read"] });
    await records
      .locator("tr", { hasText: "later" })
      .locator("td.detail")
      .getByText("{")
      .first()
      .waitFor();
    await page.getByLabel("Action").fill("user.disabled-nobody-ever");
    await page.getByText("No record matches these filters.").waitFor();
    await page.getByLabel("Action").fill("user");
    await records.getByText("user.create").first().waitFor();
    expect(await records.getByText("role.set").count()).toBe(0);
    const content = await page.content();
    for (const secret of [PASSWORD, "teapots"]) expect(content).not.toContain(secret);
    await button(page, "Verify").click();
    const chain = page.getByRole("region", { name: "Is the chain whole?" });
    await chain.locator(".badge", { hasText: "whole" }).waitFor();
    await page.getByLabel("Chain", { exact: true }).selectOption("cluster");
    await button(page, "Verify").click();
    await chain.locator(".badge", { hasText: "whole" }).waitFor();
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("sets a limit, shows who is refused by it, and takes it away", async () => {
    const { page, errors } = await signedIn(browser, node);
    const dialog = page.getByRole("dialog");
    const { key } = await api.done("POST", "v1/api-keys", { name: "load", roles: ["developer"] });
    await visit(page, "#/limits");
    await button(page, "Set a limit…").click();
    await dialog.getByLabel("Of").selectOption("principal:*");
    await dialog.getByLabel("Rate").fill("1/h");
    await button(dialog, "Set").click();
    await dialog.getByText("In force within a second: 1/h, 1 at once.").waitFor();
    await close(dialog);
    const rates = page.getByRole("group", { name: "Rates" });
    await rates.getByText("principal:*").waitFor();
    const load = new Api(node, String(key));
    const add = (): Promise<number> =>
      load.status("POST", "v1/actors/counter/limited/commands", {
        command: "add",
        body: { by: 1 },
      });
    await expect.poll(add, { timeout: 10_000 }).toBe(429);
    await page.getByRole("group", { name: "Who is refused most" }).getByText("commands").waitFor();
    await button(page, "Delete the limit of commands of principal:*").click();
    await button(dialog, "Delete").click();
    await dialog.getByText("There is none now.").waitFor();
    await close(dialog);
    await rates.waitFor({ state: "detached" });
    await expect.poll(add, { timeout: 10_000 }).toBe(200);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("closes a session, and all of a principal; whoever may opens another", async () => {
    const made = await api.done("POST", "v1/api-keys", { name: "closed", roles: ["developer"] });
    const [key, id] = [String(made["key"]), String(made["id"])];
    const [mine, other] = await Promise.all([
      signedIn(browser, node),
      signedIn(browser, { url: node.url, token: key }),
    ]);
    const dialog = mine.page.getByRole("dialog");
    await visit(mine.page, "#/sessions");
    const row = mine.page.locator("tr", { hasText: id }).filter({ hasText: "connected" });
    await row.getByRole("button", { name: /^Close the session/ }).click();
    await button(dialog, "Close the session").click();
    await dialog.getByText("Closed.").waitFor();
    await close(dialog);
    await other.page.getByText("the session was closed by an administrator").waitFor();
    expect(await audit(other.page)).toEqual([]);
    await button(other.page, "Sign in again").click();
    await other.page.locator('.connection[data-state="open"]').waitFor();

    await row.getByRole("button", { name: /^Close all sessions of/ }).click();
    await button(dialog, "Close them").click();
    await dialog.getByText(/within a second they are closed/).waitFor();
    await close(dialog);
    await other.page.getByText("session_closed").waitFor();
    await row.waitFor({ state: "detached" });
    expect([...mine.errors, ...other.errors]).toEqual([]);
    await Promise.all([mine.page.context().close(), other.page.context().close()]);
  });
});
