/**
 * Reads the Prometheus text format, version 0.0.4. Pure and total: lines that are none are passed over, for a
 * newer node may write what this page does not know.
 */

export type MetricType = "counter" | "gauge" | "histogram" | "summary" | "untyped";

/** One line: a name, its labels, a value. */
export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** All lines of one metric. */
export interface Family {
  name: string;
  type: MetricType;
  help: string;
  samples: Sample[];
}

export type Families = ReadonlyMap<string, Family>;

const TYPES: readonly string[] = ["counter", "gauge", "histogram", "summary", "untyped"];
/** What histograms and summaries add to their name. */
const PARTS = /_(?:bucket|sum|count)$/;

/** All families of a text. */
export function parseMetrics(text: string): Families {
  const families = new Map<string, Family>();
  const family = (name: string): Family => {
    let found = families.get(name);
    if (found === undefined) {
      found = { name, type: "untyped", help: "", samples: [] };
      families.set(name, found);
    }
    return found;
  };
  for (const line of text.split("\n")) {
    const comment = /^#\s+(HELP|TYPE)\s+([a-zA-Z_:][\w:]*)\s*(.*)$/.exec(line);
    if (comment !== null) {
      const [, word, name, rest] = comment as unknown as [string, string, string, string];
      if (word === "HELP") family(name).help = unescape(rest);
      else if (TYPES.includes(rest.trim())) family(name).type = rest.trim() as MetricType;
      continue;
    }
    const sample = readSample(line);
    if (sample !== undefined) family(owner(families, sample.name)).samples.push(sample);
  }
  return families;
}

/** The family that a line belongs to. */
function owner(families: Families, name: string): string {
  if (families.has(name)) return name;
  const base = name.replace(PARTS, "");
  const type = families.get(base)?.type;
  return type === "histogram" || type === "summary" ? base : name;
}

function readSample(line: string): Sample | undefined {
  const name = /^[a-zA-Z_:][\w:]*/.exec(line)?.[0];
  if (name === undefined) return undefined;
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith("{")) {
    const end = readLabels(rest, labels);
    if (end === undefined) return undefined;
    rest = rest.slice(end);
  }
  const value = readValue(rest.trim().split(/\s+/)[0] ?? "");
  return value === undefined ? undefined : { name, labels, value };
}

/** Fills `labels`: where they end, or nothing where they do not read. */
function readLabels(text: string, labels: Record<string, string>): number | undefined {
  const pair = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,?)/y;
  let at = 1;
  for (;;) {
    pair.lastIndex = at;
    const found = pair.exec(text);
    if (found === null) break;
    const [, name, value] = found as unknown as [string, string, string];
    labels[name] = unescape(value);
    at = pair.lastIndex;
  }
  const end = /\s*\}/y;
  end.lastIndex = at;
  return end.test(text) ? end.lastIndex : undefined;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, letter: string) => (letter === "n" ? "\n" : letter));
}

function readValue(text: string): number | undefined {
  if (text === "+Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  if (text === "" || text === "NaN") return text === "NaN" ? NaN : undefined;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}

/** The sum of all lines of a name, or nothing where there are none. */
export function total(families: Families, name: string): number | undefined {
  const samples = (families.get(name) ?? families.get(name.replace(PARTS, "")))?.samples ?? [];
  const values = samples.filter((sample) => sample.name === name).map((sample) => sample.value);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

/**
 * A quantile of a family between two readings: of a histogram interpolated within its bucket, as Prometheus does;
 * of a summary as it says. Nothing where nothing was counted.
 */
export function quantile(
  family: Family,
  before: Family | undefined,
  q: number,
): number | undefined {
  if (family.type === "summary") return summaryQuantile(family, q);
  const counted = buckets(family);
  const earlier = before === undefined ? new Map<number, number>() : buckets(before);
  const bounds = [...counted.keys()].sort((one, two) => one - two);
  const grown = bounds.map((bound) => (counted.get(bound) ?? 0) - (earlier.get(bound) ?? 0));
  const all = grown.at(-1) ?? 0;
  if (all <= 0) return undefined;
  const rank = q * all;
  const at = grown.findIndex((count) => count >= rank);
  const upper = bounds[at] ?? Infinity;
  const lower = at > 0 ? (bounds[at - 1] ?? 0) : 0;
  if (!Number.isFinite(upper)) return lower;
  const below = at > 0 ? (grown[at - 1] ?? 0) : 0;
  const within = (grown[at] ?? 0) - below;
  return within <= 0 ? upper : lower + ((upper - lower) * (rank - below)) / within;
}

/** Counts by upper bound, over all labels. */
function buckets(family: Family): Map<number, number> {
  const found = new Map<number, number>();
  for (const { name, labels, value } of family.samples) {
    if (!name.endsWith("_bucket")) continue;
    const bound = readValue(labels["le"] ?? "");
    if (bound !== undefined) found.set(bound, (found.get(bound) ?? 0) + value);
  }
  return found;
}

function summaryQuantile(family: Family, q: number): number | undefined {
  const wanted = family.samples.filter((sample) => Number(sample.labels["quantile"]) === q);
  const values = wanted.map((sample) => sample.value).filter((value) => Number.isFinite(value));
  return values.length === 0 ? undefined : Math.max(...values);
}

/** The labels of a line, as Prometheus writes them. */
export function labelText(sample: Sample): string {
  const pairs = Object.entries(sample.labels).map(([name, value]) => `${name}="${value}"`);
  return pairs.join(", ");
}
