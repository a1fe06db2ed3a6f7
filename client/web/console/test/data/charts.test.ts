import { describe, expect, it } from "vitest";
import { SAMPLES_MAX } from "../../src/bounds.js";
import { CHARTS, rate } from "../../src/data/charts.js";
import type { Reading } from "../../src/data/charts.js";
import { parseMetrics } from "../../src/data/prometheus.js";
import { append } from "../../src/data/samples.js";
import type { History } from "../../src/data/samples.js";
import { metricsText } from "../fake/metrics-server.js";

const reading = (at: number, text: string): Reading => ({ at, families: parseMetrics(text) });

describe("a rate", () => {
  const [early, late] = [reading(1_000, "c 10"), reading(3_000, "c 16")];

  it("is the growth in a second", () => {
    expect(rate(late, early, "c")).toBe(3);
  });

  it("is not known without an earlier reading, nor after a restart", () => {
    expect(rate(late, undefined, "c")).toBeUndefined();
    expect(rate(reading(5_000, "c 2"), late, "c")).toBeUndefined();
    expect(rate(late, early, "absent")).toBeUndefined();
  });
});

describe("the charts", () => {
  it("show lines where a node has the metrics", () => {
    const [before, now] = [reading(0, metricsText(600)), reading(2_000, metricsText(602))];
    for (const chart of CHARTS) {
      const values = chart.values(now, before);
      expect(values.length, chart.id).toBeGreaterThan(0);
      for (const { label, value } of values) {
        expect(value, `${chart.id} ${label}`).toBeTypeOf("number");
        expect(chart.format(value ?? 0)).not.toContain("NaN");
      }
    }
  });

  it("show none where it has none", () => {
    const nothing = reading(0, "");
    const lines = CHARTS.flatMap((chart) => chart.values(nothing, nothing));
    expect(lines.every(({ value }) => value === undefined)).toBe(true);
  });
});

describe("the past of a chart", () => {
  it("keeps lines aligned that come and go", () => {
    let history: History = { times: [], series: [] };
    history = append(history, 1_000, [{ label: "a", value: 1 }]);
    history = append(history, 2_000, [{ label: "b", value: 2 }]);
    expect(history.times).toEqual([1, 2]);
    expect(history.series).toEqual([
      { label: "a", values: [1, undefined] },
      { label: "b", values: [undefined, 2] },
    ]);
  });

  it("forgets what is too long ago", () => {
    let history: History = { times: [], series: [] };
    for (let at = 0; at < SAMPLES_MAX + 5; at += 1) {
      history = append(history, at * 1_000, [{ label: "a", value: at }]);
    }
    expect(history.times).toHaveLength(SAMPLES_MAX);
    expect(history.series[0]?.values).toHaveLength(SAMPLES_MAX);
    expect(history.times[0]).toBe(5);
    expect(history.series[0]?.values[0]).toBe(5);
  });
});
