import { describe, expect, it } from "vitest";
import { labelText, parseMetrics, quantile, total } from "../../src/data/prometheus.js";

const TEXT = `# HELP selvedge_commits_total Commits,\\nin all.
# TYPE selvedge_commits_total counter
selvedge_commits_total{kind="room",note="a \\"b\\" \\\\ c"} 3
selvedge_commits_total{kind="counter"} 4 1700000000000

# TYPE selvedge_wait_seconds histogram
selvedge_wait_seconds_bucket{le="0.1"} 10
selvedge_wait_seconds_bucket{le="1"} 19
selvedge_wait_seconds_bucket{le="+Inf"} 20
selvedge_wait_seconds_sum 6.5
selvedge_wait_seconds_count 20
# TYPE selvedge_answers summary
selvedge_answers{quantile="0.99"} 0.25
selvedge_answers_sum 12
selvedge_answers_count 6
selvedge_nothing NaN
no line at all{
selvedge_open{a="b" 1
`;

describe("the Prometheus text", () => {
  const families = parseMetrics(TEXT);

  it("reads names, labels, values and types", () => {
    const commits = families.get("selvedge_commits_total");
    expect(commits?.type).toBe("counter");
    expect(commits?.help).toBe("Commits,\nin all.");
    expect(commits?.samples.map(({ value }) => value)).toEqual([3, 4]);
    expect(commits?.samples[0]?.labels).toEqual({ kind: "room", note: 'a "b" \\ c' });
  });

  it("gathers the parts of histograms and summaries", () => {
    expect(families.get("selvedge_wait_seconds")?.samples).toHaveLength(5);
    expect(families.get("selvedge_answers")?.samples).toHaveLength(3);
    expect(families.has("selvedge_wait_seconds_sum")).toBe(false);
  });

  it("passes over what it does not know", () => {
    expect(families.has("selvedge_open")).toBe(false);
    expect(families.has("no")).toBe(false);
    expect(families.get("selvedge_nothing")?.samples[0]?.value).toBeNaN();
    expect(parseMetrics("").size).toBe(0);
  });

  it("adds up the lines of a name", () => {
    expect(total(families, "selvedge_commits_total")).toBe(7);
    expect(total(families, "selvedge_answers_sum")).toBe(12);
    expect(total(families, "selvedge_absent")).toBeUndefined();
  });

  it("writes labels as they came", () => {
    const sample = families.get("selvedge_commits_total")?.samples[1];
    expect(sample === undefined ? "" : labelText(sample)).toBe('kind="counter"');
  });
});

describe("a quantile", () => {
  const histogram = (counts: readonly [string, number][]) => {
    const lines = counts.map(([le, count]) => `w_seconds_bucket{le="${le}"} ${count}`);
    const family = parseMetrics(["# TYPE w_seconds histogram", ...lines].join("\n")).get(
      "w_seconds",
    );
    if (family === undefined) throw new Error("no family");
    return family;
  };

  it("is interpolated within its bucket", () => {
    const family = histogram([
      ["1", 50],
      ["2", 100],
      ["+Inf", 100],
    ]);
    expect(quantile(family, undefined, 0.5)).toBe(1);
    expect(quantile(family, undefined, 0.75)).toBe(1.5);
  });

  it("is of what was counted since", () => {
    const before = histogram([
      ["1", 50],
      ["2", 50],
      ["+Inf", 50],
    ]);
    const after = histogram([
      ["1", 50],
      ["2", 60],
      ["+Inf", 60],
    ]);
    expect(quantile(after, before, 0.5)).toBe(1.5);
    expect(quantile(before, before, 0.5)).toBeUndefined();
  });

  it("beyond the last bound is that bound", () => {
    expect(
      quantile(
        histogram([
          ["1", 1],
          ["+Inf", 10],
        ]),
        undefined,
        0.99,
      ),
    ).toBe(1);
  });

  it("of a summary is what the node says", () => {
    const families = parseMetrics(TEXT);
    const family = families.get("selvedge_answers");
    expect(family === undefined ? 0 : quantile(family, undefined, 0.99)).toBe(0.25);
  });
});
