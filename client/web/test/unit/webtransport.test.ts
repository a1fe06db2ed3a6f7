/** The client over WebTransport in simulated time, against servers in memory. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Client, ConnectOptions } from "../../src/index.js";
import { FakeServer, sockets } from "../support/fake.js";
import { length } from "../support/model.js";
import { failure, listen, open, ran, seqs, simulateTime, within } from "../support/simulated.js";
import type { FakeTransport } from "../support/transport.js";
import { encoded, quic, StreamError, versions } from "../support/transport.js";

simulateTime();

let servers: FakeServer[] = [];

beforeEach(() => {
  servers = [new FakeServer("node-1:7480")];
  vi.stubGlobal("fetch", (...call: Parameters<typeof fetch>) => versions(...servers)(...call));
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const upgraded = (options: Partial<ConnectOptions> = {}): Promise<Client> =>
  within(1_000, open(servers, { webTransport: quic(...servers), ...options }));

/** The only server, and the connection that there is to it. */
async function one(): Promise<{ server: FakeServer; client: Client; transport: FakeTransport }> {
  const client = await upgraded();
  expect(client.session?.transport).toBe("webtransport");
  return { server: first(), client, transport: present() };
}

function first(): FakeServer {
  const [server] = servers;
  if (server === undefined) throw new Error("there is no server");
  return server;
}

function present(): FakeTransport {
  const [transport] = first().transports;
  if (transport === undefined) throw new Error("nobody is connected");
  return transport;
}

describe("a session over WebTransport", () => {
  test("opens where the server tells, with the hashes that it tells, and ends in order", async () => {
    const { server, client, transport } = await one();
    expect(transport.url).toBe("https://node-1:7400/session");
    expect(transport.hashes.map((hash) => Buffer.from(hash as Uint8Array).toString())).toEqual([
      "h".repeat(32),
    ]);
    expect(server.connections).toBe(0);
    expect(server.world.hellos).toEqual([
      { versions: [1], token: "secret", agent: "selvedge-client-web/0.1.0" },
    ]);
    await within(2_000, client.close());
    expect(server.world.sessions.size).toBe(0);
    expect(server.transports.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("answers calls, in their order", async () => {
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    const tags = Array.from({ length: 200 }, (_, tag) => String(tag));
    const sent = tags.map((tag) => counter.send("add", { tag }));
    expect((await within(5_000, Promise.all(sent))).map(({ seq }) => seq)).toHaveLength(200);
    expect(server.world.order).toEqual(tags);
    const { body } = await within(50, counter.state());
    expect(body).toEqual({ name: "state", body: {} });
    await ran(1_500);
    expect(server.link.session?.acknowledged).toBe(200);
    server.link.refusals.push({ code: "rejected", message: "no", field: "by" });
    expect(await failure(50, counter.send("add", { tag: "b" }))).toMatchObject({
      code: "rejected",
      field: "by",
    });
  });

  test("hears events, also before it is told that it is subscribed", async () => {
    const { server, client, transport } = await one();
    transport.lateMs = 30;
    server.world.events.push({ tag: "before" }, { tag: "also" });
    const events = client.actor("counter", "a").events({ after: 0 });
    const latest = client.actor("counter", "b").events();
    const [early, late] = [listen(events), listen(latest)];
    await ran(10);
    server.world.events.push({ tag: "later" });
    server.publish();
    await ran(10);
    expect(seqs(early.items)).toEqual([1, 2, 3]);
    expect(seqs(late.items)).toEqual([3]);
    await ran(50);
    expect(await within(10, latest.ready)).toBe(2);
    server.world.events.push({ tag: "last" });
    server.publish();
    await ran(10);
    expect(seqs(early.items)).toEqual([1, 2, 3, 4]);
    expect(seqs(late.items)).toEqual([3, 4]);
    expect(early.items[0]).toMatchObject({ kind: "added", data: { tag: "before" } });
  });

  test("stops the stream of a subscription that it leaves", async () => {
    const { server, client, transport } = await one();
    const events = client.actor("counter", "a").events({ after: 0 });
    server.world.events.push({ tag: "a" });
    await ran(10);
    server.publish();
    await ran(10);
    expect(transport.events.get(1)?.isStopped).toBe(false);
    events.close();
    await ran(10);
    expect(transport.events.get(1)?.isStopped).toBe(true);
    expect(server.link.subscriptions.size).toBe(0);
  });

  test("gets large snapshots, and asks anew for one that is cut off", async () => {
    const { server, client, transport } = await one();
    const { items } = listen(client.actor("counter", "a").events({ after: 0 }));
    await ran(10);
    server.link.largeGap(1, 7, 200_000);
    server.flush();
    await ran(20);
    expect(items).toMatchObject([{ type: "gap", after: 0, seq: 7 }]);
    expect(JSON.stringify((items[0] as { snapshot: unknown }).snapshot)).toHaveLength(200_000);
    const head = { subscription: 1, after: 7, seq: 9, length: 100_000 };
    transport.events.get(1)?.send(encoded("largeGap", head));
    transport.events.get(1)?.send(new Uint8Array(70_000));
    await ran(10);
    transport.events.get(1)?.reset(new StreamError(13));
    await ran(500);
    expect(client.state).toBe("open");
    expect([...server.link.subscriptions.keys()]).toContain(2);
  });

  test("ephemeral messages go in datagrams, those that fit none are lost", async () => {
    const { server, client, transport } = await one();
    const room = client.actor("room", "42");
    const { items } = listen(room.events());
    await ran(10);
    room.tell("typing", { by: "ann" });
    room.tell("pasting", "x".repeat(2_000));
    await ran(10);
    const told = server.link.received.filter((frame) => "ephemeral" in frame);
    expect(told).toMatchObject([{ ephemeral: { name: "typing", data: { by: "ann" } } }]);
    const from = "0190163d-8694-739b-aea5-966c26f8ad91";
    transport.link.say({ ephemeral: { subscription: 1, from, name: "hi", data: { to: 1 } } });
    server.flush();
    await ran(10);
    expect(items).toEqual([{ type: "ephemeral", from, name: "hi", data: { to: 1 } }]);
  });
});

describe("payloads and large answers over WebTransport", () => {
  const bytes = Uint8Array.from({ length: 700_000 }, (_, at) => at % 253);

  test("have streams of their own", async () => {
    const { server, client } = await one();
    const target = { operation: "a" };
    await within(
      50,
      client.command(target, "submit", { tag: "s" }, { payload: bytes.slice(0, 9) }),
    );
    expect(server.world.commands[0]?.payload).toEqual({ inline: "AAECAwQFBgcI" });
    await within(900, client.command(target, "submit", { tag: "large" }, { payload: bytes }));
    expect(server.world.commands[1]?.payload).toEqual({ attached: 700_000 });
    expect(Buffer.compare(server.world.payloads.get("large") ?? new Uint8Array(), bytes)).toBe(0);
    const { body } = await within(500, client.query("operations", "large", { bytes: 1_000_000 }));
    expect(body).toBe("x".repeat(999_998));
  });

  test("wait where there are no more streams", async () => {
    const { server, client } = await one();
    server.streamsMax = 3;
    server.world.limits.window = 100;
    const all = Array.from({ length: 20 }, (_, tag) =>
      client.command({ operation: "a" }, "submit", { tag }, { payload: bytes.slice(tag) }),
    );
    await within(20_000, Promise.all(all));
    expect(server.world.payloads.size).toBe(20);
    expect(present().answers.size).toBe(0);
  });

  test("a payload whose stream is reset is sent again, whole", async () => {
    const { server, client, transport } = await one();
    const target = { operation: "a" };
    const sent = client.command(target, "submit", { tag: "a" }, { payload: bytes });
    await ran(5);
    expect(transport.answers.size).toBe(1);
    transport.answers.get(1)?.reset(new StreamError(14));
    transport.answers.clear();
    transport.link.uploads.clear();
    await within(2_000, sent);
    expect(Buffer.compare(server.world.payloads.get("a") ?? new Uint8Array(), bytes)).toBe(0);
    expect(server.world.effects.get("a")).toBe(1);
    expect(client.session?.transport).toBe("webtransport");
  });

  test("one that is refused on its stream is told so", async () => {
    const { client, transport } = await one();
    const target = { operation: "a" };
    const sent = client.command(target, "submit", { tag: "a" }, { payload: bytes });
    await ran(5);
    transport.answers.get(1)?.reset(new StreamError(4));
    expect((await failure(2_000, sent)).code).toBe("permission_denied");
  });

  test("one that is given up is not executed", async () => {
    const { server, client } = await one();
    const stop = new AbortController();
    const options = { payload: bytes, signal: stop.signal };
    const sent = client.command({ operation: "a" }, "submit", { tag: "a" }, options);
    await ran(4);
    stop.abort();
    expect((await failure(50, sent)).code).toBe("aborted");
    await ran(100);
    expect(server.link.uploads.size).toBe(0);
    expect(server.world.effects.size).toBe(0);
  });

  test.each(["reset", "end"] as const)(
    "a large answer cut off by a(n) %s is asked for again",
    async (how) => {
      const { server, client, transport } = await one();
      // The first is not the model's.
      server.isSilent = true;
      const asked = client.query("operations", "large", { bytes: 300_000 });
      await ran(5);
      transport.link.out.length = 0;
      server.isSilent = false;
      const out = transport.stream();
      const outcome = { success: { seq: 0, version: 0 } };
      out.send(encoded("reply", { request: { query: 1 }, outcome, ext: [[1, length(300_000)]] }));
      out.send(new Uint8Array(1_000));
      await ran(5);
      if (how === "end") out.end();
      else out.reset(new StreamError(13));
      const { body } = await within(2_000, asked);
      expect(body).toBe("x".repeat(299_998));
      expect(client.session?.transport).toBe("webtransport");
    },
  );
});

describe("a WebTransport that breaks", () => {
  test("is made again, with every command in effect once and every event heard once", async () => {
    // No attempt is made in the very moment in which the server comes back.
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    const { server, client } = await one();
    const counter = client.actor("counter", "a");
    const { items } = listen(counter.events({ after: 0 }));
    await ran(6_000);
    const sent: Promise<unknown>[] = [];
    for (let tag = 0; tag < 40; tag += 1) {
      sent.push(counter.send("add", { tag: String(tag) }));
      if (tag % 10 === 5) {
        await ran(tag % 3);
        server.kill();
        await ran(300);
        server.isUp = true;
        await ran(6_000);
      }
      server.publish();
    }
    await within(20_000, Promise.all(sent));
    server.publish();
    await ran(100);
    expect([...server.world.effects.values()]).toEqual(Array.from({ length: 40 }, () => 1));
    expect(seqs(items)).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
    expect(client.session).toMatchObject({ resumed: true, transport: "webtransport" });
    expect(server.quicConnections).toBe(5);
    expect(server.connections).toBe(0);
  });

  test("a close code says the same as a Goodbye", async () => {
    const { client, transport } = await one();
    const why: unknown[] = [];
    client.onState((_, error) => why.push(error?.code, error?.message));
    transport.break({ closeCode: 17, reason: "connected elsewhere" });
    await ran(100);
    expect(why).toEqual(["session_replaced", "connected elsewhere"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a control stream that ends is the end of the connection", async () => {
    const { server, client, transport } = await one();
    await ran(6_000);
    transport.control.end();
    await ran(3_000);
    expect(client.state).toBe("open");
    expect(server.quicConnections).toBe(2);
  });

  test("one that dies young is followed by a WebSocket, and tried again after a while", async () => {
    const { server, client, transport } = await one();
    transport.break(new Error("Connection lost."));
    await ran(1_000);
    expect(client.session).toMatchObject({ resumed: true, transport: "websocket" });
    await ran(60_000);
    server.kill();
    server.isUp = true;
    await ran(1_000);
    expect(client.session?.transport).toBe("websocket");
    await ran(300_000);
    server.kill();
    server.isUp = true;
    await ran(1_000);
    expect(client.session).toMatchObject({ resumed: true, transport: "webtransport" });
  });

  test("one that falls silent is left within seconds", async () => {
    const { server, client } = await one();
    void listen(client.actor("room", "42").events());
    await ran(20);
    server.isSilent = true;
    const states: string[] = [];
    client.onState((state) => states.push(state));
    await ran(5_000 + 2_500 + 1_500);
    expect(states[0]).toBe("reconnecting");
  });

  test("more subscriptions than browsers take streams for go by WebSocket", async () => {
    first().world.limits.subscriptions = 128;
    const { server, client } = await one();
    server.world.events.push({ tag: "a" });
    const heard = Array.from({ length: 11 }, (_, key) =>
      listen(client.actor("counter", String(key)).events({ after: 0 })),
    );
    await ran(2_000);
    expect(client.session).toMatchObject({ resumed: true, transport: "websocket" });
    expect(heard.map(({ items }) => seqs(items))).toEqual(heard.map(() => [1]));
  });
});

describe("bytes that are of no protocol", () => {
  const pong = encoded("pong", { nonce: 1 });
  const chunk = encoded("chunk", { request: { query: 1 }, data: new Uint8Array(), last: true });
  const event = { subscription: 1, seq: 1, kind: "x", timeMs: 1 };
  const wrong: [string, (transport: FakeTransport) => void][] = [
    [
      "no frame on the control stream",
      (it) => {
        it.control.send(new Uint8Array(9).fill(7));
      },
    ],
    [
      "a chunk on the control stream",
      (it) => {
        it.control.send(chunk);
      },
    ],
    [
      "an event on the control stream",
      (it) => {
        it.control.send(encoded("event", event));
      },
    ],
    [
      "an announcement on the control stream",
      (it) => {
        const outcome = { success: { seq: 1, version: 1 } };
        const ext = [[1, "AAAAAAAAAAE="]];
        it.control.send(encoded("reply", { request: { query: 1 }, outcome, ext }));
      },
    ],
    [
      "a pong on a stream of events",
      (it) => {
        it.stream().send(pong);
      },
    ],
    [
      "no frame on a stream of events",
      (it) => {
        it.stream().send(new Uint8Array(6).fill(255));
      },
    ],
    [
      "events of two subscriptions on one stream",
      (it) => {
        const out = it.stream();
        out.send(encoded("event", event));
        out.send(encoded("event", { ...event, subscription: 2 }));
      },
    ],
    [
      "a datagram that is another frame",
      (it) => {
        it.datagramsOut.send(pong);
      },
    ],
    [
      "a datagram with half a frame",
      (it) => {
        it.datagramsOut.send(pong.slice(0, 6));
      },
    ],
    [
      "an empty datagram",
      (it) => {
        it.datagramsOut.send(pong.slice(0, 0), 1);
        it.datagramsOut.send(new Uint8Array(2));
      },
    ],
    [
      "streams without end",
      (it) => {
        for (let at = 0; at < 300; at += 1) it.stream();
      },
    ],
  ];

  test.each(wrong)("%s: ends the connection, not the session", async (_, say) => {
    const { server, client, transport } = await one();
    const why: unknown[] = [];
    client.onState((_, error) => why.push(error?.code));
    await ran(6_000);
    say(transport);
    await ran(1_000);
    expect(why).toEqual(["malformed", undefined]);
    expect(client.session).toMatchObject({ resumed: true, transport: "websocket" });
    expect(server.quicConnections).toBe(1);
  });
});

describe("where there is no way by WebTransport", () => {
  async function plain(options: Partial<ConnectOptions> = {}): Promise<Client> {
    const client = await upgraded(options);
    expect(client.session?.transport).toBe("websocket");
    return client;
  }

  test("a network that lets no UDP through costs a moment, once", async () => {
    let made = 0;
    const [server] = servers;
    if (server === undefined) return;
    server.isQuicDeaf = true;
    const Counted = quic(...servers);
    const webTransport = class extends Counted {
      constructor(...args: ConstructorParameters<typeof Counted>) {
        super(...args);
        made += 1;
      }
    };
    const began = performance.now();
    const client = await plain({ webTransport });
    expect(performance.now() - began).toBeLessThan(350);
    for (let turn = 0; turn < 5; turn += 1) {
      server.kill();
      server.isUp = true;
      await ran(6_000);
      expect(client.state).toBe("open");
    }
    expect(made).toBe(1);
    await ran(300_000);
    server.kill();
    server.isUp = true;
    await ran(1_000);
    expect(made).toBe(2);
    await within(2_000, client.close());
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each([
    ["tells of none", { webTransport: null }],
    ["knows nothing of it", { node: "node-1" }],
    ["says nothing", null],
    ["has no port", { webTransport: { port: "7400", path: "/session" } }],
    [
      "has hashes that are none",
      { webTransport: { port: 1, path: "/", certificateHashes: ["eA=="] } },
    ],
    ["has no such port", { webTransport: { port: 99_999_999, path: "/", certificateHashes: [] } }],
  ])("a server that %s is spoken to by WebSocket at once", async (_, version) => {
    first().version = version;
    const began = performance.now();
    await plain();
    expect(performance.now() - began).toBeLessThan(100);
  });

  test("a page that may not ask is served as well", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    await plain();
  });

  test("nothing is asked where it is not wanted, or there is no class for it", async () => {
    const asked = vi.fn(() => Promise.reject(new Error("not to be asked")));
    vi.stubGlobal("fetch", asked);
    await plain({ webTransport: false });
    await plain({ webTransport: undefined });
    expect(asked).not.toHaveBeenCalled();
  });

  test("the global class is taken where there is one", async () => {
    vi.stubGlobal("WebTransport", quic(...servers));
    const client = await within(1_000, open(servers));
    expect(client.session?.transport).toBe("webtransport");
  });

  test("a server that is away as a whole is not left alone by it", async () => {
    const { server, client } = await one();
    await ran(6_000);
    server.kill();
    await ran(10_000);
    server.isUp = true;
    await ran(6_000);
    expect(client.session).toMatchObject({ resumed: true, transport: "webtransport" });
    expect(server.connections).toBe(0);
  });

  test("other servers that the cluster tells of are reached by it as well", async () => {
    const second = new FakeServer("node-2:7480", first().world);
    servers.push(second);
    first().world.ext = [[3, btoa("node-2:7480")]];
    const client = await within(
      1_000,
      open([first()], { WebSocket: sockets(...servers), webTransport: quic(...servers) }),
    );
    await ran(6_000);
    first().kill();
    await within(3_000, client.actor("counter", "a").send("add", { tag: "a" }));
    expect(second.quicConnections).toBe(1);
    expect(client.session).toMatchObject({ resumed: true, transport: "webtransport" });
  });
});
