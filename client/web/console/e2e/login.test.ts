/** Signing in with a password at a real node's own page. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { Api } from "./api.js";
import { launch } from "./browser.js";
import { BINARY, Node } from "./node.js";

const PASSWORD = "four horses chew hay";

let node: Node;
let browser: Browser;

/** A browser at the node itself, as a login comes back to nowhere else. */
async function opened(): Promise<{ context: BrowserContext; page: Page; errors: string[] }> {
  const context = await browser.newContext();
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    const isNetwork = message.text().includes("Failed to load resource");
    if (message.type() === "error" && !isNetwork) errors.push(message.text());
  });
  await page.goto(node.own);
  return { context, page, errors };
}

async function logIn(page: Page, password: string): Promise<void> {
  await page.getByRole("button", { name: "Sign in with a password" }).click();
  await page.getByLabel("Username").fill("ann");
  await page.getByLabel("Password").fill(password);
  await page.getByLabel("Password").press("Enter");
}

describe.skipIf(BINARY === undefined)("a login by password (not run without SELVEDGE_BIN)", () => {
  beforeAll(async () => {
    [node, browser] = await Promise.all([Node.start(), launch()]);
    const user = { username: "ann", roles: ["admin"], password: PASSWORD };
    await new Api(node).done("POST", "v1/users", user);
  });

  afterAll(async () => {
    await browser.close();
    await node.end();
  });

  it("is offered where the node has it", async () => {
    const { context, page } = await opened();
    await page.getByLabel("Token").waitFor();
    const button = page.getByRole("button", { name: "Sign in with a password" });
    await button.waitFor();
    await context.close();
  });

  it("goes through the node's page to the view that was asked for, and ends with a sign-out", async () => {
    const { context, page, errors } = await opened();
    await page.goto(new URL("#/audit", node.own).href);
    const addresses: string[] = [];
    page.on("framenavigated", (frame) => addresses.push(frame.url()));
    await logIn(page, "another password than that");
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("Password").press("Enter");
    await page.locator('.connection[data-state="open"]').waitFor();
    await page.getByRole("heading", { name: "Audit trail" }).waitFor();
    expect(page.url()).toBe(new URL("#/audit", node.own).href);
    expect(addresses.join("\n")).not.toContain("horses");

    // A reload goes on with the login, and so does one after the other at once.
    await page.reload();
    await page.reload();
    await page.locator('.connection[data-state="open"]').waitFor();
    await page.getByText("login").first().waitFor();

    const kept = await page.evaluate(() => sessionStorage.getItem("selvedge.credentials") ?? "");
    const { token } = JSON.parse(kept) as { token: string };
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    const ann = new Api(node, token);
    await expect.poll(() => ann.status("GET", "v1/sessions"), { timeout: 5_000 }).toBe(401);
    expect(errors).toEqual([]);
    await context.close();
  });
});
