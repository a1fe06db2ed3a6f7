/** The SDK in Node.js against three real nodes, of which the one that has its session is killed or drained. */

import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import type { Client, OperationRef, OperationStatus } from "../../src/index.js";
import { connect, isFinal } from "../../src/index.js";
import { RealCluster } from "../support/cluster.js";
import { BINARY } from "../support/node.js";
import { Visitor } from "../support/visitor.js";

describe.skipIf(BINARY === undefined)("in a cluster (not run without SELVEDGE_BIN)", () => {
  let cluster: RealCluster;
  const clients: Client[] = [];

  // A cluster starts faster than a node that was killed is back.
  beforeEach(async () => {
    cluster = await RealCluster.start();
  });

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await cluster.remove();
  });

  /** A client that is told of one node alone. */
  async function open(name: string): Promise<Client> {
    const client = await connect({ url: cluster.url(name), token: cluster.token, WebSocket });
    clients.push(client);
    expect(client.session?.node).toBe(name);
    return client;
  }

  test("the node of a session is killed, and then the next: it goes on at the third", async () => {
    const visitor = new Visitor(await open("node-2"), "killed");
    await visitor.advance(100);
    await cluster.kill("node-2");
    const next = await visitor.away("node-2");
    await visitor.advance(100);
    await cluster.kill(next);
    await visitor.away("node-2", next);
    await visitor.advance(100);
    expect(await visitor.finish()).toEqual([]);
  });

  test("the node of a session is drained: it is sent to another, and stays there", async () => {
    const visitor = new Visitor(await open("node-2"), "drained");
    await visitor.advance(100);
    await cluster.drain("node-2");
    const next = await visitor.away("node-2");
    expect(visitor.reasons).toEqual(["the server named another"]);
    expect(await cluster.state("node-2")).toBe("drained");
    await visitor.advance(100);
    expect(visitor.nodes).toEqual(["node-2", next]);
    expect(await visitor.finish()).toEqual([]);
  });

  /** What is told of an operation: the seq and kind of each event, up to the end that comes by itself. */
  async function watch(operation: OperationRef, heard: (kind: string) => void): Promise<string[]> {
    const kinds: string[] = [];
    for await (const item of operation.events({ after: 0 })) {
      if (item.type !== "event") throw new Error(`a ${item.type} came`);
      expect(item.seq).toBe(kinds.length + 1);
      kinds.push(item.kind);
      heard(item.kind);
    }
    return kinds;
  }

  test("an operation whose owner has the session of who watches it is killed: it ends once", async () => {
    const first = await open("node-1");
    const run = (name: string, by: number): object => ({
      name,
      run: { command: { actor: "counter/saga", name: "add", body: { by } } },
    });
    const input = { rows: 3, stepMs: 300 };
    const steps = [run("one", 1), { name: "load", run: { operation: { type: "import", input } } }];
    const saga = await first.operations.submit({
      type: "saga",
      input: { steps: [...steps, run("ten", 10)] },
    });
    const { owner } = await first.operation(saga.id).why();
    const watcher = await open(owner.node);
    const operation = watcher.operation(saga.id);
    const final = operation.wait();
    const bytes = Uint8Array.from({ length: 3_000_000 }, (_, at) => (at * 7) % 256);
    let digest: Promise<string> | undefined;
    let killed: Promise<void> | undefined;
    const kinds = await watch(operation, (kind) => {
      if (kind !== "waiting" || killed !== undefined) return;
      // Its payload is on its way when the node dies.
      digest = watcher.operations
        .submit({ type: "digest", payload: new Blob([bytes]) })
        .then(({ id }) => id);
      killed = cluster.kill(owner.node);
    });
    await killed;
    expect(watcher.session?.node).not.toBe(owner.node);
    expect(kinds.filter((kind) => isFinal(kind as OperationStatus))).toEqual(["succeeded"]);
    expect(kinds.at(-1)).toBe("succeeded");
    expect(await final).toMatchObject({ id: saga.id, status: "succeeded" });
    // Each of its steps took effect once.
    const added: unknown[] = [];
    for await (const item of watcher.actor("counter", "saga").events({ after: 0 })) {
      added.push(item);
      if (added.length === 2) break;
    }
    expect((await watcher.actor("counter", "saga").state()).body).toEqual({ value: 11 });
    const { result } = await watcher.operation((await digest) ?? "").wait();
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(JSON.stringify(result)).toContain(sha256);
  });
});
