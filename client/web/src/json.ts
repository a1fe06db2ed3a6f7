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
  let cause: unknown;
  try {
    const text = stringify(value);
    if (text !== undefined) return { text, bytes: byteLength(text) };
  } catch (error) {
    cause = error;
  }
  throw invalid(field, "it cannot be written as JSON", cause);
}

export function checkSize(field: string, bytes: number, max: number, remedy: string): void {
  if (bytes > max) {
    const message = `${field}: ${bytes} bytes, at most ${max} fit: ${remedy}`;
    throw new SelvedgeError("too_large", message, { field });
  }
}
