/** Puts bytes that follow a frame together: the body of a large answer, a large snapshot. The machine's. */

import { ANSWER_BYTES_MAX, PAYLOAD_BYTES_MAX } from "../limits.js";
import type { Chunk, Request } from "../wire/frames.js";

/** Bytes that are not all there. */
interface Announced<T> {
  readonly bytes: Uint8Array;
  received: number;
  readonly done: Done<T>;
}

/** What all the bytes that were announced come to; without them, what their loss does. */
export type Done<T> = (bytes: Uint8Array | undefined) => T;

export class Assemblies<T> {
  readonly #announced = new Map<string, Announced<T>>();
  /** Bytes of memory that all of them take. */
  #total = 0;

  clear(): void {
    this.#announced.clear();
    this.#total = 0;
  }

  /** Bytes will follow; `false` where these are more than is ever sent. */
  announce(request: Request, length: number, done: Done<T>): boolean {
    this.drop(request);
    if (!(length <= PAYLOAD_BYTES_MAX) || this.#total + length > ANSWER_BYTES_MAX) return false;
    this.#total += length;
    const bytes = new Uint8Array(length);
    this.#announced.set(JSON.stringify(request), { bytes, received: 0, done });
    return true;
  }

  /** Nobody wants the bytes any more, or they are all there. */
  drop(request: Request): void {
    const key = JSON.stringify(request);
    this.#total -= this.#announced.get(key)?.bytes.length ?? 0;
    this.#announced.delete(key);
  }

  /** Some of the bytes; nothing comes of it while there are more to come, or where nobody waits for them. */
  add({ request, data, last }: Chunk): T | undefined {
    const announced = this.#announced.get(JSON.stringify(request));
    if (announced === undefined) return undefined;
    const { bytes, received, done } = announced;
    const left = bytes.length - received - data.length;
    if (left >= 0) bytes.set(data, received);
    announced.received += data.length;
    if (left >= 0 && !last) return undefined;
    this.drop(request);
    return done(left === 0 ? bytes : undefined);
  }
}
