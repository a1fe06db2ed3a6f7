/** Puts bytes that follow a frame together: the body of a large answer, a large snapshot. The machine's. */

import { ANSWER_BYTES_MAX, PAYLOAD_BYTES_MAX } from "../limits.js";
import { tryBase64 } from "../wire/base64.js";
import type { Chunk, Extension, Request } from "../wire/frames.js";

/** The extension of a Reply whose body follows it. */
const ATTACHED = 1;

/** Bytes that are not all there. `T` is the frame that announced them. */
interface Announced<T> {
  readonly frame: T;
  readonly bytes: Uint8Array<ArrayBuffer>;
  received: number;
}

/** What a chunk comes to: all that was announced, or a failure to send it. */
export type Assembled<T> =
  { frame: T; bytes: Uint8Array<ArrayBuffer> } | { frame: T; bytes: undefined };

export class Assemblies<T> {
  readonly #announced = new Map<string, Announced<T>>();
  /** Bytes of memory that all of them take. */
  #total = 0;

  clear(): void {
    this.#announced.clear();
    this.#total = 0;
  }

  /** Bytes will follow; `false` where these are more than is ever sent. */
  announce(request: Request, length: number, frame: T): boolean {
    this.drop(request);
    if (!(length <= PAYLOAD_BYTES_MAX) || this.#total + length > ANSWER_BYTES_MAX) return false;
    this.#total += length;
    const bytes = new Uint8Array(length);
    this.#announced.set(JSON.stringify(request), { frame, bytes, received: 0 });
    return true;
  }

  /** Nobody wants the bytes any more, or they are all there. */
  drop(request: Request): void {
    const key = JSON.stringify(request);
    this.#total -= this.#announced.get(key)?.bytes.length ?? 0;
    this.#announced.delete(key);
  }

  /** Some of the bytes; nothing while there are more to come, or where nobody waits for them. */
  add(chunk: Chunk): Assembled<T> | undefined {
    const announced = this.#announced.get(JSON.stringify(chunk.request));
    if (announced === undefined) return undefined;
    const { frame, bytes } = announced;
    const piece = tryBase64(chunk.data);
    const received = announced.received + (piece?.length ?? Infinity);
    if (piece === undefined || received > bytes.length || (chunk.last && received < bytes.length)) {
      this.drop(chunk.request);
      return { frame, bytes: undefined };
    }
    bytes.set(piece, announced.received);
    announced.received = received;
    if (!chunk.last) return undefined;
    this.drop(chunk.request);
    return { frame, bytes };
  }
}

/** How many bytes follow a reply, or nothing; NaN where it says so in a wrong way. */
export function attachedLength(ext: Extension[] | undefined): number | undefined {
  return extensionLength(ext, ATTACHED);
}

/** The eight bytes, big endian, of an extension that holds a length. */
export function extensionLength(ext: Extension[] | undefined, wanted: number): number | undefined {
  const found = ext?.find(([number]) => number === wanted);
  if (found === undefined) return undefined;
  const bytes = tryBase64(found[1]);
  return bytes?.length === 8 ? Number(new DataView(bytes.buffer).getBigUint64(0)) : NaN;
}
