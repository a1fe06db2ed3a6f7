/**
 * The past of the charts: reads `/metrics` every two seconds and keeps ten minutes of it, with counts of
 * operations by status. The shell owns one, so that plots have a past when somebody opens them.
 */

import { computed, effect, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { COUNT_MS, POLL_MS, SAMPLES_MAX } from "../bounds.js";
import { flag, members, number } from "../json.js";
import type { Client } from "../session/port.js";
import { CHARTS } from "./charts.js";
import type { Reading, Value } from "./charts.js";
import type { Http } from "./http.js";
import { STATUSES } from "./operation.js";
import type { Status } from "./operation.js";
import { Polled } from "./poll.js";
import { parseMetrics } from "./prometheus.js";

/** Lines of a chart over time. `undefined`: not known then. */
export interface Series {
  label: string;
  values: (number | undefined)[];
}

/** The past of a chart. */
export interface History {
  /** Unix seconds. */
  times: number[];
  series: Series[];
}

/** How many operations there are of a status, and whether these are all. */
export interface Count {
  count: number;
  isExact: boolean;
}

export type Counts = Readonly<Record<Status, Count>>;

/** The id of the chart that the counts make. */
export const OPERATIONS_CHART = "operations";

export class Samples {
  readonly #metrics: Polled<Reading>;
  readonly #counts: Polled<Counts>;
  readonly #histories = new Map<string, History>();
  readonly #changes = signal(0);
  readonly #dispose: () => void;
  #before: Reading | undefined;

  constructor(http: Http, client: Client) {
    this.#metrics = new Polled(POLL_MS, async (signal) => {
      const text = await http.text("metrics", signal);
      return { at: Date.now(), families: parseMetrics(text) };
    });
    this.#counts = new Polled(COUNT_MS, (signal) => countAll(client, signal));
    const sampled = effect(() => {
      const reading = this.#metrics.value.value;
      if (reading !== undefined) this.#sample(reading);
    });
    const counted = effect(() => {
      const counts = this.#counts.value.value;
      if (counts !== undefined) this.#count(counts, this.#counts.at.value ?? Date.now());
    });
    this.#dispose = () => {
      sampled();
      counted();
      this.#metrics.dispose();
      this.#counts.dispose();
    };
  }

  get metrics(): Polled<Reading> {
    return this.#metrics;
  }

  get counts(): Polled<Counts> {
    return this.#counts;
  }

  /** The past of a chart: anew with each sample. */
  history(chart: string): ReadonlySignal<History> {
    return computed(() => {
      this.#seen();
      const { times, series } = this.#histories.get(chart) ?? { times: [], series: [] };
      return { times: [...times], series: series.map((it) => ({ ...it, values: [...it.values] })) };
    });
  }

  /** The last known values of a chart. */
  latest(chart: string): Value[] {
    this.#seen();
    const { series } = this.#histories.get(chart) ?? { series: [] };
    return series.map(({ label, values }) => ({ label, value: values.at(-1) }));
  }

  dispose(): void {
    this.#dispose();
  }

  /** Whoever reads a past reads it anew when it changes. */
  #seen(): number {
    return this.#changes.value;
  }

  #sample(reading: Reading): void {
    for (const chart of CHARTS)
      this.#append(chart.id, reading.at, chart.values(reading, this.#before));
    this.#before = reading;
    this.#changes.value = reading.at;
  }

  #count(counts: Counts, at: number): void {
    // What has ended only ever grows; what is under way is what is worth watching.
    const open = STATUSES.filter((status) => !status.isFinal);
    const values = open.map(({ name }) => ({ label: name, value: counts[name].count }));
    this.#append(OPERATIONS_CHART, at, values);
    this.#changes.value = at;
  }

  #append(chart: string, at: number, values: readonly Value[]): void {
    const history = this.#histories.get(chart) ?? { times: [], series: [] };
    this.#histories.set(chart, append(history, at, values));
  }
}

/** A past with one more moment, and without what is too long ago. */
export function append(history: History, at: number, values: readonly Value[]): History {
  const labels = [...new Set([...history.series, ...values].map(({ label }) => label))];
  const drop = Math.max(0, history.times.length + 1 - SAMPLES_MAX);
  const empty = history.times.map(() => undefined);
  return {
    times: [...history.times, at / 1_000].slice(drop),
    series: labels.map((label) => {
      const past = history.series.find((it) => it.label === label)?.values ?? empty;
      const value = values.find((it) => it.label === label)?.value;
      return { label, values: [...past, value].slice(drop) };
    }),
  };
}

async function countAll(client: Client, signal: AbortSignal): Promise<Counts> {
  const counted = STATUSES.map(async ({ name }) => {
    const answer = members(await client.operations.count({ status: name }, { signal }));
    return [name, { count: number(answer["count"]) ?? 0, isExact: flag(answer["isExact"]) }];
  });
  return Object.fromEntries(await Promise.all(counted)) as Counts;
}
