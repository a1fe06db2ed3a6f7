import { describe, expect, it } from "vitest";
import {
  nodeNames,
  readPlan,
  readStatus,
  readWhy,
  runsText,
  slotMap,
} from "../../src/data/cluster.js";
import {
  readOperation,
  fraction,
  progressText,
  statusInfo,
  STATUSES,
  verbs,
} from "../../src/data/operation.js";
import { readPolicy, settings } from "../../src/data/policies.js";
import { FakeNodes } from "../fake/cluster.js";

describe("the slots", () => {
  it("are those of the plan, but for those on their way", () => {
    const plan = readPlan({
      plan: 3,
      slots: 6,
      nodes: [
        {
          node: "a",
          count: 3,
          slots: [
            [0, 1],
            [5, 5],
          ],
        },
        { node: "b", count: 2, slots: [[2, 3]] },
      ],
      nobody: [[4, 4]],
      moves: [{ from: "a", to: "b", count: 1, slots: [[3, 3]] }],
    });
    const owners = slotMap(plan).map(
      ({ owner = "-", isMoving }) => `${owner}${isMoving ? "!" : ""}`,
    );
    expect(owners).toEqual(["a", "a", "b", "a!", "-", "a"]);
  });

  it("keep the colours of their nodes while one has none", () => {
    const nodes = new FakeNodes();
    const names = () => nodeNames(readStatus(nodes.status()), readPlan(nodes.plan()));
    const before = names();
    nodes.drain("node-2");
    expect(names()).toEqual(before);
    expect(before).toEqual(["node-1", "node-2", "node-3"]);
  });

  it("outside of the plan are passed over", () => {
    const wrong = readPlan({ slots: 2, nodes: [{ node: "a", slots: [[-3, 9], "x", [null, 1]] }] });
    expect(slotMap(wrong).map(({ owner }) => owner)).toEqual(["a", "a"]);
  });

  it("are told in words", () => {
    expect(
      runsText([
        [0, 3],
        [7, 7],
      ]),
    ).toBe("0 to 3, 7");
    expect(
      runsText(
        [
          [0, 0],
          [2, 2],
          [4, 4],
        ],
        2,
      ),
    ).toBe("0, 2 and 1 more runs");
  });
});

describe("what a node says", () => {
  it("of the cluster is read", () => {
    const nodes = new FakeNodes();
    const status = readStatus(nodes.status());
    expect(status.nodes.map(({ node, state }) => `${node} ${state}`)).toEqual([
      "node-1 serving",
      "node-2 serving",
      "node-3 serving",
    ]);
    expect(slotMap(readPlan(nodes.plan()))).toHaveLength(1_024);
    expect(readWhy(nodes.why()).reasons[0]?.code).toBe("moving");
  });

  it("is read with what is missing", () => {
    expect(readStatus(null)).toMatchObject({ nodes: [], controller: undefined });
    expect(readOperation({})).toMatchObject({ id: "?", steps: [], labels: {} });
  });
});

describe("an operation", () => {
  it("can be steered as its status allows", () => {
    const of = (status: string, waitingFor?: string) => verbs({ status, waitingFor });
    expect(of("running")).toContain("cancel");
    expect(of("running")).not.toContain("resume");
    expect(of("paused")).toContain("resume");
    expect(of("succeeded")).toEqual([]);
    expect(of("failed")).toEqual(["retry"]);
    expect(of("waiting", "signal: step waits")).not.toContain("retry");
    expect(of("waiting", "retry: the next attempt is at …")).toContain("retry");
    expect(of("of a later version")).toContain("cancel");
  });

  it("has a word and a tone for each status", () => {
    expect(STATUSES).toHaveLength(10);
    expect(STATUSES.filter(({ isFinal }) => isFinal).map(({ name }) => name)).toEqual([
      "succeeded",
      "failed",
      "cancelled",
      "compensated",
    ]);
    expect(statusInfo("of a later version").isFinal).toBe(false);
  });

  it("shows progress where it is a part of something", () => {
    expect(fraction({ done: 1, total: 4 })).toBe(0.25);
    expect(fraction({ percent: 50 })).toBe(0.5);
    expect(fraction(0.3)).toBe(0.3);
    expect(fraction({ bytes: 100 })).toBeUndefined();
    expect(fraction({ done: 5, total: 0 })).toBeUndefined();
    expect(progressText({ step: "load", rows: 5 })).toBe("step load, rows 5");
    expect(progressText(null)).toBe("");
  });
});

describe("a policy", () => {
  it("shows each setting, and whose it is", () => {
    const policy = readPolicy({
      type: "import",
      patch: { retry: { attemptsMax: 3 } },
      effective: {
        concurrency: 16,
        retry: { attemptsMax: 3, initialMs: 500 },
        stepTimeoutMs: 60_000,
      },
      breaker: { state: "open", until: "2026-01-01T00:00:00Z" },
    });
    expect(settings(policy).map(({ text, isOwn }) => `${text}${isOwn ? " !" : ""}`)).toEqual([
      "concurrency 16",
      "retry.attemptsMax 3 !",
      "retry.initial 500 ms",
      "stepTimeout 1 min",
    ]);
    expect(policy.breaker?.state).toBe("open");
  });
});
