/** The built SDK in Chromium by WebTransport against a real node, which is killed and started again; and where there is no way for it. */

import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hasChromium, launch, pageOf, run } from "../support/browser.js";
import { BINARY, RealNode } from "../support/node.js";

const isRun = BINARY !== undefined && hasChromium;

/** What the page of the test keeps for it. */
interface Kept {
  transports: string[];
  states: string[];
  seqs: number[];
  answered: number;
  failed: string[];
  value: () => Promise<unknown>;
  found: unknown;
}

declare global {
  var carried: Kept;
}

describe.skipIf(!isRun)("by WebTransport (not run without SELVEDGE_BIN and Chromium)", () => {
  let node: RealNode;
  let browser: Browser;

  beforeAll(async () => {
    node = await RealNode.start();
    browser = await launch();
  });

  afterAll(async () => {
    await browser.close();
    await node.remove();
  });

  /** Sends commands and listens, and keeps what becomes of that. */
  const counting = (key: string, total: number, everyMs: number): string => `
    const counter = client.actor("counter", ${JSON.stringify(key)});
    const kept = {
      transports: [client.session.transport], states: [], seqs: [], answered: 0, failed: [],
      value: async () => (await counter.state()).body,
    };
    globalThis.carried = kept;
    client.onState((state) => {
      kept.states.push(state);
      if (state === "open") kept.transports.push(client.session.transport);
    });
    (async () => {
      for await (const item of counter.events({ after: 0 })) kept.seqs.push(item.seq);
    })();
    for (let at = 0; at < ${total}; at += 1) {
      setTimeout(() => {
        counter.send("add", { by: 1 }).then(
          () => (kept.answered += 1),
          (error) => kept.failed.push(String(error)),
        );
      }, at * ${everyMs});
    }
  `;

  test("a node that is killed and started again costs no command and no event", async () => {
    const page = await pageOf(node, browser);
    const total = 800;
    await run(page, node, "webtransport", counting("killed", total, 20));
    // Each connection holds for longer than one that dies young, which would be followed by a WebSocket.
    for (const after of [300, 600]) {
      await page.waitForFunction(
        (wanted) => "carried" in globalThis && globalThis.carried.answered >= wanted,
        after,
      );
      await node.kill();
      await page.waitForFunction(() => globalThis.carried.states.at(-1) === "reconnecting");
      await node.start();
    }
    await page.waitForFunction((wanted) => {
      const { answered, failed, seqs } = globalThis.carried;
      return answered + failed.length === wanted && seqs.length >= wanted;
    }, total);
    const { seqs, failed, transports, value } = await page.evaluate(async () => ({
      ...globalThis.carried,
      value: await globalThis.carried.value(),
    }));
    expect(transports).toEqual(["webtransport", "webtransport", "webtransport"]);
    expect(failed).toEqual([]);
    expect(seqs).toEqual(Array.from({ length: total }, (_, at) => at + 1));
    expect(value).toEqual({ value: total });
    await page.close();
  });

  test("payloads go up, and large answers come down, each on streams of their own", async () => {
    const page = await pageOf(node, browser);
    const [length, messages] = [1_048_576, 60];
    await run(
      page,
      node,
      "webtransport",
      `
      const bytes = Uint8Array.from({ length: ${length} }, (_, at) => (at * 7) % 256);
      const payloads = [bytes, new Blob([bytes]), ...Array.from({ length: 20 }, () => bytes.subarray(0, 200_000))];
      const submitted = await Promise.all(
        payloads.map((payload) => client.operations.submit({ type: "digest", payload })),
      );
      const done = await Promise.all(submitted.map(({ id }) => client.operation(id).wait()));
      const room = client.actor("room", "large");
      for (let at = 0; at < ${messages}; at += 1) await room.send("say", { text: "é".repeat(2_000) });
      const { body } = await room.state();
      const typing = room.events();
      await typing.ready;
      const again = setInterval(() => room.tell("typing", { by: "ann" }), 50);
      const heard = (await typing.next()).value;
      clearInterval(again);
      globalThis.carried = {
        transports: [client.session.transport],
        found: {
          results: done.map(({ status, result }) => status + JSON.stringify(result)),
          texts: body.messages.filter(({ text }) => text === "é".repeat(2_000)).length,
          isOwn: heard.from === client.session.id,
          data: heard.data,
        },
      };
      await client.close();
      `,
    );
    await page.waitForFunction(() => "carried" in globalThis);
    const { transports, found } = await page.evaluate(() => globalThis.carried);
    expect(transports).toEqual(["webtransport"]);
    const { results, ...rest } = found as { results: string[] };
    expect(rest).toEqual({ texts: messages, isOwn: true, data: { by: "ann" } });
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 7) % 256);
    const sha256 = (of: Uint8Array): string => createHash("sha256").update(of).digest("hex");
    expect(results).toHaveLength(22);
    results.forEach((result, at) => {
      expect(result).toContain("succeeded");
      expect(result).toContain(sha256(at < 2 ? bytes : bytes.subarray(0, 200_000)));
    });
    await page.close();
  });

  test("more subscriptions than streams go on by WebSocket, and hear everything once", async () => {
    const page = await pageOf(node, browser);
    await run(
      page,
      node,
      "webtransport first",
      `
      const transports = [client.session.transport];
      client.onState((state) => state === "open" && transports.push(client.session.transport));
      const heard = Array.from({ length: 100 }, () => []);
      heard.forEach(async (seqs, key) => {
        for await (const { seq } of client.actor("counter", "many-" + key).events({ after: 0 })) seqs.push(seq);
      });
      await Promise.all(
        heard.map((_, key) => client.actor("counter", "many-" + key).send("add", { by: 1 })),
      );
      while (heard.some((seqs) => seqs.length === 0)) await new Promise((go) => setTimeout(go, 50));
      globalThis.carried = { transports, found: heard };
      `,
    );
    await page.waitForFunction(() => "carried" in globalThis);
    const { transports, found } = await page.evaluate(() => globalThis.carried);
    expect(transports).toEqual(["webtransport", "websocket"]);
    expect(found).toEqual(Array.from({ length: 100 }, () => [1]));
    await page.close();
  });

  test("a port where nobody answers leaves it to the WebSocket", async () => {
    const page = await pageOf(node, browser);
    // It takes all that comes, and says nothing.
    const hole = createSocket("udp4");
    await new Promise<void>((resolve) => {
      hole.bind(0, "127.0.0.1", resolve);
    });
    const { port } = hole.address();
    const asked: string[] = [];
    await page.route(`http://${node.http}/version`, async (route) => {
      asked.push(route.request().url());
      const webTransport = { port, path: "/session", certificateHashes: [] };
      await route.fulfill({ json: { webTransport } });
    });
    await run(page, node, "either", counting("refused", 200, 5));
    await page.waitForFunction(() => "carried" in globalThis && globalThis.carried.answered >= 50);
    await node.kill();
    await node.start();
    await page.waitForFunction(() => globalThis.carried.seqs.length >= 200);
    const { seqs, failed, transports } = await page.evaluate(() => globalThis.carried);
    expect(new Set(transports)).toEqual(new Set(["websocket"]));
    expect(failed).toEqual([]);
    expect(seqs).toEqual(Array.from({ length: 200 }, (_, at) => at + 1));
    expect(asked).toHaveLength(1);
    hole.close();
    await page.close();
  });
});
