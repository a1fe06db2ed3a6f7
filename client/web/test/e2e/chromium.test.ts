/** The built SDK in Chromium against a real node, which is killed and started again. */

import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { isChromiumHere, launch } from "../support/chromium.js";
import { BINARY, RealNode } from "../support/node.js";

const isRun = BINARY !== undefined && isChromiumHere;

/** What the page of the test keeps for it. */
interface Kept {
  seqs: number[];
  states: string[];
  answered: number;
  failed: string[];
  value: () => Promise<unknown>;
}

declare global {
  var kept: Kept;
}

describe.skipIf(!isRun)("in Chromium (not run without SELVEDGE_BIN and Chromium)", () => {
  let node: RealNode;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    node = await RealNode.start();
    browser = await launch();
    // The page is one of the node's, so that its origin is allowed and Chromium knows that it is of this machine; what
    // the node says about scripts in its pages is not what is tested here.
    page = await browser.newPage({ bypassCSP: true });
    const module = readFileSync(new URL("../../dist/index.js", import.meta.url), "utf8");
    await page.route(`http://${node.http}/sdk.js`, (route) =>
      route.fulfill({ contentType: "text/javascript", body: module }),
    );
    await page.goto(`http://${node.http}/version`);
  });

  afterAll(async () => {
    await browser.close();
    await node.remove();
  });

  async function begin(total: number): Promise<void> {
    const source = `
      import { connect } from "/sdk.js";
      const client = await connect({ url: ${JSON.stringify(node.url)}, token: ${JSON.stringify(node.token)} });
      const counter = client.actor("counter", "chromium");
      const kept = { seqs: [], states: [], answered: 0, failed: [], value: async () => (await counter.state()).body };
      globalThis.kept = kept;
      client.onState((state) => kept.states.push(state));
      (async () => {
        for await (const item of counter.events({ after: 0 })) kept.seqs.push(item.seq);
      })();
      for (let at = 0; at < ${total}; at += 1) {
        setTimeout(() => {
          counter.send("add", { by: 1 }).then(
            () => (kept.answered += 1),
            (error) => kept.failed.push(String(error)),
          );
        }, at * 5);
      }
    `;
    await page.addScriptTag({ type: "module", content: source });
  }

  test("a node that is killed and started again costs no command and no event", async () => {
    const total = 600;
    await begin(total);
    for (const after of [100, 300]) {
      await page.waitForFunction(
        (wanted) => "kept" in globalThis && globalThis.kept.answered >= wanted,
        after,
      );
      await node.kill();
      await page.waitForFunction(() => globalThis.kept.states.at(-1) === "reconnecting");
      await node.start();
    }
    await page.waitForFunction(
      (wanted) => globalThis.kept.answered + globalThis.kept.failed.length === wanted,
      total,
    );
    await page.waitForFunction((wanted) => globalThis.kept.seqs.length >= wanted, total);
    const { seqs, failed, value } = await page.evaluate(async () => ({
      seqs: globalThis.kept.seqs,
      failed: globalThis.kept.failed,
      value: await globalThis.kept.value(),
    }));
    expect(failed).toEqual([]);
    expect(seqs).toEqual(Array.from({ length: total }, (_, at) => at + 1));
    expect(value).toEqual({ value: total });
  });
});
