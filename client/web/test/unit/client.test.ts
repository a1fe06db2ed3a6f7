/** The client in simulated time, against servers in memory: connecting, and calls. */

import { describe, expect, test, vi } from "vitest";

import { SelvedgeError } from "../../src/index.js";
import { FakeServer } from "../support/fake.js";
import { goodbye } from "../support/model.js";
import { failure, one, open, ran, simulateTime, within } from "../support/simulated.js";

simulateTime();

describe("connecting", () => {
  test("opens a session, says who it is, and closes it in order", async () => {
    const { server, client, states } = await one({ tenant: "acme", agent: "example/1" });
    expect(client.state).toBe("open");
    expect(client.session).toMatchObject({ node: "node-1", resumed: false });
    expect(server.world.hellos).toEqual([
      { versions: [1], token: "secret", tenant: "acme", agent: "example/1" },
    ]);
    await within(2_000, client.close());
    expect(states).toEqual(["closed"]);
    expect(server.world.sessions.size).toBe(0);
    expect(server.sockets.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a wrong token is told at once", async () => {
    const server = new FakeServer("node-1:7480");
    const error = await failure(1_000, open([server], { token: "wrong" }));
    expect(error.code).toBe("unauthenticated");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a server that is not there yet is waited for, but not for ever", async () => {
    const server = new FakeServer("node-1:7480");
    server.isUp = false;
    const error = await failure(12_000, open([server]));
    expect(error).toMatchObject({ code: "unavailable" });
    expect(error.message).toContain("ws://node-1:7480/ws");
    expect(error.message).toContain("connection refused");
    expect(vi.getTimerCount()).toBe(0);
    const opening = open([server]);
    await ran(3_000);
    server.isUp = true;
    expect((await within(5_000, opening)).state).toBe("open");
  });

  test("a signal ends it", async () => {
    const server = new FakeServer("node-1:7480");
    server.isDeaf = true;
    const stop = new AbortController();
    const opening = open([server], { signal: stop.signal });
    await ran(50);
    stop.abort();
    expect((await failure(100, opening)).code).toBe("aborted");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a dead first server costs a moment", async () => {
    const [dead, alive] = [new FakeServer("node-1:7480"), new FakeServer("node-2:7480")];
    dead.isDeaf = true;
    const client = await within(400, open([dead, alive]));
    expect(client.state).toBe("open");
    expect(alive.connections).toBe(1);
    await within(2_000, client.close());
    expect(vi.getTimerCount()).toBe(0);
  });

  test("the token is asked for before each connection", async () => {
    let asked = 0;
    const { server, client } = await one({
      token: () => Promise.resolve((asked += 1) === 0 ? "" : "secret"),
    });
    server.kill();
    server.isUp = true;
    await ran(1_000);
    expect(client.state).toBe("open");
    expect(asked).toBe(2);
    server.world.token = "another";
    server.link.say(goodbye("unavailable", "restarting"));
    server.flush();
    await ran(1_000);
    expect(client.state).toBe("closed");
  });

  test.each([
    [{ url: "nowhere" }, "url"],
    [{ url: "ftp://node-1/ws" }, "url"],
    [{ url: "ws://user:secret@node-1/ws" }, "url"],
    [{ url: [] }, "url"],
    [{ tenant: "Acme" }, "tenant"],
    [{ agent: "" }, "agent"],
    [{ token: "x".repeat(9_000) }, "token"],
    [{ keepAliveMs: 1 }, "keepAliveMs"],
  ])("refuses %o by name", async (options, field) => {
    const error = await failure(100, open([new FakeServer("node-1:7480")], options));
    expect(error).toMatchObject({ code: "invalid", field });
    expect(error.message).not.toContain("secret");
  });
});

describe("calls", () => {
  test("are answered", async () => {
    const { client } = await one();
    const room = client.actor("room", "42");
    expect(await within(50, room.send("say", { tag: "a" }))).toEqual({
      body: { tag: "a" },
      seq: 1,
      version: 1,
    });
    const { body } = await within(50, room.state());
    expect(body).toEqual({ name: "state", body: {} });
  });

  test("whose code is loaded with the first of them keep their order", async () => {
    const { server, client } = await one();
    const operation = client.operation("a1");
    expect(operation.id).toBe("a1");
    const verbs = ["pause", "resume", "cancel"] as const;
    const sent = verbs.map((verb) => operation[verb]());
    const all = [client.operations.list(), client.actors.list("room"), client.cluster.status()];
    await within(50, Promise.all([...sent, ...all]));
    expect(server.world.commands.map(({ name }) => name)).toEqual(verbs);
    expect(server.world.commands[0]?.target).toEqual({ operation: "a1" });
    const asked = server.link.received.flatMap((it) => ("query" in it ? [it["query"]] : []));
    expect(asked).toMatchObject([
      { target: "operations", name: "list" },
      { target: "actors", name: "list", body: { kind: "room" } },
      { target: "cluster", name: "status" },
    ]);
  });

  test("of any number keep to the window and to their order", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    const tags = Array.from({ length: 200 }, (_, tag) => String(tag));
    const sent = tags.map((tag) => counter.send("add", { tag }));
    await within(2_000, Promise.all(sent));
    expect(server.world.order).toEqual(tags);
    await ran(1_500);
    expect(server.link.session?.acknowledged).toBe(200);
  });

  test("a refusal for the moment is retried, one for good is not", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    const busy = { code: "limit_exceeded", message: "too many", retryAfterMs: 700 };
    server.link.refusals.push(busy, { code: "unavailable", message: "moving" });
    const sent = counter.send("add", { tag: "a" });
    await ran(690);
    expect(server.world.effects.size).toBe(0);
    await within(300, sent);
    expect(server.world.commands.map(({ number }) => number)).toEqual([1, 1, 1]);
    server.link.refusals.push({ code: "rejected", message: "no", field: "by" });
    const error = await failure(50, counter.send("add", { tag: "b" }));
    expect(error).toMatchObject({ code: "rejected", field: "by", message: "no", retryable: false });
  });

  test("retries end with the deadline", async () => {
    const { server, client } = await one();
    const refusals = Array.from({ length: 99 }, () => ({ code: "unavailable", message: "away" }));
    server.link.refusals.push(...refusals);
    const error = await failure(
      1_100,
      client.actor("counter", "a").send("add", {}, { deadlineMs: 1_000 }),
    );
    expect(["unavailable", "deadline_exceeded"]).toContain(error.code);
  });

  test("a deadline and a signal end the wait for a silent server", async () => {
    const { server, client } = await one();
    server.isSilent = true;
    const counter = client.actor("counter", "a");
    const late = await failure(600, counter.query("get", {}, { deadlineMs: 500 }));
    expect(late.code).toBe("deadline_exceeded");
    const stop = new AbortController();
    const call = counter.send("add", { tag: "a" }, { signal: stop.signal });
    stop.abort("enough");
    expect(await failure(50, call)).toMatchObject({ code: "aborted", cause: "enough" });
    const before = await failure(50, counter.send("add", { tag: "b" }, { signal: stop.signal }));
    expect(before.code).toBe("aborted");
  });

  test("what does not fit is refused by name, before anything is sent", async () => {
    const { server, client } = await one();
    const room = client.actor("room", "42");
    const circle: Record<string, unknown> = {};
    circle["circle"] = circle;
    const calls: [() => Promise<unknown>, string, string][] = [
      [() => room.send("", {}), "invalid", "name"],
      [() => room.send("x".repeat(65), {}), "invalid", "name"],
      [() => room.send("say", circle), "invalid", "body"],
      [() => room.send("say", 1n), "invalid", "body"],
      [() => room.send("say", () => 1), "invalid", "body"],
      [() => room.send("say", "é".repeat(40_000)), "too_large", "body"],
      [() => room.send("say", {}, { id: "not-a-uuid" }), "invalid", "id"],
      [() => room.send("say", {}, { deadlineMs: 0.5 }), "invalid", "deadlineMs"],
      [() => room.query("get", "x".repeat(70_000)), "too_large", "body"],
      [() => client.operations.submit({ type: "Digest" }), "invalid", "type"],
      [() => client.operations.submit({ type: "digest", id: "a b" }), "invalid", "id"],
      [() => client.actors.list("Room"), "invalid", "kind"],
    ];
    for (const [call, code, field] of calls) {
      expect(await failure(50, call())).toMatchObject({ code, field });
    }
    expect(() => client.actor("room", "")).toThrow("1 to 512 bytes");
    expect(() => client.actor("room", "\ud800")).toThrow("1 to 512 bytes");
    expect(() => client.actor("Room", "a")).toThrow("kind");
    expect(() => client.operation("a/b")).toThrow("id");
    expect(() => room.events({ after: -1 })).toThrow("after");
    expect(server.link.received).toHaveLength(1);
  });

  test("too many at a time are refused, and those before them answered", async () => {
    const { client } = await one();
    const counter = client.actor("counter", "a");
    const calls = Array.from({ length: 16_384 + 5 }, () => counter.query("get"));
    const settled = Promise.allSettled(calls);
    await ran(20_000);
    const codes = (await settled).map((call) =>
      call.status === "rejected" ? (call.reason as SelvedgeError).code : "answered",
    );
    expect(codes.filter((code) => code === "overloaded")).toHaveLength(1);
    expect(codes.at(-1)).toBe("overloaded");
    expect(codes.filter((code) => code === "answered")).toHaveLength(16_388);
  });

  test("large answers come whole", async () => {
    const { client } = await one();
    const { body } = await within(500, client.query("operations", "large", { bytes: 1_000_000 }));
    expect(body).toBe("x".repeat(999_998));
  });

  test("after the end are refused", async () => {
    const { client } = await one();
    const waiting = client.actor("counter", "a").send("add", { tag: "a" });
    const closing = client.close();
    expect((await failure(50, waiting)).code).toBe("closed");
    await within(2_000, closing);
    expect((await failure(50, client.actor("counter", "a").send("add"))).code).toBe("closed");
    expect(() => client.actor("counter", "a").events()).toThrow("closed");
  });
});
