/** The client in simulated time, against servers in memory: payloads. */

import { describe, expect, test, vi } from "vitest";

import { FakeServer } from "../support/fake.js";
import { failure, one, open, ran, simulateTime, within } from "../support/simulated.js";

simulateTime();

describe("payloads", () => {
  const bytes = Uint8Array.from({ length: 700_000 }, (_, at) => at % 253);

  test("small ones go in the frame, large ones in pieces", async () => {
    const { server, client } = await one();
    const small = { payload: new Uint8Array([1, 2, 3]) };
    await within(50, client.command({ operation: "a" }, "submit", { tag: "small" }, small));
    expect(server.world.commands[0]?.payload).toEqual({ inline: "AQID" });
    await within(
      900,
      client.command({ operation: "b" }, "submit", { tag: "large" }, { payload: bytes }),
    );
    expect(server.world.commands[1]?.payload).toEqual({ attached: 700_000 });
    expect(Buffer.compare(server.world.payloads.get("large") ?? bytes, bytes)).toBe(0);
    expect(server.world.payloads.get("large")).toHaveLength(700_000);
  });

  test("blobs as well, beside each other", async () => {
    // Reading a Blob takes real time.
    vi.useRealTimers();
    const server = new FakeServer("node-1:7480");
    server.world.limits.window = 100;
    const client = await open([server]);
    const all = Array.from({ length: 20 }, (_, tag) =>
      client.operations.submit({ type: "digest", id: `b${tag}`, payload: new Blob([bytes]) }),
    );
    await Promise.all(all);
    expect(server.world.payloads.size).toBe(1);
    expect(server.world.order).toHaveLength(20);
    await client.close();
  });

  test("one that was cut off by a break is sent again from its first byte", async () => {
    const { server, client } = await one();
    server.link.isTaking = false;
    const sent = client.command({ operation: "a" }, "submit", { tag: "a" }, { payload: bytes });
    await ran(100);
    expect(server.link.uploads.get(1)?.received).toBe(262_144);
    server.kill();
    server.isUp = true;
    await within(2_000, sent);
    expect(Buffer.compare(server.world.payloads.get("a") ?? new Uint8Array(), bytes)).toBe(0);
    expect(server.world.effects.get("a")).toBe(1);
  });

  test("one that is given up is not executed", async () => {
    const { server, client } = await one();
    server.link.isTaking = false;
    const stop = new AbortController();
    const sent = client.command(
      { operation: "a" },
      "submit",
      { tag: "a" },
      { payload: bytes, signal: stop.signal },
    );
    await ran(100);
    stop.abort();
    expect((await failure(50, sent)).code).toBe("aborted");
    await ran(100);
    expect(server.link.uploads.size).toBe(0);
    expect(server.world.effects.size).toBe(0);
    await within(50, client.command({ operation: "b" }, "cancel", { tag: "b" }));
  });
});
