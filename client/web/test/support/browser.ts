/** Chromium, and pages of a node that have the built SDK. */

import { existsSync, readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { chromium } from "playwright-core";

import type { RealNode } from "./node.js";

const CHROMIUM = process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium";
export const hasChromium = existsSync(CHROMIUM);

/** A machine without a way to the outside refuses what Chromium would fetch in the background, many at a time. */
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(...more: string[]): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: [...ARGUMENTS, ...more] });
}

/**
 * A page of the node's, so that its origin is allowed and Chromium knows that it is of this machine. What the node says
 * about scripts in its pages is not what is tested here.
 */
export async function pageOf(node: RealNode, browser: Browser): Promise<Page> {
  const page = await browser.newPage({ bypassCSP: true });
  await putSdk(page, node.http);
  await page.goto(`http://${node.http}/livez`);
  return page;
}

/** Pages of a node have the built SDK under `/sdk/`. */
export async function putSdk(page: Page, http: string): Promise<void> {
  await page.route(`http://${http}/sdk/*.js`, (route) => {
    const name = new URL(route.request().url()).pathname.slice("/sdk/".length);
    const file = new URL(`../../dist/${name}`, import.meta.url);
    return route.fulfill({ contentType: "text/javascript", body: readFileSync(file, "utf8") });
  });
}

/**
 * Runs a module in the page, with a client that is connected to the node: by WebTransport alone; by it at first, however
 * busy the machine is, and then by either; or by whichever way is there first.
 */
export async function run(
  page: Page,
  node: RealNode,
  by: "webtransport" | "webtransport first" | "either",
  source: string,
): Promise<void> {
  const options = JSON.stringify({ url: node.url, token: node.token });
  const content = `
    import { connect } from "/sdk/index.js";
    let isHeldBack = ${String(by !== "either")};
    const Later = class extends WebSocket {
      constructor(...given) {
        if (isHeldBack) throw new Error("not by WebSocket");
        super(...given);
      }
    };
    const client = await connect({ ...${options}, WebSocket: Later });
    isHeldBack = ${String(by === "webtransport")};
    ${source}
  `;
  await page.addScriptTag({ type: "module", content });
}
