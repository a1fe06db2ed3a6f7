/**
 * What the plots show: which metrics make which lines, and how. Pure. Names are those that nodes write
 * (`metrics.rs` of each crate); a chart whose metrics a node does not have says so.
 */

import { LINES_MAX } from "../bounds.js";
import { bytes, quantity, seconds } from "../format.js";
import { quantile, total } from "./prometheus.js";
import type { Families, Family, Sample } from "./prometheus.js";

/** The metrics at a moment. */
export interface Reading {
  /** Unix milliseconds. */
  at: number;
  families: Families;
}

/** One line of a chart at a moment. */
export interface Value {
  label: string;
  value: number | undefined;
}

export interface Chart {
  id: string;
  title: string;
  /** What the numbers mean, for the text beside the plot. */
  unit: string;
  format: (value: number) => string;
  /** The lines that there are, from a reading and the one before. */
  values: (now: Reading, before: Reading | undefined) => Value[];
}

/** The growth of a counter in a second; nothing while there is no earlier reading, or after a restart. */
export function rate(now: Reading, before: Reading | undefined, name: string): number | undefined {
  if (before === undefined) return undefined;
  const [later, earlier] = [total(now.families, name), total(before.families, name)];
  const elapsed = (now.at - before.at) / 1_000;
  if (later === undefined || earlier === undefined || elapsed <= 0 || later < earlier) {
    return undefined;
  }
  return (later - earlier) / elapsed;
}

/** The first of these metrics that the node has. */
function known(families: Families, names: readonly string[]): string | undefined {
  return names.find((name) => total(families, name) !== undefined);
}

const COMMANDS = ["selvedge_commands_total", "selvedge_actor_commit_answers_sum"] as const;
const COMMITS = "selvedge_actor_commits_total";

/** Commands answered in a second. */
function commandRate(now: Reading, before: Reading | undefined): number | undefined {
  const name = known(now.families, COMMANDS);
  return name === undefined ? undefined : rate(now, before, name);
}

function commitRate(now: Reading, before: Reading | undefined): number | undefined {
  return rate(now, before, COMMITS);
}

/** Families whose name says what they are of, in the order of their names. */
function families(reading: Reading, wanted: (family: Family) => boolean): Family[] {
  const found = [...reading.families.values()].filter(wanted);
  return found.sort((one, two) => one.name.localeCompare(two.name)).slice(0, LINES_MAX);
}

/** A metric's name without what all have in common. */
function plain(name: string): string {
  return name
    .replace(/^selvedge_/, "")
    .replace(/_(total|seconds|bytes)(_total)?$/, "")
    .replaceAll("_", " ");
}

const perSecond = (value: number): string => `${quantity(value)}/s`;

/** The charts of the node's metrics. Operations by status come from counts: see the samples. */
export const CHARTS: readonly Chart[] = [
  {
    id: "commands",
    title: "Commands",
    unit: "commands answered in a second",
    format: perSecond,
    values: (now, before) => [{ label: "commands", value: commandRate(now, before) }],
  },
  {
    id: "commits",
    title: "Commits",
    unit: "commits of actors in a second",
    format: perSecond,
    values: (now, before) => [
      { label: "done", value: commitRate(now, before) },
      { label: "failed", value: rate(now, before, "selvedge_actor_commits_failed_total") },
    ],
  },
  {
    id: "p99",
    title: "Time, 99th percentile",
    unit: "seconds within which 99 of 100 were done",
    format: seconds,
    values: (now, before) =>
      families(now, (it) => isTimed(it)).map((it) => ({
        label: plain(it.name),
        value: quantile(it, before?.families.get(it.name), 0.99),
      })),
  },
  {
    id: "sessions",
    title: "Sessions and connections",
    unit: "open at the moment",
    format: quantity,
    values: (now) =>
      families(now, (it) => it.type === "gauge" && /session|connection|socket/.test(it.name))
        .flatMap((it) => it.samples.map((sample) => gauge(it, sample)))
        .slice(0, LINES_MAX),
  },
  {
    id: "memory",
    title: "Memory",
    unit: "bytes that the node's process holds",
    format: bytes,
    values: (now) => [
      { label: "resident", value: total(now.families, "process_resident_memory_bytes") },
    ],
  },
  {
    id: "processor",
    title: "Processor",
    unit: "cores that the node's process keeps busy",
    format: quantity,
    values: (now, before) => [
      { label: "busy", value: rate(now, before, "process_cpu_seconds_total") },
    ],
  },
  {
    id: "bytes",
    title: "Bytes",
    unit: "bytes in a second",
    format: (value) => `${bytes(value)}/s`,
    values: (now, before) =>
      families(now, (it) => it.type === "counter" && it.name.includes("_bytes")).map((it) => ({
        label: plain(it.name),
        value: rate(now, before, it.name),
      })),
  },
];

/** A gauge, by what its labels say. */
function gauge(family: Family, sample: Sample): Value {
  const words = Object.values(sample.labels).join(" ");
  const label = words === "" ? plain(family.name) : `${plain(family.name)} ${words}`;
  return { label, value: sample.value };
}

function isTimed(family: Family): boolean {
  const isSpread = family.type === "histogram" || family.type === "summary";
  return isSpread && family.name.endsWith("_seconds");
}
