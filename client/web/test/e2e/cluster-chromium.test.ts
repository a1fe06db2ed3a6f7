/**
 * The built SDK in a page of one of three real nodes, which is killed or drained: the page goes on at bridges of other
 * origins, for as long as the cluster knows of its own.
 */

import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { ModuleKind, ScriptTarget, transpile } from "typescript";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { hasChromium, launch, putSdk } from "../support/browser.js";
import { RealCluster } from "../support/cluster.js";
import { BINARY } from "../support/node.js";
import type { Visitor } from "../support/visitor.js";

const isRun = BINARY !== undefined && hasChromium;

const OPTIONS = { target: ScriptTarget.ES2022, module: ModuleKind.ESNext };

declare global {
  /** The page's, once its session is open. */
  var visitor: Visitor | undefined;
}

describe.skipIf(!isRun)("a cluster in Chromium (not run without SELVEDGE_BIN and Chromium)", () => {
  let cluster: RealCluster;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    browser = await launch("--disable-quic");
  });

  afterAll(async () => {
    await browser.close();
  });

  beforeEach(async () => {
    cluster = await RealCluster.start();
    page = await browser.newPage();
  });

  afterEach(async () => {
    await page.close();
    await cluster.remove();
  });

  /** Opens a page of a node, under the node's own policy, and a session at that node. */
  async function visit(name: string): Promise<void> {
    const origin = `http://${cluster.http(name)}`;
    const options = JSON.stringify({ url: cluster.url(name), token: cluster.token });
    const scripts = {
      "visitor.js": transpile(text("../support/visitor.ts"), OPTIONS),
      "page.js": `
        import { connect } from "/sdk/index.js";
        import { Visitor } from "/visitor.js";
        globalThis.visitor = new Visitor(await connect(${options}), "chromium");
      `,
    };
    await putSdk(page, cluster.http(name));
    for (const [file, body] of Object.entries(scripts)) {
      const contentType = "text/javascript";
      await page.route(`${origin}/${file}`, (route) => route.fulfill({ contentType, body }));
    }
    await page.goto(`${origin}/version`);
    await page.addScriptTag({ type: "module", url: `${origin}/page.js` });
    await page.waitForFunction(() => globalThis.visitor !== undefined);
    expect(await page.evaluate(() => globalThis.visitor?.node)).toBe(name);
    await advance();
  }

  async function advance(): Promise<void> {
    await page.evaluate(() => globalThis.visitor?.advance(100));
  }

  async function away(...from: string[]): Promise<string> {
    return (await page.evaluate((nodes) => globalThis.visitor?.away(...nodes), from)) ?? "";
  }

  async function finish(): Promise<void> {
    expect(await page.evaluate(() => globalThis.visitor?.finish())).toEqual([]);
  }

  test("the page's node is killed, and once it is dead the next: it goes on at the third", async () => {
    await visit("node-1");
    await cluster.kill("node-1");
    const next = await away("node-1");
    await advance();
    await cluster.becomes("node-1", "dead");
    await cluster.kill(next);
    await away("node-1", next);
    await advance();
    await finish();
  });

  test("the page's node is drained, and the next one killed: it goes on at the third", async () => {
    await visit("node-1");
    await cluster.drain("node-1");
    const next = await away("node-1");
    await advance();
    await cluster.kill(next);
    await away("node-1", next);
    await advance();
    await finish();
  });
});

function text(file: string): string {
  return readFileSync(new URL(file, import.meta.url), "utf8");
}
