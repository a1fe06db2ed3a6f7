/** JSON text of what callers give, within the bounds of a frame. */

import { SelvedgeError } from "./errors.js";
import { invalid } from "./ids.js";
import { byteLength } from "./wire/base64.js";

/** Its type in the library says nothing of functions and symbols, which have no text. */
const stringify: (value: unknown) => string | undefined = JSON.stringify;

/** The text, and how many bytes it has. */
export interface Written {
  text: string;
  bytes: number;
}

/** Writes a value; nothing is written as `none`. */
export function written(field: string, value: unknown, none: string): Written {
  if (value === undefined) return { text: none, bytes: none.length };
  let text: string | undefined;
  try {
    text = stringify(value);
  } catch (cause) {
    throw invalid(field, `the ${field} cannot be written as JSON`, cause);
  }
  if (text === undefined)
    throw invalid(field, `the ${field} is no JSON: functions and symbols are not`);
  return { text, bytes: byteLength(text) };
}

export function checkSize(field: string, bytes: number, max: number, remedy: string): void {
  if (bytes > max) {
    const message = `the ${field} has ${bytes} bytes, at most ${max} fit: ${remedy}`;
    throw new SelvedgeError("too_large", message, { field });
  }
}
