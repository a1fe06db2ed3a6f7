/** Which server is tried when, and which one is dead: pure, in simulated time. */

import { describe, expect, test } from "vitest";

import { SERVERS_MAX } from "../../src/limits.js";
import { Servers } from "../../src/link/servers.js";
import type { Expecting, Verdict } from "../../src/link/silence.js";
import { Silence } from "../../src/link/silence.js";
import { backoffMs, reconnectMs } from "../../src/session/backoff.js";
import { Cursor } from "../../src/session/cursor.js";
import { chance } from "../support/model.js";

const at = (host: string): string => `ws://${host}/ws`;
/** Draws that leave each in its place. */
const still = (): number => 0.999_999;

describe("servers", () => {
  const three = (): Servers => new Servers([at("a:1"), at("b:1"), at("c:1")]);

  test("at first come as they were named", () => {
    const servers = three();
    expect(servers.round(() => 0)).toEqual([at("a:1"), at("b:1"), at("c:1")]);
    expect(String(servers)).toBe([at("a:1"), at("b:1"), at("c:1")].join(", "));
  });

  test("where it worked comes first and where it did not last", () => {
    const servers = three();
    servers.connected(at("b:1"));
    expect(servers.round(still)).toEqual([at("b:1"), at("a:1"), at("c:1")]);
    servers.leave();
    expect(servers.round(still)).toEqual([at("a:1"), at("c:1"), at("b:1")]);
  });

  test("a redirect is followed for one round and remembered", () => {
    const servers = three();
    servers.connected(at("a:1"));
    servers.redirect("z:1");
    expect(servers.isRedirected).toBe(true);
    expect(servers.round(still)[0]).toBe(at("z:1"));
    expect(servers.isRedirected).toBe(false);
    expect(servers.round(still)).toContain(at("z:1"));
    servers.learn(["y:1"]);
    expect(servers.round(still)).not.toContain(at("z:1"));
    servers.redirect("https://elsewhere/");
    expect(servers.isRedirected).toBe(false);
  });

  test("are spoken to as the one that named them, and bounded", () => {
    const servers = new Servers("https://a.example/deep/ws");
    servers.learn(["b.example:8443", ...Array.from({ length: 99 }, (_, nth) => `n${nth}:1`)]);
    expect(servers.round(still)[1]).toBe("wss://b.example:8443/deep/ws");
    expect(servers.round(still)).toHaveLength(1 + SERVERS_MAX);
  });

  test("chance spreads clients over the others", () => {
    const seen = new Set<string | undefined>();
    for (let seed = 0; seed < 100; seed += 1) {
      const servers = three();
      servers.connected(at("a:1"));
      servers.leave();
      seen.add(servers.round(chance(seed))[0]);
    }
    expect([...seen].sort()).toEqual([at("b:1"), at("c:1")]);
  });
});

/** Looks at a server until something is to be done, or for so long. */
class Watch {
  now = 0;
  messages = 0;
  readonly silence = new Silence();

  constructor(readonly probeMs = 5_000) {
    this.silence.connected();
  }

  look(expecting: Expecting): Verdict {
    const verdict = this.silence.look(
      { now: this.now, messages: this.messages, expecting },
      this.probeMs,
    );
    this.now += this.silence.stepMs;
    return verdict;
  }

  until(expecting: Expecting, ms = 60_000): [Verdict, number] {
    const began = this.now;
    while (this.now - began < ms) {
      const before = this.now;
      const verdict = this.look(expecting);
      if (verdict !== "wait") return [verdict, before - began];
    }
    return ["wait", ms];
  }
}

describe("silence", () => {
  test("a server that owes nothing new is asked after a while, and dead if it says nothing", () => {
    const watch = new Watch();
    const [verdict, after] = watch.until("something");
    expect(verdict).toBe("probe");
    expect(after).toBeGreaterThanOrEqual(5_000);
    expect(after).toBeLessThan(7_000);
    const [next, later] = watch.until("something");
    expect(next).toBe("dead");
    expect(later).toBeGreaterThanOrEqual(2_000);
    expect(later).toBeLessThan(3_500);
  });

  test("one that was asked something is looked after sooner", () => {
    const watch = new Watch();
    expect(watch.look("answer")).toBe("wait");
    const [verdict, after] = watch.until("something");
    expect(verdict).toBe("probe");
    expect(after).toBeLessThan(1_500);
  });

  test("anything that comes is a sign of life", () => {
    const watch = new Watch(1_000);
    for (let turn = 0; turn < 100; turn += 1) {
      watch.messages += 1;
      expect(watch.look("something")).toBe("wait");
    }
    expect(watch.until("something")[0]).toBe("probe");
    watch.messages += 1;
    expect(watch.look("something")).toBe("wait");
    expect(watch.until("something")[0]).toBe("probe");
  });

  test("a client that was asleep blames nobody", () => {
    const watch = new Watch();
    watch.look("something");
    watch.now += 3_600_000;
    expect(watch.look("something")).toBe("wait");
  });

  test("a server that does not greet is given up, with more patience each time", () => {
    const watch = new Watch();
    const took = [0, 1, 2, 3].map(() => {
      watch.silence.connected();
      return watch.until("welcome")[1];
    });
    expect(took[0]).toBeGreaterThanOrEqual(5_000);
    expect(took[1]).toBeGreaterThanOrEqual(10_000);
    expect(took[3]).toBeLessThan(21_000);
    watch.silence.lasted();
    watch.silence.connected();
    expect(watch.until("welcome")[1]).toBeLessThan(6_000);
  });
});

test("waits grow, are bounded and left to chance", () => {
  expect([1, 2, 3, 4].map((attempts) => backoffMs(attempts, 1))).toEqual([50, 100, 200, 400]);
  expect(backoffMs(1, 0)).toBe(25);
  expect(backoffMs(1_000, 1)).toBe(5_000);
  expect(reconnectMs(0, 1)).toBe(100);
  expect(reconnectMs(1_000, 1)).toBe(5_000);
  expect(reconnectMs(1_000, 0)).toBe(0);
});

describe("a cursor", () => {
  test("hands events over once and in order", () => {
    const cursor = new Cursor({ after: 0 });
    expect([1, 1, 3, 2, 3].map((seq) => cursor.event(seq))).toEqual([
      "next",
      "repeat",
      "skip",
      "next",
      "next",
    ]);
    expect(cursor.since).toEqual({ after: 3 });
  });

  test("moves with a gap once, and back with an actor that has ended", () => {
    const cursor = new Cursor({ after: 2 });
    expect(cursor.gap(2, 9)).toBe("next");
    expect(cursor.gap(2, 9)).toBe("repeat");
    expect(cursor.gap(1, 5)).toBe("repeat");
    expect(cursor.event(9)).toBe("repeat");
    expect(cursor.gap(9, 0)).toBe("next");
    expect(cursor.event(1)).toBe("next");
  });

  test("of what is latest takes whatever comes first and then is exact", () => {
    const cursor = new Cursor("latest");
    cursor.beganAt(0);
    expect(cursor.since).toEqual({ after: 0 });
    expect(cursor.event(9)).toBe("next");
    expect(cursor.event(11)).toBe("skip");
  });
});
