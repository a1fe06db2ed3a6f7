/** What the extensions of frames say. */

import { SERVERS_MAX, SERVER_BYTES_MAX } from "../limits.js";
import { tryBase64 } from "../wire/base64.js";
import type { Extension } from "../wire/frames.js";

/** How many bytes follow a reply. */
export const ATTACHED = 1;
/** Other bridges. */
const SERVERS = 3;

/** The length that an extension holds, eight bytes, big endian; nothing without it, NaN where it is in a wrong way. */
export function extensionLength(ext: Extension[] | undefined, wanted: number): number | undefined {
  const bytes = value(ext, wanted);
  return bytes && (bytes.length === 8 ? Number(new DataView(bytes.buffer).getBigUint64(0)) : NaN);
}

/** Servers at which a session may go on, each `host:port`, best first; what is more or not of this form is passed over. */
export function namedServers(ext: Extension[] | undefined): string[] {
  const text = new TextDecoder().decode(value(ext, SERVERS));
  return text.split(",").filter(isServer).slice(0, SERVERS_MAX);
}

/** Whether it is `host:port`, with an IPv6 address in brackets. */
export function isServer(text: string): boolean {
  return (
    text.length <= SERVER_BYTES_MAX && /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+):[0-9]{1,5}$/i.test(text)
  );
}

/** Nothing without the extension, no bytes where they are no base64. */
function value(ext: Extension[] | undefined, wanted: number): Uint8Array<ArrayBuffer> | undefined {
  const found = ext?.find(([number]) => number === wanted);
  return found && (tryBase64(found[1]) ?? new Uint8Array());
}
