/** The client in simulated time, against servers in memory: connections that break, and other servers. */

import { describe, expect, test, vi } from "vitest";

import type { State } from "../../src/index.js";

import { FakeServer, sockets } from "../support/fake.js";
import { goodbye } from "../support/model.js";
import {
  failure,
  listen,
  one,
  open,
  ran,
  seqs,
  simulateTime,
  within,
} from "../support/simulated.js";

simulateTime();

describe("a broken connection", () => {
  test("is made again, with every command in effect once and every event heard once", async () => {
    const { server, client, states } = await one();
    const counter = client.actor("counter", "a");
    const { items } = listen(counter.events({ after: 0 }));
    const sent: Promise<unknown>[] = [];
    for (let tag = 0; tag < 40; tag += 1) {
      sent.push(counter.send("add", { tag: String(tag) }));
      if (tag % 10 === 5) {
        await ran(tag % 3);
        server.kill();
        await ran(300);
        server.isUp = true;
      }
      server.publish();
    }
    await within(20_000, Promise.all(sent));
    server.publish();
    await ran(100);
    expect([...server.world.effects.values()]).toEqual(Array.from({ length: 40 }, () => 1));
    expect(seqs(items)).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
    expect(states).toContain("reconnecting");
    expect(client.state).toBe("open");
    expect(client.session?.resumed).toBe(true);
  });

  test("says what is wrong with each attempt", async () => {
    const { server, client } = await one();
    const why: (string | undefined)[] = [];
    client.onState((state, error) => why.push(`${state}: ${error?.message ?? ""}`));
    server.kill();
    await ran(10);
    // The next attempt comes by chance, maybe at once: what it says stands behind this.
    const [lost, ...more] = why;
    expect(lost).toBe("reconnecting: the connection was lost (1006)");
    for (const said of more) expect(said).toContain("connection refused");
    await ran(10_000);
    expect(why.length).toBeGreaterThan(2);
    expect(why.at(-1)).toContain("connection refused");
    server.isUp = true;
    await ran(6_000);
    expect(why.at(-1)).toBe("open: ");
  });

  test("a session that is forgotten leaves only commands without an id in doubt", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    server.isSilent = true;
    const id = crypto.randomUUID();
    const plain = counter.send("add", { tag: "plain" });
    const named = counter.send("add", { tag: "named" }, { id });
    const cancel = client.operation("a1").cancel();
    const asked = counter.query("get");
    await ran(10);
    server.world.forget();
    server.kill();
    server.isUp = true;
    server.isSilent = false;
    expect((await failure(2_000, plain)).code).toBe("outcome_unknown");
    await within(2_000, Promise.all([named, cancel, asked]));
    expect(server.world.effects.get("named")).toBe(1);
    expect(client.session?.resumed).toBe(false);
  });

  test("a server that falls silent is left within seconds", async () => {
    const { server, client, states } = await one();
    void listen(client.actor("room", "42").events());
    await ran(20);
    server.isSilent = true;
    await ran(5_000 + 2_500 + 1_500);
    expect(states[0]).toBe("reconnecting");
    server.isSilent = false;
    await ran(10_000);
    expect(client.state).toBe("open");
    expect(server.connections).toBeGreaterThan(1);
  });

  test("a server that is asked and silent is left sooner, and one that is slow is not", async () => {
    const { server, client, states } = await one({ keepAliveMs: 1_000 });
    await ran(60_000);
    expect(states).toEqual([]);
    server.isSilent = true;
    void client
      .actor("counter", "a")
      .query("get")
      .catch(() => undefined);
    await ran(1_000 + 2_500 + 800);
    expect(states).toEqual(["reconnecting"]);
    await within(2_000, client.close());
  });

  test("pages are not held up by backoff when the network is back", async () => {
    const heard = new Map<string, () => void>();
    vi.stubGlobal("addEventListener", (event: string, listener: () => void) => {
      heard.set(event, listener);
    });
    const { server, client } = await one();
    vi.unstubAllGlobals();
    server.kill();
    await ran(30_000);
    server.isUp = true;
    heard.get("online")?.();
    await ran(20);
    expect(client.state).toBe("open");
  });
});

describe("other servers", () => {
  function cluster(): [FakeServer, FakeServer] {
    const first = new FakeServer("node-1:7480");
    return [first, new FakeServer("node-2:7480", first.world)];
  }

  test("that the Welcome names are there when the only one that was named dies", async () => {
    const [first, second] = cluster();
    first.world.ext = [[3, btoa("node-2:7480,no server,node-3:7480")]];
    const client = await within(100, open([first], { WebSocket: sockets(first, second) }));
    first.kill();
    await within(2_000, client.actor("counter", "a").send("add", { tag: "a" }));
    expect(second.connections).toBe(1);
    expect(client.session?.resumed).toBe(true);
  });

  test("a redirect is followed at once and nothing fails", async () => {
    const [first, second] = cluster();
    const client = await within(100, open([first, second]));
    const states: State[] = [];
    client.onState((state) => states.push(state));
    const { items } = listen(client.actor("counter", "a").events({ after: 0 }));
    first.link.refusals.push({ code: "unavailable", message: "draining" });
    first.say({ notice: { draining: 5_000 } });
    await ran(10);
    expect(client.state).toBe("draining");
    const sent = client.actor("counter", "a").send("add", { tag: "a" });
    await ran(5);
    first.link.say({ redirect: { address: "node-2:7480" } });
    first.say(goodbye("unavailable", "stopping"));
    await within(100, sent);
    second.publish();
    await ran(10);
    expect(states).toEqual(["draining", "reconnecting", "open"]);
    expect(seqs(items)).toEqual([1]);
    expect(second.connections).toBe(1);
  });

  test("two that send a client to each other do not keep it busy", async () => {
    const [first, second] = cluster();
    const client = await within(100, open([first, second]));
    const away = (server: FakeServer, to: string): void => {
      if (server.sockets.size > 0) server.say({ redirect: { address: to } });
    };
    for (let ms = 0; ms < 20_000; ms += 5) {
      away(first, "node-2:7480");
      away(second, "node-1:7480");
      await ran(5);
    }
    expect(first.connections + second.connections).toBeLessThan(40);
    await within(2_000, client.close());
  });

  test("one that takes the session over ends this client for good", async () => {
    const { server, client, states } = await one();
    const { over } = listen(client.actor("room", "42").events());
    await ran(10);
    server.say(goodbye("session_replaced", "connected elsewhere"));
    await ran(100);
    expect(states).toEqual(["closed"]);
    expect(await over).toMatchObject({ code: "session_replaced" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a credential that ends is followed by the one that is good now", async () => {
    let token = "secret";
    const { server, client, states } = await one({ token: () => token });
    const ended = goodbye("unauthenticated", "the token has expired");
    server.world.token = token = "the next";
    server.say(ended);
    await within(2_000, client.actor("counter", "a").send("add", { tag: "a" }));
    expect(states).toEqual(["reconnecting", "open"]);
    expect(client.session?.resumed).toBe(true);
    // This one is not let in any more, and there is no other.
    server.world.token = "another";
    server.say(ended);
    await ran(2_000);
    expect(states.at(-1)).toBe("closed");
    expect(server.world.hellos.length).toBe(3);
  });

  test("a close code says the same as a Goodbye", async () => {
    const { server, client } = await one();
    const why: unknown[] = [];
    client.onState((_, error) => why.push(error?.code));
    for (const socket of server.sockets) socket.break(4017, "connected elsewhere");
    await ran(100);
    expect(why).toEqual(["session_replaced"]);
  });

  test("what is no frame ends the connection, not the session", async () => {
    const { server, client } = await one();
    server.say({ later: {} });
    await ran(1_000);
    expect(client.state).toBe("open");
    expect(server.connections).toBe(2);
    const { items } = listen(client.actor("counter", "a").events({ after: 0 }));
    await ran(10);
    server.say({ event: { subscription: 1, seq: 9, kind: "x", timeMs: 1 } });
    await ran(1_000);
    expect(server.connections).toBe(3);
    expect(items).toEqual([]);
  });
});
