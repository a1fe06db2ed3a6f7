/**
 * A fake of `@selvedge/client` over a cluster in memory: for the console's own tests, and to look at the console
 * without a node (`vite --mode fake`). It has the shape that the console uses of the SDK and nothing more.
 */

import type { Client, Connect, ConnectionState, SessionInfo } from "../../src/session/port.js";
import { FakeActors } from "./actors.js";
import { FakeNodes } from "./cluster.js";
import { FakeError } from "./error.js";
import { FakeOperations } from "./operations.js";

/** What all sessions share. */
export class FakeCluster {
  readonly actors = new FakeActors();
  readonly nodes = new FakeNodes();
  readonly operations: FakeOperations;
  readonly clients = new Set<FakeClient>();
  /** Answers wait while it is set, as with a network that swallows everything. */
  isSilent = false;

  constructor(stepMs: number) {
    this.operations = new FakeOperations(stepMs);
  }

  readonly connect: Connect = async ({ token }) => {
    const shown = typeof token === "string" ? token : await token();
    if (shown === "wrong") {
      const message = "the token is not valid here; use the one this node printed";
      throw new FakeError("unauthenticated", message, "token");
    }
    return new FakeClient(this);
  };
}

type Listener = (state: ConnectionState, why?: unknown) => void;

export class FakeClient implements Client {
  readonly #cluster: FakeCluster;
  readonly #listeners = new Set<Listener>();
  readonly #waiting: (() => void)[] = [];
  state: ConnectionState = "open";
  session: SessionInfo | undefined = {
    id: "0190163d-8694-739b-aea5-966c26f8ad91",
    node: "node-1",
    resumed: false,
    transport: "websocket",
    limits: {
      window: 1_024,
      queries: 1_024,
      subscriptions: 128,
      inlineBytes: 65_536,
      payloadBytes: 8_388_608,
      idleMs: 30_000,
    },
  };

  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
    cluster.clients.add(this);
  }

  onState(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The connection is lost. */
  lose(why: unknown = new FakeError("unavailable", "the connection was closed (1006)")): void {
    this.#become("reconnecting", why);
  }

  /** It is back, with the session or another. */
  restore(resumed = true): void {
    if (this.session !== undefined) this.session = { ...this.session, resumed };
    this.#become("open");
    for (const go of this.#waiting.splice(0)) go();
  }

  /** What waits while the cluster is silent goes on. */
  answer(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  end(why: unknown): void {
    this.#become("closed", why);
  }

  close(): Promise<void> {
    this.#become("closed");
    return Promise.resolve();
  }

  readonly actor: Client["actor"] = (kind, key) => {
    const { actors } = this.#cluster;
    const look = () => {
      const { state, feed, version } = actors.find(kind, key);
      return { body: structuredClone(state), seq: feed.seq, version };
    };
    return {
      send: (name, body) => this.#answer(() => actors.send(kind, key, name, body)),
      query: () => this.#answer(look),
      state: () => this.#answer(look),
      events: (since) => actors.find(kind, key).feed.follow(since),
      tell: (name, data) => {
        const from = this.session?.id ?? "";
        actors.find(kind, key).feed.hand({ type: "ephemeral", from, name, data });
      },
    };
  };

  readonly operation: Client["operation"] = (id) => {
    const { operations } = this.#cluster;
    return {
      get: () => this.#answer(() => structuredClone(operations.find(id))),
      why: () => this.#answer(() => operations.why(id)),
      cancel: () => this.#answer(() => operations.cancel(id)),
      pause: () => this.#answer(() => operations.verb(id, "paused", "paused")),
      resume: () => this.#answer(() => operations.verb(id, "running", "resumed")),
      retry: () => this.#answer(() => operations.change(id, { status: "pending" }, "retried")),
      signal: (name, data) => this.#answer(() => operations.signal(id, name, data)),
    };
  };

  readonly subscribe: Client["subscribe"] = ({ operation }, since) =>
    this.#cluster.operations.feed(operation).follow(since);

  readonly operations: Client["operations"] = {
    submit: (submit) => this.#answer(() => this.#cluster.operations.submit(submit)),
    list: (query) => this.#answer(() => this.#cluster.operations.list(query)),
    count: (query) => this.#answer(() => this.#cluster.operations.count(query)),
  };

  readonly cluster: Client["cluster"] = {
    status: () => this.#answer(() => this.#cluster.nodes.status()),
    plan: () => this.#answer(() => this.#cluster.nodes.plan()),
    why: () => this.#answer(() => this.#cluster.nodes.why()),
    drain: (node) => this.#answer(() => this.#cluster.nodes.drain(node)),
    undrain: (node) => this.#answer(() => this.#cluster.nodes.undrain(node)),
    remove: (node) => this.#answer(() => ({ node, removed: true, before: false })),
  };

  readonly actors: Client["actors"] = {
    list: (kind, { after = "", limit = 50 } = {}) =>
      this.#answer(() => {
        const keys = this.#cluster.actors.keys(kind).filter((key) => key > after);
        return { keys: keys.slice(0, limit) };
      }),
  };

  /** Answers as the SDK does: later, and not before there is a connection. */
  async #answer<T>(make: () => T): Promise<T> {
    if (this.state !== "open" || this.#cluster.isSilent) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    await Promise.resolve();
    return make();
  }

  #become(state: ConnectionState, why?: unknown): void {
    this.state = state;
    for (const listener of [...this.#listeners]) listener(state, why);
  }
}

/** The cluster of a page that Vite serves with this fake. */
const shown = new FakeCluster(700);

declare global {
  var fakeCluster: FakeCluster | undefined;
}

globalThis.fakeCluster = shown;

const day = 86_400_000;
for (let number = 40; number > 0; number -= 1) {
  const id = `nightly-${number}`;
  const at = new Date(Date.now() - number * day * 0.11);
  shown.operations.submit(
    { type: number % 3 === 0 ? "import" : "digest", id, input: { rows: 10 } },
    at,
  );
}
shown.operations.submit({ type: "import", id: "fails", input: { rows: 500, failAt: "check" } });
shown.operations.submit({
  type: "import",
  id: "quarter-close",
  input: { rows: 1_000, approval: true },
});
for (const text of ["Is node-2 drained yet?", "Twelve slots left.", "Good. I watch the plots."]) {
  shown.actors.send("room", "42", "say", { text });
}
shown.actors.send("counter", "a", "add", { by: 5 });
shown.actors.send("policy", "import", "set", { concurrency: 2 });

export const { connect } = shown;
