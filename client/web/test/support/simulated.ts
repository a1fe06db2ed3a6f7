/** Clients in simulated time, against servers in memory. */

import { afterEach, beforeAll, beforeEach, expect, vi } from "vitest";

import type { Client, ConnectOptions, Item, State } from "../../src/index.js";
import { connect, SelvedgeError } from "../../src/index.js";
import { FakeServer, sockets } from "./fake.js";

/** Every test of the file that calls this has a time of its own. */
export function simulateTime(): void {
  // What is loaded when it is asked for is there already, for that takes real time.
  beforeAll(() =>
    Promise.all([
      import("../../src/calls.js"),
      import("../../src/link/webtransport.js"),
      import("../../src/pump.js"),
      import("../../src/worker.js"),
    ]),
  );
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

export const ran = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** What a promise comes to, with time passing meanwhile. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const state = { isDone: false };
  const done = (): void => {
    state.isDone = true;
  };
  promise.then(done, done);
  for (let passed = 0; passed < ms && !state.isDone; passed += 10) await ran(10);
  if (!state.isDone) throw new Error(`nothing came of it within ${ms} ms`);
  return promise;
}

export async function failure(ms: number, promise: Promise<unknown>): Promise<SelvedgeError> {
  const error: unknown = await within(ms, promise).then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SelvedgeError);
  return error as SelvedgeError;
}

export function open(
  servers: FakeServer[],
  options: Partial<ConnectOptions> = {},
): Promise<Client> {
  return connect({
    url: servers.map(({ url }) => url),
    token: "secret",
    WebSocket: sockets(...servers),
    ...options,
  });
}

export async function one(
  options: Partial<ConnectOptions> = {},
): Promise<{ server: FakeServer; client: Client; states: State[] }> {
  const server = new FakeServer("node-1:7480");
  const client = await within(1_000, open([server], options));
  const states: State[] = [];
  client.onState((state) => states.push(state));
  return { server, client, states };
}

/** Takes what comes into a list. */
export function listen(events: AsyncIterable<Item>): { items: Item[]; over: Promise<unknown> } {
  const items: Item[] = [];
  const over = (async () => {
    for await (const item of events) items.push(item);
  })().catch((error: unknown) => error);
  return { items, over };
}

export const seqs = (items: Item[]): unknown[] =>
  items.map((item) => (item.type === "ephemeral" ? item.name : item.seq));
