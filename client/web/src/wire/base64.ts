/** Base64 with padding (RFC 4648 section 4), in every browser and in Node.js. */

/** Arguments that a function surely takes. */
const STEP = 8_192;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += STEP) {
    text += String.fromCharCode(...bytes.subarray(at, at + STEP));
  }
  return btoa(text);
}

/** Nothing where the text is no base64. */
export function tryBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = letters.charCodeAt(at);
    return bytes;
  } catch {
    return undefined;
  }
}

const encoder = new TextEncoder();

/** How many bytes a text has in UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
