/**
 * Frames in the binary form (wire.md, "Frames" and "Values"): the link over WebTransport uses it, and it is loaded
 * with it. Frames are the same objects as those of the JSON form, but for the body of a success: it stays bytes,
 * because only whoever asked knows whether they are JSON.
 */

import type { ERROR_CODES, SelvedgeError } from "../../errors.js";
import type { toBase64, tryBase64 } from "../base64.js";
import type { ClientFrame, ServerFrame } from "../frames.js";
import { Reader, Wrong } from "./reader.js";
import { BY_ORDINAL, ORDINALS, SERVER_ORDINALS } from "./shapes.js";
import { Writer } from "./writer.js";

/** What the rest of the SDK lends: so this module imports nothing of it, and the others stay one file. */
export interface Kit {
  SelvedgeError: typeof SelvedgeError;
  ERROR_CODES: typeof ERROR_CODES;
  toBase64: typeof toBase64;
  tryBase64: typeof tryBase64;
}

/** The length, the version, the ordinal. */
const HEAD_BYTES = 6;
/** What the length counts that is not of the body. */
const COUNTED_BYTES = 2;
/** The body of a frame. */
const BODY_BYTES_MAX = 81_920;
const VERSION = 1;

export class Codec {
  readonly #kit: Kit;

  constructor(kit: Kit) {
    this.#kit = kit;
  }

  encode({ type, ...fields }: ClientFrame): Uint8Array<ArrayBuffer> {
    return this.encodeAs(ORDINALS.get(type) ?? 0, fields);
  }

  /** A frame of this ordinal, whichever end's. */
  encodeAs(ordinal: number, fields: object): Uint8Array<ArrayBuffer> {
    const writer = new Writer(this.#kit, HEAD_BYTES);
    writer.structure(BY_ORDINAL.get(ordinal)?.fields ?? [], fields as Record<string, unknown>);
    const { bytes } = writer;
    new DataView(bytes.buffer).setUint32(0, bytes.length - HEAD_BYTES + COUNTED_BYTES);
    bytes.set([VERSION, ordinal], 4);
    return bytes;
  }

  /**
   * The frame that these bytes begin with, and how many bytes it takes; nothing while it is not whole. Throws
   * `malformed` as soon as it is clear that it is none of a server.
   */
  decode(bytes: Uint8Array): { frame: ServerFrame; length: number } | undefined {
    const read = this.decodeAs(bytes, (ordinal) => ordinal >= SERVER_ORDINALS);
    return read && { frame: read.frame as ServerFrame, length: read.length };
  }

  /** The same with frames of the ordinals that are wanted, whichever end's. */
  decodeAs(
    bytes: Uint8Array,
    isWanted: (ordinal: number) => boolean,
  ): { frame: object; length: number } | undefined {
    if (bytes.length < HEAD_BYTES) return undefined;
    const head = new DataView(bytes.buffer, bytes.byteOffset);
    const body = head.getUint32(0) - COUNTED_BYTES;
    const [version, ordinal] = [head.getUint8(4), head.getUint8(5)];
    const shape = isWanted(ordinal) ? BY_ORDINAL.get(ordinal) : undefined;
    if (body < 0 || body > BODY_BYTES_MAX) throw this.malformed("a frame has a wrong length");
    if (version !== VERSION || shape === undefined) {
      throw this.malformed(`frame ${ordinal} of version ${version} is none of this version`);
    }
    const length = HEAD_BYTES + body;
    if (bytes.length < length) return undefined;
    const reader = new Reader(this.#kit, bytes.subarray(HEAD_BYTES, length));
    try {
      const fields = reader.structure(shape.fields);
      if (!reader.isAtEnd) throw new Wrong("longer than what it holds");
      return { frame: { type: shape.name, ...fields }, length };
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      const field = reader.path.join(".");
      throw this.malformed(
        `the frame ${shape.name} is wrong: ${error.message}`,
        field || shape.name,
      );
    }
  }

  malformed(message: string, field?: string): SelvedgeError {
    return new this.#kit.SelvedgeError("malformed", `the server: ${message}`, { field });
  }
}
