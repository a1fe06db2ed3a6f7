/**
 * What comes on a stream that the server opened: the events of one subscription, or one large answer. Bytes that follow
 * a frame become the Chunks of the JSON form, so that the machine knows them from there.
 */

import type { Codec } from "../../wire/binary/codec.js";
import type { Request, ServerFrame } from "../../wire/frames.js";

/** Bytes of frames, of which the last may not be whole. */
export class FrameBuffer {
  readonly #codec: Codec;
  #rest: Uint8Array = new Uint8Array();

  constructor(codec: Codec) {
    this.#codec = codec;
  }

  /** The buffer holds at most this and one frame. */
  push(bytes: Uint8Array): void {
    const rest = this.#rest;
    if (rest.length === 0) {
      this.#rest = bytes;
      return;
    }
    const whole = new Uint8Array(rest.length + bytes.length);
    whole.set(rest);
    whole.set(bytes, rest.length);
    this.#rest = whole;
  }

  /** The next frame, if it is whole. */
  frame(): ServerFrame | undefined {
    const read = this.#codec.decode(this.#rest);
    if (read !== undefined) this.take(read.length);
    return read?.frame;
  }

  /** Whatever comes next, at most so much of it. */
  take(max: number): Uint8Array {
    const taken = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }
}

export class Incoming {
  readonly #codec: Codec;
  readonly #buffer: FrameBuffer;
  readonly #hear: (frame: ServerFrame) => void;
  /** Whose bytes these are, once a frame has told. */
  #request: Request | undefined;
  /** How many bytes come before the next frame. */
  #following = 0;

  constructor(codec: Codec, hear: (frame: ServerFrame) => void) {
    this.#codec = codec;
    this.#buffer = new FrameBuffer(codec);
    this.#hear = hear;
  }

  /** The subscription whose stream it is. */
  get subscription(): number | undefined {
    const request = this.#request;
    return request && "subscription" in request ? request.subscription : undefined;
  }

  /** Throws for what does not belong there. */
  push(bytes: Uint8Array): void {
    this.#buffer.push(bytes);
    for (;;) {
      const request = this.#request;
      if (this.#following > 0 && request !== undefined) {
        const data = this.#buffer.take(this.#following);
        if (data.length === 0) return;
        this.#following -= data.length;
        this.#hear({ type: "chunk", request, data, last: this.#following === 0 });
        continue;
      }
      const frame = this.#buffer.frame();
      if (frame === undefined) return;
      this.#handle(frame);
      this.#hear(frame);
    }
  }

  /** Nothing more comes, by an end or a reset: what was announced is cut off, or whole. */
  end(): void {
    const request = this.#request;
    if (this.#following === 0 || request === undefined) return;
    this.#following = 0;
    this.#hear({ type: "chunk", request, data: new Uint8Array(), last: true });
  }

  #handle(frame: ServerFrame): void {
    if (frame.type === "event" || frame.type === "gap" || frame.type === "largeGap") {
      const { subscription } = frame;
      this.#request ??= { subscription };
      if (this.subscription === subscription) {
        if (frame.type === "largeGap") this.#following = frame.length;
        return;
      }
    } else if (frame.type === "reply" && isAttached(frame) && this.#request === undefined) {
      this.#request = frame.request;
      // The machine knows how many there are to be.
      this.#following = Infinity;
      return;
    }
    throw this.#codec.malformed(`a frame ${frame.type} came on a stream where it does not belong`);
  }
}

/** The extension of a Reply whose body follows it. */
const ATTACHED = 1;

/** Whether its body follows it. */
export function isAttached(frame: ServerFrame & { type: "reply" }): boolean {
  return frame.ext?.some(([number]) => number === ATTACHED) ?? false;
}
