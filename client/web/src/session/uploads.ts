/**
 * Payloads on their way: which command's bytes may be sent next, and how many. Part of the machine, which has it once
 * there is a payload; the pump asks for the next piece, reads it, and gives it back.
 */

import type { ClientFrame } from "../wire/frames.js";

/** A piece that is to be read and given back. */
export interface Piece {
  readonly upload: Upload;
  readonly from: number;
  readonly length: number;
}

/** One payload over one connection. */
export interface Upload {
  readonly number: number;
  readonly length: number;
  sent: number;
  /** What the server has taken of it. */
  taken: number;
  isReading: boolean;
}

export class Uploads {
  /** Commands whose turn has not come, with the length of their payload. */
  readonly #queue = new Map<number, number>();
  readonly #active = new Map<number, Upload>();

  /** The connection is gone: all of them begin anew. */
  clear(): void {
    this.#queue.clear();
    this.#active.clear();
  }

  add(number: number, length: number): void {
    this.#queue.set(number, length);
  }

  /** The next command to be sent that has bytes behind it. */
  begin(): number | undefined {
    const next = this.#queue.entries().next();
    if (next.done === true || this.#active.size >= UPLOADS_MAX) return undefined;
    const [number, length] = next.value;
    this.#queue.delete(number);
    this.#active.set(number, { number, length, sent: 0, taken: 0, isReading: false });
    return number;
  }

  /** The command is answered or given up: whether its turn had not come, or some of its bytes are not sent. */
  end(number: number): "waiting" | "cut" | undefined {
    if (this.#queue.delete(number)) return "waiting";
    const upload = this.#active.get(number);
    this.#active.delete(number);
    return upload !== undefined && upload.sent < upload.length ? "cut" : undefined;
  }

  /** The server has taken so many bytes from the beginning. */
  window(number: number, bytes: number): void {
    const upload = this.#active.get(number);
    if (upload !== undefined) upload.taken = Math.max(upload.taken, bytes);
  }

  /** The next bytes that may be sent, in turns. */
  next(): Piece | undefined {
    for (const upload of this.#active.values()) {
      const room = upload.taken + UPLOAD_AHEAD_BYTES_MAX - upload.sent;
      const length = Math.min(PIECE_BYTES, upload.length - upload.sent, room);
      if (upload.isReading || length <= 0) continue;
      upload.isReading = true;
      this.#active.delete(upload.number);
      this.#active.set(upload.number, upload);
      return { upload, from: upload.sent, length };
    }
    return undefined;
  }

  /** The bytes of a piece, fewer than were asked for where they cannot be read: what to send, unless nobody wants it any more. */
  give({ upload, length }: Piece, data: Uint8Array): ClientFrame | undefined {
    const { number } = upload;
    if (this.#active.get(number) !== upload) return undefined;
    upload.isReading = false;
    // Less than was asked for is the end: the server refuses what is not whole.
    upload.sent = data.length < length ? upload.length : upload.sent + data.length;
    const last = upload.sent === upload.length;
    return { type: "chunk", request: { command: number }, data, last };
  }
}

/** Payloads on their way at a time. */
const UPLOADS_MAX = 16;
/** Bytes of a payload that the server has not made room for yet. */
const UPLOAD_AHEAD_BYTES_MAX = 262_144;
/** A piece of a payload: 64 KiB of base64, and a multiple of three so that none is padded but the last. */
const PIECE_BYTES = 49_152;
