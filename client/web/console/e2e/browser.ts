/** Chromium for the tests: pages that fail the test on errors, the sign-in, and the audit of a page. */

import axe from "axe-core";
import { chromium } from "playwright-core";
import type { Browser, Page } from "playwright-core";
import type { Node } from "./node.js";

const CHROMIUM = process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium";
// What keeps it from asking hosts that are none of the test's.
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Whatever is waited for: a busy machine takes seconds. */
const WAIT_MS = 20_000;

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

export interface Look {
  width: 360 | 1440;
  scheme: "light" | "dark";
}

/** A tab that is signed in, and what went wrong in it. */
export interface Tab {
  page: Page;
  errors: string[];
}

/** Where a console is, and who may use it. */
export type Place = Pick<Node, "url" | "token">;

export async function signedIn(browser: Browser, node: Place, look?: Look): Promise<Tab> {
  const { width, scheme } = look ?? { width: 1440, scheme: "light" };
  const context = await browser.newContext({
    viewport: { width, height: width === 360 ? 740 : 900 },
    colorScheme: scheme,
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    // A node that is away, and paths that it does not have, are told by the page; the policy's refusals are errors.
    const isNetwork =
      /Failed to load resource|WebSocket connection|Failed to establish a connection/.test(
        message.text(),
      );
    if (message.type() === "error" && !isNetwork) errors.push(message.text());
  });
  await page.goto(node.url);
  await page.getByLabel("Token").fill(node.token);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.locator('.connection[data-state="open"]').waitFor();
  return { page, errors };
}

export async function visit(page: Page, hash: string): Promise<void> {
  await page.evaluate((to) => {
    location.hash = to;
  }, hash);
}

/** What an audit finds wrong, a line each. */
export async function audit(page: Page): Promise<string[]> {
  // Through the debugger, which the page's policy does not bind.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.target.join(" ")} (${node.failureSummary ?? ""})`),
  );
}
