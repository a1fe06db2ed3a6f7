/**
 * Opens a link over WebTransport: asks the server where it is to be had, and tries it. Loaded when it is tried, with all
 * that it needs; of the rest of the SDK it imports types only.
 */

import type { Kit } from "../wire/binary/codec.js";
import { Codec } from "../wire/binary/codec.js";
import type { Link } from "./link.js";
import { WebTransportLink } from "./webtransport/link.js";
import type { WebTransportConstructor } from "./webtransport/types.js";

export type { WebTransportConstructor, WebTransportLike } from "./webtransport/types.js";

/** Rejects where there is no way by WebTransport, or `signal` ends the attempt. */
export async function openWebTransport(
  kit: Kit,
  make: WebTransportConstructor,
  url: string,
  signal: AbortSignal,
): Promise<Link> {
  const { address, hashes } = await whereabouts(kit, url, signal);
  signal.throwIfAborted();
  const serverCertificateHashes = hashes.map((value) => ({ algorithm: "sha-256", value }));
  // Without any, the browser asks the authorities that it knows.
  const transport = new make(address, hashes.length > 0 ? { serverCertificateHashes } : {});
  transport.closed.catch(() => undefined);
  const stop = (): void => {
    transport.close();
  };
  signal.addEventListener("abort", stop);
  try {
    await transport.ready;
    const control = await transport.createBidirectionalStream();
    signal.throwIfAborted();
    return new WebTransportLink(kit, new Codec(kit), transport, control);
  } catch (error) {
    stop();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Hashes of certificates: one that is shown, and one that will be next, with room to spare. */
const HASHES_MAX = 16;
const SHA256_BYTES = 32;

/** As the server tells beside its WebSocket, whose host it shares. */
async function whereabouts(
  { tryBase64 }: Kit,
  url: string,
  signal: AbortSignal,
): Promise<{ address: string; hashes: BufferSource[] }> {
  const at = new URL("version", url);
  at.protocol = at.protocol === "wss:" ? "https:" : "http:";
  const response = await fetch(at, { signal, cache: "no-store", credentials: "omit" });
  const told = ((await response.json()) as { webTransport?: unknown } | null)?.webTransport;
  const { port, path, certificateHashes: texts = [] } = (told ?? {}) as Record<string, unknown>;
  if (typeof port !== "number" || typeof path !== "string" || !Array.isArray(texts)) {
    throw new Error("the server tells of no WebTransport");
  }
  const hashes = texts.slice(0, HASHES_MAX).map((text) => tryBase64(String(text)));
  const good = hashes.filter((hash) => hash?.length === SHA256_BYTES) as BufferSource[];
  if (good.length < texts.length) throw new Error("the server tells of hashes that are none");
  return { address: `https://${at.hostname}:${port}${path}`, hashes: good };
}
