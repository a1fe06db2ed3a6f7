/**
 * Every view in light and dark, narrow and wide: audited, without a line wider than the screen, and a picture of each
 * in a temporary directory whose name is printed.
 */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Browser, Page } from "playwright-core";
import { audit, launch, signedIn, visit } from "./browser.js";
import type { Look } from "./browser.js";
import { Api } from "./api.js";
import { BINARY, Node } from "./node.js";

/** Views, and what is on them once they are there. */
const VIEWS = {
  overview: ["#/", "Nodes serving"],
  operations: ["#/operations", "looked-at"],
  operation: ["#/operation/looked-at", "approval"],
  submit: ["#/submit?type=import", "Payload"],
  actors: ["#/actors?kind=counter", "counter/looked-at"],
  actor: ["#/actor/counter/looked-at", "Version"],
  sessions: ["#/sessions", "This tab"],
  limits: ["#/limits", "payloadBytes"],
  users: ["#/users", "looked-at"],
  user: ["#/user/looked-at", "1 open"],
  roles: ["#/roles", "teller"],
  "api-keys": ["#/api-keys", "build server"],
  audit: ["#/audit", "role.set"],
  metrics: ["#/metrics", "selvedge_actor_commits_total"],
  room: ["#/room/looked-at", "hello"],
  unknown: ["#/nothing", "There is nothing here"],
} as const;

/** Dialogs, where they are and what opens them. */
const DIALOGS = {
  "new-user": ["#/users", "New user…"],
  "change-user": ["#/user/looked-at", "Change…"],
  password: ["#/user/looked-at", "Set password…"],
  "remove-user": ["#/user/looked-at", "Remove…"],
  role: ["#/roles", "Change teller"],
  "new-key": ["#/api-keys", "New key…"],
  limit: ["#/limits", "Set a limit…"],
  "close-session": ["#/sessions", /^Close the session/],
} as const;

const LOOKS: readonly Look[] = [
  { width: 1440, scheme: "light" },
  { width: 1440, scheme: "dark" },
  { width: 360, scheme: "light" },
  { width: 360, scheme: "dark" },
];

let node: Node;
let browser: Browser;

/** Something to look at. */
async function prepare(page: Page): Promise<void> {
  const api = new Api(node);
  const password = "four horses chew hay";
  await api.done("POST", "v1/users", { username: "looked-at", roles: ["viewer"], password });
  await api.done("POST", "v1/users", { username: "without-password", email: "a@example.org" });
  await api.done("POST", "v1/login", { username: "looked-at", password });
  await api.done("PUT", "v1/roles/teller", {
    rules: ["actor:read", "actor:tell", "session:read:own"],
  });
  await api.done("POST", "v1/api-keys", { name: "build server", roles: ["teller", "viewer"] });
  await api.done("PUT", "v1/limits/principal:user:looked-at/commands", { rate: "50/s" });
  await api.done("PUT", "v1/limits/tenant:*/submissions", { rate: "600/min", burst: 20 });
  await visit(page, "#/submit?type=import");
  await page.getByLabel("Id", { exact: true }).fill("looked-at");
  await page.getByLabel("Input").fill('{"rows": 10, "stepMs": 10, "approval": true}');
  await page.getByRole("button", { name: "Submit" }).click();
  await page
    .getByText(/waits for the signal/)
    .first()
    .waitFor();
  await visit(page, "#/actor/counter/looked-at");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText(/Committed: seq 1/).waitFor();
  await visit(page, "#/room/looked-at");
  await page.getByRole("textbox", { name: "Message" }).fill("hello");
  await page.keyboard.press("Enter");
  await page.getByRole("log").getByText("admin").waitFor();
}

describe.skipIf(BINARY === undefined)("how it looks (not run without SELVEDGE_BIN)", () => {
  const pictures = mkdtempSync(join(tmpdir(), "selvedge-console-looks-"));

  beforeAll(async () => {
    [node, browser] = await Promise.all([Node.start(), launch()]);
    const { page } = await signedIn(browser, node);
    await prepare(page);
    await page.context().close();
    process.stdout.write(`pictures are in ${pictures}\n`);
  });

  afterAll(async () => {
    await browser.close();
    await node.end();
  });

  it.each(LOOKS)("at $width px, $scheme", async (look) => {
    const { page, errors } = await signedIn(browser, node, look);
    const found: string[] = [];
    for (const [name, [hash, text]] of Object.entries(VIEWS)) {
      await visit(page, hash);
      await page.locator("main").getByText(text).first().waitFor();
      const path = join(pictures, `${name}-${look.width}-${look.scheme}.png`);
      await page.screenshot({ path, fullPage: true });
      const violations = await audit(page);
      found.push(...violations.map((violation) => `${name}: ${violation}`));
      const over = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return scrollWidth - clientWidth;
      });
      if (over > 0) found.push(`${name}: ${over} px wider than the screen`);
    }
    expect(found).toEqual([]);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it.each(LOOKS)("of the dialogs at $width px, $scheme", async (look) => {
    const { page, errors } = await signedIn(browser, node, look);
    const found: string[] = [];
    for (const [name, [hash, button]] of Object.entries(DIALOGS)) {
      await visit(page, hash);
      await page.getByRole("button", { name: button }).first().click();
      const dialog = page.getByRole("dialog");
      await dialog.waitFor();
      await dialog.getByText("Loading…").waitFor({ state: "detached" });
      const path = join(pictures, `${name}-${look.width}-${look.scheme}.png`);
      await page.screenshot({ path });
      found.push(...(await audit(page)).map((violation) => `${name}: ${violation}`));
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
    }
    expect(found).toEqual([]);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  it("of the sign-in", async () => {
    const found = await fetch(new URL(".well-known/openid-configuration", node.own));
    for (const { width, scheme } of LOOKS) {
      const context = await browser.newContext({
        viewport: { width, height: 740 },
        colorScheme: scheme,
      });
      const page = await context.newPage();
      await page.goto(node.url);
      await page.getByLabel("Token").waitFor();
      const button = page.getByRole("button", { name: "Sign in with a password" });
      if (found.status === 200) await button.waitFor();
      await page.screenshot({ path: join(pictures, `sign-in-${width}-${scheme}.png`) });
      expect(await audit(page)).toEqual([]);
      await context.close();
    }
  });
});
