import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { JOURNAL_MAX, PULSE_LATE_MS, PULSE_MS, TICK_MS } from "../src/bounds.js";
import { startClock } from "../src/data/clock.js";
import { recall } from "../src/session/credentials.js";
import { OAuth } from "../src/session/oauth.js";
import { Session } from "../src/session/session.js";
import { FakeError } from "./fake/error.js";
import { FakeCluster } from "./fake/sdk.js";
import type { FakeClient } from "./fake/sdk.js";

const URL = "ws://127.0.0.1:7480/ws";
const OAUTH = new OAuth("http://127.0.0.1:7480/");

let cluster: FakeCluster;
let session: Session;
let stopClock: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  sessionStorage.clear();
  stopClock = startClock();
  cluster = new FakeCluster(0);
  session = new Session(cluster.connect, URL, OAUTH);
});

afterEach(() => {
  stopClock();
  vi.useRealTimers();
});

async function signedIn(): Promise<FakeClient> {
  await session.signIn({ token: "right", tenant: "" });
  const [client] = cluster.clients;
  if (client === undefined) throw new Error("no client");
  return client;
}

describe("signing in", () => {
  it("keeps the credentials for this tab and says where it is", async () => {
    await signedIn();
    expect(session.connection.value.state).toBe("open");
    expect(session.info.value?.node).toBe("node-1");
    expect(recall()).toEqual({ token: "right", tenant: "" });
  });

  it("shows why a node says no, and keeps nothing", async () => {
    await expect(session.signIn({ token: "wrong", tenant: "" })).rejects.toThrow("not valid");
    const { state, why } = session.connection.value;
    expect(state).toBe("signedOut");
    expect(why).toMatchObject({ code: "unauthenticated", field: "token" });
    expect(recall()).toBeUndefined();
  });

  it("tries on while no node is there, and says what it met", async () => {
    let tries = 0;
    const connect: typeof cluster.connect = (options) => {
      tries += 1;
      if (tries < 3) return Promise.reject(new FakeError("unavailable", "no server answers"));
      return cluster.connect(options);
    };
    session = new Session(connect, URL, OAUTH);
    const signing = session.signIn({ token: "right", tenant: "acme" });
    await vi.advanceTimersByTimeAsync(100);
    expect(session.connection.value).toMatchObject({
      state: "connecting",
      why: { message: "no server answers" },
    });
    await vi.advanceTimersByTimeAsync(5_000);
    await signing;
    expect(tries).toBe(3);
    expect(session.connection.value.state).toBe("open");
  });

  it("can be stopped", async () => {
    const connect: typeof cluster.connect = ({ signal }) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => {
          reject(new FakeError("aborted", "stopped"));
        });
      });
    session = new Session(connect, URL, OAUTH);
    const signing = session.signIn({ token: "right", tenant: "" });
    await session.signOut();
    await signing;
    expect(session.connection.value.state).toBe("signedOut");
    expect(session.client.value).toBeUndefined();
  });

  it("out forgets the credentials", async () => {
    await signedIn();
    await session.signOut();
    expect(session.connection.value).toMatchObject({ state: "signedOut" });
    expect(recall()).toBeUndefined();
  });
});

describe("a connection that is lost", () => {
  it("makes what is shown stale at once, and counts from the first loss", async () => {
    const client = await signedIn();
    expect(session.isStale.value).toBe(false);
    client.lose();
    const { since } = session.connection.value;
    expect(session.connection.value).toMatchObject({
      state: "reconnecting",
      why: { code: "unavailable" },
    });
    expect(session.isStale.value).toBe(true);
    await vi.advanceTimersByTimeAsync(2_000);
    client.lose();
    expect(session.connection.value.since).toBe(since);
  });

  it("says that it has resumed, after how long, and that nothing was missed", async () => {
    const client = await signedIn();
    client.lose();
    await vi.advanceTimersByTimeAsync(4_000);
    client.restore();
    expect(session.notice.value?.text).toBe(
      "Session resumed at node-1 after 4 s. Nothing was missed.",
    );
    expect(session.isStale.value).toBe(false);
    session.dismiss();
    expect(session.notice.value).toBeUndefined();
  });

  it("says where the session is another one", async () => {
    const client = await signedIn();
    client.lose();
    client.restore(false);
    expect(session.notice.value?.text).toMatch(/with a new session/);
  });

  it("that ends for good signs out, with the reason, and keeps credentials that hold", async () => {
    const client = await signedIn();
    client.end(new FakeError("session_replaced", "connected elsewhere"));
    expect(session.connection.value).toMatchObject({
      state: "signedOut",
      why: { code: "session_replaced" },
    });
    expect(recall()).toBeDefined();
  });

  it("that an administrator closes can be opened again with the same credentials", async () => {
    const client = await signedIn();
    client.end(new FakeError("permission_denied", "the session was closed by an administrator"));
    expect(session.connection.value.why).toMatchObject({ code: "session_closed" });
    expect(session.canReturn).toBe(true);
    await session.signInAgain();
    expect(session.connection.value.state).toBe("open");
    await session.signOut();
    expect(session.canReturn).toBe(false);
    expect(session.credentials?.token).toBe("");
  });

  it("is noted, within a bound", async () => {
    const client = await signedIn();
    for (let round = 0; round < JOURNAL_MAX; round += 1) {
      client.lose();
      client.restore();
    }
    expect(session.journal.value).toHaveLength(JOURNAL_MAX);
    expect(session.journal.value[0]?.text).toMatch(/resumed/);
  });
});

describe("silence", () => {
  it("is seen within two seconds, and over with the next answer", async () => {
    const client = await signedIn();
    await vi.advanceTimersByTimeAsync(10 * PULSE_MS);
    expect(session.quietMs.value).toBeUndefined();
    cluster.isSilent = true;
    await vi.advanceTimersByTimeAsync(PULSE_MS + PULSE_LATE_MS + TICK_MS);
    expect(PULSE_MS + PULSE_LATE_MS + TICK_MS).toBeLessThanOrEqual(2_000);
    expect(session.quietMs.value).toBeGreaterThan(PULSE_LATE_MS);
    expect(session.isStale.value).toBe(true);
    cluster.isSilent = false;
    client.answer();
    await vi.advanceTimersByTimeAsync(TICK_MS);
    expect(session.isStale.value).toBe(false);
  });

  it("is not blamed on the node after a reconnect", async () => {
    const client = await signedIn();
    cluster.isSilent = true;
    await vi.advanceTimersByTimeAsync(5_000);
    client.lose();
    cluster.isSilent = false;
    client.restore();
    expect(session.quietMs.value).toBeUndefined();
  });
});
