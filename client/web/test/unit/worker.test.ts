/** Workers in simulated time: tasks, leases, progress, payloads, and their end. */

import { expect, test } from "vitest";

import type { Task, Worker } from "../../src/index.js";
import { WorkError } from "../../src/index.js";
import type { FakeServer } from "../support/fake.js";
import { length } from "../support/model.js";
import { failure, one, ran, simulateTime, within } from "../support/simulated.js";

simulateTime();

const TASK = {
  operation: { operation: "a1" },
  operationType: "shout",
  step: "work",
  attempt: 1,
  input: { text: "hi" },
  leaseMs: 3_000,
};

function said(server: FakeServer, type: string): unknown[] {
  return server.link.received.flatMap((frame) => (type in frame ? [frame[type]] : []));
}

async function start(
  execute: (task: Task) => unknown,
  capacity = 2,
): Promise<Awaited<ReturnType<typeof one>> & { worker: Worker }> {
  const started = await one();
  const worker = await within(
    1_000,
    started.client.worker({ types: ["shout"], capacity, execute }),
  );
  await ran(5);
  expect(said(started.server, "workerReady")).toEqual([{ types: ["shout"], capacity }]);
  return { ...started, worker };
}

test("a task is executed, kept by heartbeats, and its result is said", async () => {
  let finish: (value: unknown) => void = () => undefined;
  const tasks: Task[] = [];
  const { server } = await start((task) => {
    tasks.push(task);
    return new Promise((resolve) => (finish = resolve));
  });
  server.say({ task: { lease: 7, ...TASK } });
  await ran(2_100);
  expect(tasks[0]).toMatchObject({
    operation: "a1",
    type: "shout",
    step: "work",
    attempt: 1,
    input: { text: "hi" },
    idempotencyKey: "a1/work",
    payloadLength: undefined,
  });
  const beat = { lease: 7, report: { heartbeat: null } };
  expect(said(server, "stepResult")).toEqual([beat, beat]);
  tasks[0]?.progress({ percent: 10 });
  tasks[0]?.progress({ percent: 20 });
  tasks[0]?.progress({ percent: 30 });
  await ran(400);
  finish({ text: "HI" });
  await ran(5_000);
  expect(said(server, "stepResult").slice(2)).toEqual([
    { lease: 7, report: { heartbeat: { percent: 10 } } },
    { lease: 7, report: { heartbeat: { percent: 30 } } },
    { lease: 7, report: { success: { text: "HI" } } },
  ]);
});

test("failures are for the moment unless the code says otherwise", async () => {
  const errors: unknown[] = [
    new Error("a moment"),
    new WorkError("later", { retryAfterMs: 500 }),
    new WorkError("never", { retryable: false }),
    "words",
  ];
  const { server } = await start(() => {
    throw errors.shift();
  });
  for (const lease of [1, 2, 3, 4]) server.say({ task: { lease, ...TASK } });
  await ran(10);
  const failures = said(server, "stepResult").map(
    (result) => (result as { report: { failure: unknown } }).report.failure,
  );
  expect(failures).toEqual([
    { code: "unavailable", message: "a moment" },
    { code: "unavailable", message: "later", retryAfterMs: 500 },
    { code: "rejected", message: "never" },
    { code: "unavailable", message: "words" },
  ]);
});

test("a result that can never be sent fails for good", async () => {
  const { server } = await start(() => "x".repeat(70_000));
  server.say({ task: { lease: 1, ...TASK } });
  await ran(10);
  expect(said(server, "stepResult")).toMatchObject([{ report: { failure: { code: "rejected" } } }]);
});

test("a task that is cancelled hears of it, and its place is freed", async () => {
  const { server } = await start(
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reject(new Error("stopped"));
        });
      }),
  );
  server.say({ task: { lease: 1, ...TASK } });
  server.say({ notice: { taskCancelled: 1 } });
  await ran(10);
  expect(said(server, "stepResult")).toEqual([
    { lease: 1, report: { failure: { code: "unavailable", message: "the task was cancelled" } } },
  ]);
  // Of a lease that nobody knows here: the place is free as well.
  server.say({ notice: { taskCancelled: 9 } });
  await ran(10);
  expect(said(server, "stepResult").at(-1)).toMatchObject({ lease: 9 });
});

test("a lease goes on over a new connection of the session, and is void in another", async () => {
  const signals: AbortSignal[] = [];
  const { server } = await start(({ signal }) => {
    signals.push(signal);
    return new Promise(() => undefined);
  });
  server.say({ task: { lease: 1, ...TASK } });
  await ran(10);
  server.kill();
  server.isUp = true;
  await ran(2_000);
  expect(said(server, "workerReady")).toHaveLength(1);
  expect(said(server, "stepResult").length).toBeGreaterThan(0);
  expect(signals[0]?.aborted).toBe(false);
  server.world.forget();
  server.kill();
  server.isUp = true;
  await ran(2_000);
  expect(signals[0]?.aborted).toBe(true);
});

test("a payload is read piece by piece, and an incomplete one is an error", async () => {
  const outcomes: unknown[] = [];
  const { server } = await start(async (task) => {
    try {
      let bytes = 0;
      for await (const piece of task.payload()) bytes += piece.length;
      outcomes.push(bytes);
    } catch (error) {
      outcomes.push((error as Error).message);
    }
  });
  // The model answers every query with JSON, whose bytes are none: that is too little.
  server.say({ task: { lease: 1, ...TASK, ext: [[2, length(100)]] } });
  server.say({ task: { lease: 2, ...TASK } });
  await ran(20);
  expect(outcomes).toEqual([0, "the payload has 100 bytes, and 0 came"]);
});

test("a worker that is closed takes nothing more and finishes what it is at", async () => {
  let finish: () => void = () => undefined;
  const { server, worker, client } = await start(
    () => new Promise<void>((done) => (finish = done)),
  );
  server.say({ task: { lease: 1, ...TASK } });
  await ran(10);
  const closing = worker.close();
  await ran(10);
  expect(said(server, "workerReady").at(-1)).toEqual({ types: [], capacity: 0 });
  finish();
  await within(100, closing);
  expect(said(server, "stepResult").at(-1)).toEqual({ lease: 1, report: { success: null } });
  const next = await within(1_000, client.worker({ types: ["shout"], execute: () => 1 }));
  await within(2_000, client.close());
  await within(100, next.ended);
});

test("more tasks than were asked for end the connection", async () => {
  const { server } = await start(() => new Promise(() => undefined), 1);
  server.say({ task: { lease: 1, ...TASK } });
  server.say({ task: { lease: 2, ...TASK } });
  await ran(1_000);
  expect(server.connections).toBe(2);
});

test("what is wrong with a worker is told by name", async () => {
  const { client } = await one();
  const execute = (): void => undefined;
  const wrong: [() => Promise<Worker>, string][] = [
    [() => client.worker({ types: [], execute }), "types"],
    [() => client.worker({ types: ["Shout"], execute }), "type"],
  ];
  for (const [worker, field] of wrong) {
    expect(await failure(1_000, worker())).toMatchObject({ code: "invalid", field });
  }
  const many = client.worker({ types: ["shout"], capacity: 0, execute });
  expect(await failure(1_000, many)).toMatchObject({ code: "invalid", field: "capacity" });
});
