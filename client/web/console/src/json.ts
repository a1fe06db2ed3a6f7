/** JSON that people type, and values whose shape nobody has promised. Pure. */

/** What a text holds, or where it is wrong. */
export type Parsed = { value: unknown } | { wrong: string };

/** Reads JSON text. Nothing stands for `empty`. */
export function parseJson(text: string, empty: unknown = {}): Parsed {
  if (text.trim() === "") return { value: empty };
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { wrong: `This is not JSON: ${place(text, message)}` };
  }
}

/** The engine's message with line and column instead of an offset. */
function place(text: string, message: string): string {
  const at = /\bat position (\d+)/.exec(message)?.[1];
  if (at === undefined) return message;
  const before = text.slice(0, Number(at)).split("\n");
  const column = (before.at(-1)?.length ?? 0) + 1;
  const plain = message.replace(/ in JSON at position.*$/s, "").replace(/ at position.*$/s, "");
  return `${plain} at line ${before.length}, column ${column}`;
}

/** An object's members; none of anything else. */
export function members(value: unknown): Record<string, unknown> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : {};
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

export function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

export function flag(value: unknown): boolean {
  return value === true;
}

/** Texts of an array; whatever else is in it is passed over. */
export function texts(value: unknown): string[] {
  return list(value).filter((item) => typeof item === "string");
}

/** A value in one line. */
export function inline(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A value over several lines, to be edited. */
export function pretty(value: unknown): string {
  return value === undefined ? "" : JSON.stringify(value, null, 2);
}
