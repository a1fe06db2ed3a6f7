/** The client in simulated time, against servers in memory: events. */

import { describe, expect, test } from "vitest";

import type { Item } from "../../src/index.js";
import { failure, listen, one, ran, seqs, simulateTime, within } from "../support/simulated.js";

simulateTime();

describe("events", () => {
  test("begin where they are asked to, and tell so", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    await within(100, counter.send("add", { tag: "a" }));
    const latest = counter.events();
    const all = counter.events({ after: 0 });
    expect(await within(50, latest.ready)).toBe(1);
    const { items } = listen(latest);
    const from = listen(all);
    await within(100, counter.send("add", { tag: "b" }));
    server.publish();
    await ran(10);
    expect(items).toEqual([
      { type: "event", seq: 2, kind: "added", time: new Date(2), data: { tag: "b" } },
    ]);
    expect(seqs(from.items)).toEqual([1, 2]);
  });

  test("leaving the loop ends the subscription", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    await within(100, counter.send("add", { tag: "a" }));
    const loop = (async () => {
      for await (const item of counter.events({ after: 0 })) return item;
      return undefined;
    })();
    expect(await within(100, loop)).toMatchObject({ seq: 1 });
    await ran(10);
    expect(server.link.subscriptions.size).toBe(0);
  });

  test("a signal and the end of the client end the loop", async () => {
    const { client } = await one();
    const stop = new AbortController();
    const aborted = listen(client.actor("room", "1").events({ signal: stop.signal }));
    const closed = listen(client.actor("room", "2").events());
    stop.abort();
    expect(await within(50, aborted.over)).toMatchObject({ code: "aborted" });
    await within(2_000, client.close());
    expect(await within(50, closed.over)).toBeUndefined();
  });

  test("a slow consumer holds 256 of them, and gets all in the end", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    for (let tag = 0; tag < 1_000; tag += 1) server.world.events.push({ tag });
    const events = counter.events({ after: 0 });
    await ran(50);
    expect(server.link.subscriptions.size).toBe(0);
    const items: Item[] = [];
    for (let taken = 0; taken < 1_000; taken += 1) {
      const { value } = await within(100, events.next());
      if (value !== undefined) items.push(value);
    }
    expect(seqs(items)).toEqual(Array.from({ length: 1_000 }, (_, at) => at + 1));
    const subscribes = server.link.received.filter((frame) => "subscribe" in frame);
    expect(subscribes.length).toBeGreaterThan(5);
    expect(subscribes.length).toBeLessThan(12);
  });

  test("gaps come with the state, large ones too", async () => {
    const { server, client } = await one();
    for (let tag = 0; tag < 5; tag += 1) server.world.events.push({ tag });
    server.world.forgotten = 3;
    const { items } = listen(client.actor("counter", "a").events({ after: 1 }));
    await ran(10);
    expect(items[0]).toEqual({ type: "gap", after: 1, seq: 3, snapshot: { count: 3 } });
    expect(seqs(items)).toEqual([3, 4, 5]);
    for (let tag = 0; tag < 5; tag += 1) server.world.events.push({ tag });
    server.link.largeGap(1, 9, 200_000);
    server.publish();
    await ran(10);
    expect(items[3]).toMatchObject({
      type: "gap",
      after: 5,
      seq: 9,
      snapshot: "s".repeat(199_998),
    });
    expect(seqs(items)).toEqual([3, 4, 5, 9, 10]);
  });

  test("a subscription that is refused for the moment is asked for again, one for good ends", async () => {
    const { server, client } = await one();
    server.link.refusals.push({ code: "unavailable", message: "moving" });
    const events = client.actor("counter", "a").events();
    expect(await within(500, events.ready)).toBe(0);
    server.link.refusals.push({ code: "unknown_kind", message: "no such kind" });
    const refused = client.actor("counter", "a").events();
    expect((await failure(50, refused.ready)).code).toBe("unknown_kind");
    expect((await failure(50, refused.next())).code).toBe("unknown_kind");
    expect(await refused.next()).toEqual({ done: true, value: undefined });
  });

  test("more than the session may hold are refused", async () => {
    const { client } = await one();
    for (let key = 0; key < 8; key += 1) client.actor("room", String(key)).events();
    expect(() => client.actor("room", "9").events()).toThrow("holds its 8 subscriptions");
  });

  test("ephemeral messages pass", async () => {
    const { server, client } = await one();
    const room = client.actor("room", "42");
    const { items } = listen(room.events());
    await ran(10);
    room.tell("typing", { by: "ann" });
    await ran(10);
    expect(server.link.received.at(-1)).toEqual({
      ephemeral: {
        target: { actor: { kind: "room", key: "42" } },
        name: "typing",
        data: { by: "ann" },
      },
    });
    const from = "00000000-0000-7000-8000-000000000009";
    server.say({ ephemeral: { subscription: 1, from, name: "typing", data: { by: "bob" } } });
    await ran(10);
    expect(items).toEqual([{ type: "ephemeral", from, name: "typing", data: { by: "bob" } }]);
  });

  test("what was received is acknowledged now and then", async () => {
    const { server, client } = await one();
    for (let tag = 0; tag < 5; tag += 1) server.world.events.push({ tag });
    void listen(client.actor("counter", "a").events({ after: 0 }));
    await ran(1_100);
    expect(server.link.received.at(-1)).toEqual({
      ack: { acknowledged: 0, positions: [{ subscription: 1, seq: 5 }] },
    });
  });
});
