/** The SDK in Node.js against a real node, which is killed and started again. */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import type { Client, ConnectOptions, Item, State } from "../../src/index.js";
import { connect, WorkError } from "../../src/index.js";
import { BINARY, RealNode } from "../support/node.js";

describe.skipIf(BINARY === undefined)("in Node.js (not run without SELVEDGE_BIN)", () => {
  let node: RealNode;
  const clients: Client[] = [];

  beforeAll(async () => {
    node = await RealNode.start();
  });

  afterAll(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await node.remove();
  });

  async function open(options: Partial<ConnectOptions> = {}): Promise<Client> {
    const client = await connect({ url: node.url, token: node.token, WebSocket, ...options });
    clients.push(client);
    return client;
  }

  test("a wrong token is refused by name", async () => {
    const wrong = open({ token: "wrong" });
    await expect(wrong).rejects.toMatchObject({ code: "unauthenticated" });
  });

  test("commands, queries, states and errors are as they should be", async () => {
    const client = await open();
    const counter = client.actor("counter", "plain");
    const first = await counter.send("add", { by: 2 });
    expect(first.seq).toBe(1);
    const { body } = await counter.state<{ value: number }>();
    expect(body).toEqual({ value: 2 });
    const eventual = await counter.query("get", {}, { consistency: "eventual" });
    expect(eventual.body).toEqual({ value: 2 });
    await expect(counter.send("later", {})).rejects.toMatchObject({ code: "unknown_command" });
    await expect(client.actor("nothing", "a").state()).rejects.toMatchObject({
      code: "unknown_kind",
    });
    const id = crypto.randomUUID();
    await counter.send("add", { by: 1 }, { id });
    await counter.send("add", { by: 1 }, { id });
    expect((await counter.state()).body).toEqual({ value: 3 });
    expect((await client.actors.list("counter")).keys).toContain("plain");
  });

  test("a node that is killed and started again costs no command and no event", async () => {
    const client = await open();
    const states: State[] = [];
    client.onState((state) => states.push(state));
    const counter = client.actor("counter", "killed");
    const events = counter.events({ after: 0 });
    const seqs: number[] = [];
    const total = 600;
    const listening = (async () => {
      for await (const item of events) {
        if (item.type === "event") seqs.push(item.seq);
        if (seqs.length === total) return;
      }
    })();
    let answered = 0;
    const commands = Array.from({ length: total }, async (_, at) => {
      // Some later than others, so that some are under way whenever the node dies.
      await new Promise((resolve) => setTimeout(resolve, at * 5));
      await counter.send("add", { by: 1 });
      answered += 1;
    });
    for (const after of [100, 300]) {
      while (answered < after) await new Promise((resolve) => setTimeout(resolve, 5));
      await node.kill();
      await node.start();
    }
    await Promise.all(commands);
    await listening;
    expect(seqs).toEqual(Array.from({ length: total }, (_, at) => at + 1));
    expect((await counter.state()).body).toEqual({ value: total });
    expect(states.filter((state) => state === "reconnecting").length).toBeGreaterThan(1);
    expect(client.session?.resumed).toBe(true);
  });

  test("a node that drains and is started again costs nothing either", async () => {
    const client = await open();
    const counter = client.actor("counter", "drained");
    const commands = Array.from({ length: 300 }, async (_, at) => {
      await new Promise((resolve) => setTimeout(resolve, at * 5));
      await counter.send("add", { by: 1 });
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await node.stop();
    await node.start();
    await Promise.all(commands);
    expect((await counter.state()).body).toEqual({ value: 300 });
  });

  test("large states come whole, and a slow reader gets every event", async () => {
    const client = await open();
    const room = client.actor("room", "large");
    const text = "é".repeat(2_000);
    const says = Array.from({ length: 400 }, () => room.send("say", { text }));
    await Promise.all(says);
    const { body } = await room.state<{ messages: { text: string }[] }>();
    expect(body.messages).toHaveLength(100);
    expect(body.messages.every((message) => message.text === text)).toBe(true);
    const items: Item[] = [];
    for await (const item of room.events({ after: 0 })) {
      items.push(item);
      if (items.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      if (items.length === 400) break;
    }
    expect(items.map((item) => (item.type === "event" ? item.seq : 0))).toEqual(
      Array.from({ length: 400 }, (_, at) => at + 1),
    );
  });

  test("ephemeral messages pass from one client to another", async () => {
    const [from, to] = await Promise.all([open(), open()]);
    const events = to.actor("room", "typing").events();
    await events.ready;
    const again = setInterval(() => {
      from.actor("room", "typing").tell("typing", { by: "ann" });
    }, 50);
    const { value } = await events.next();
    clearInterval(again);
    expect(value).toEqual({
      type: "ephemeral",
      from: from.session?.id,
      name: "typing",
      data: { by: "ann" },
    });
    events.close();
  });

  test.each([1_000, 1_000_000, 12_000_000])("an operation takes %i bytes", async (length) => {
    const client = await open();
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 7) % 256);
    const payload = length === 1_000_000 ? bytes : new Blob([bytes]);
    const { id } = await client.operations.submit({
      type: "digest",
      payload,
      labels: { of: "web" },
    });
    const operation = await client.operation(id).wait();
    expect(operation).toMatchObject({ status: "succeeded", labels: { of: "web" } });
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(JSON.stringify(operation.result)).toContain(sha256);
    const kinds: string[] = [];
    for await (const item of client.operation(id).events({ after: 0 })) {
      if (item.type === "event") kinds.push(item.kind);
    }
    expect(kinds[0]).toBe("submitted");
    expect(kinds.at(-1)).toBe("succeeded");
    const page = await client.operations.list({ label: "of=web", status: "succeeded" });
    expect(page.items.map((item) => item.id)).toContain(id);
    expect((await client.operations.count({ label: "of=web" })).count).toBeGreaterThan(0);
  });

  test("operations are steered", async () => {
    const client = await open();
    const { id } = await client.operations.submit({ type: "import", input: { approval: true } });
    const operation = client.operation(id);
    for await (const item of operation.events({ after: 0 })) {
      if (item.type === "event" && item.kind.startsWith("step.")) break;
    }
    expect((await operation.why()).summary).not.toBe("");
    await operation.signal("approve", true);
    expect((await operation.wait()).status).toBe("succeeded");
    const other = await client.operations.submit({ type: "import", input: { approval: true } });
    await client.operation(other.id).cancel();
    expect(["cancelled", "compensated"]).toContain(
      (await client.operation(other.id).wait()).status,
    );
  });

  test("the cluster tells of itself", async () => {
    const client = await open();
    const status = await client.cluster.status();
    expect(status.nodes).toHaveLength(1);
    expect(status.nodes[0]).toMatchObject({ state: "serving", slots: status.slots });
    expect((await client.cluster.plan()).nodes[0]?.count).toBe(status.slots);
    expect((await client.cluster.why()).reasons).toBeInstanceOf(Array);
    const last = client.cluster.drain(status.nodes[0]?.node ?? "");
    await expect(last).rejects.toMatchObject({ code: "conflict" });
  });

  test("a worker executes steps, reads their payload, and fails as it says", async () => {
    const client = await open();
    const worker = await client.worker({
      types: ["shout", "fail"],
      capacity: 4,
      execute: async (task) => {
        if (task.type === "fail") throw new WorkError("no such file", { retryable: false });
        let bytes = 0;
        for await (const piece of task.payload()) bytes += piece.length;
        task.progress({ bytes });
        return { text: (task.input as { text: string }).text.toUpperCase(), bytes };
      },
    });
    const payload = new Uint8Array(700_000);
    const input = { text: "hello" };
    const shout = await client.operations.submit({ type: "shout", input, payload });
    expect((await client.operation(shout.id).wait()).result).toEqual({
      text: "HELLO",
      bytes: 700_000,
    });
    const fail = await client.operations.submit({ type: "fail" });
    const failed = await client.operation(fail.id).wait();
    expect(failed).toMatchObject({ status: "failed", error: { message: "no such file" } });
    await worker.close();
  });

  test("a program that has closed its client ends by itself", async () => {
    const module = new URL("../../dist/index.js", import.meta.url).href;
    const program = `
      import { WebSocket } from "ws";
      import { connect } from ${JSON.stringify(module)};
      const client = await connect({ url: ${JSON.stringify(node.url)}, token: ${JSON.stringify(node.token)}, WebSocket });
      client.actor("counter", "a").events();
      await client.actor("counter", "a").send("add", { by: 1 });
      await client.close();
      console.log("closed");
    `;
    const cwd = new URL("../../", import.meta.url);
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { cwd });
    const words: Buffer[] = [];
    child.stdout.on("data", (bytes: Buffer) => words.push(bytes));
    child.stderr.on("data", (bytes: Buffer) => words.push(bytes));
    let closedAt = 0;
    child.stdout.once("data", () => (closedAt = Date.now()));
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(Buffer.concat(words).toString()).toBe("closed\n");
    expect(code).toBe(0);
    expect(Date.now() - closedAt).toBeLessThan(2_000);
  });
});
