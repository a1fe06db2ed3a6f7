/** Numbers, times and sizes as text. Pure: the present is an argument. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A whole number with separators. */
export function whole(value: number): string {
  return WHOLE.format(value);
}

/** A quantity to read at a glance: three figures, or short from ten thousand on. */
export function quantity(value: number): string {
  const size = Math.abs(value);
  if (size >= 10_000) return SHORT.format(value);
  if (size >= 100 || Number.isInteger(value)) return WHOLE.format(value);
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Bytes, in steps of a thousand. */
export function bytes(value: number): string {
  let [size, step] = [value, 0];
  while (Math.abs(size) >= 1_000 && step < BYTE_UNITS.length - 1) {
    size /= 1_000;
    step += 1;
  }
  const text = step === 0 || size >= 100 ? size.toFixed(0) : size.toFixed(1);
  return `${text} ${BYTE_UNITS[step] ?? "B"}`;
}

/** A span of seconds with the unit that suits it. */
export function seconds(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (size < 1) return `${(value * 1e3).toFixed(size < 0.01 ? 1 : 0)} ms`;
  return `${value.toFixed(size < 10 ? 2 : 1)} s`;
}

/** A span of milliseconds in at most two units: "3 s", "4 min 5 s", "2 h 10 min", "3 d 4 h". */
export function span(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1_000));
  const [days, hours] = [Math.floor(total / 86_400), Math.floor(total / 3_600) % 24];
  const [minutes, rest] = [Math.floor(total / 60) % 60, total % 60];
  if (days > 0) return hours > 0 ? `${days} d ${hours} h` : `${days} d`;
  if (hours > 0) return minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes > 0) return rest > 0 ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${rest} s`;
}

/** A setting in milliseconds, exactly. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  return ms % 1_000 === 0 ? span(ms) : `${ms / 1_000} s`;
}

/** How long ago, or how long until. */
export function relative(time: number, now: number): string {
  const ms = now - time;
  if (Math.abs(ms) < 1_000) return "now";
  return ms > 0 ? `${span(ms)} ago` : `in ${span(-ms)}`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** The time of day in the local zone. */
export function clock(time: Date): string {
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Date and time in the local zone; of today only the time. */
export function moment(time: Date, now: Date): string {
  if (time.toDateString() === now.toDateString()) return clock(time);
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${clock(time)}`;
}

/** The same moment in UTC, for titles. */
export function utc(time: Date): string {
  return `${time
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, "")} UTC`;
}

/** The beginning of an id: enough to tell two apart. */
export function shortId(id: string): string {
  return id.length > 13 ? id.slice(0, 13) : id;
}

/** A word with its count: "1 node", "3 nodes". */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${whole(value)} ${value === 1 ? one : many}`;
}
