/** Which other servers a session may go on at, as a Welcome or Reply names them. */

import { SERVERS_MAX, SERVER_BYTES_MAX } from "../limits.js";
import { tryBase64 } from "../wire/base64.js";
import type { Extension } from "../wire/frames.js";

/** The extension that names other bridges. */
const SERVERS = 3;

/** Each `host:port`, best first; what is more or not of this form is passed over. */
export function namedServers(ext: Extension[] | undefined): string[] {
  const found = ext?.find(([number]) => number === SERVERS);
  const bytes = found === undefined ? undefined : tryBase64(found[1]);
  if (bytes === undefined) return [];
  return new TextDecoder().decode(bytes).split(",").filter(isServer).slice(0, SERVERS_MAX);
}

/** Whether it is `host:port`, with an IPv6 address in brackets. */
export function isServer(text: string): boolean {
  return (
    text.length <= SERVER_BYTES_MAX && /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+):[0-9]{1,5}$/i.test(text)
  );
}
