/** The built SDK in Chromium against a real node, which is killed and started again. */

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hasChromium, launch, pageOf, run } from "../support/browser.js";
import { BINARY, RealNode } from "../support/node.js";

const isRun = BINARY !== undefined && hasChromium;

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
    // By WebSocket: the other way has a test of its own.
    browser = await launch("--disable-quic");
    page = await pageOf(node, browser);
  });

  afterAll(async () => {
    await browser.close();
    await node.remove();
  });

  async function begin(total: number): Promise<void> {
    const source = `
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
    await run(page, node, "either", source);
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
