/**
 * Commands whose payload goes behind them on a stream of their own, and the Windows that the machine waits for: it
 * gives no more than 256 KiB ahead of the last, so that is all that waits here for a stream.
 */

import type { Codec } from "../../wire/binary/codec.js";
import type { Chunk, Command, ServerFrame } from "../../wire/frames.js";
import type { TwoWay } from "./types.js";

/** What the link does for them. */
export interface Ways {
  open(): Promise<TwoWay>;
  hear(frame: ServerFrame): void;
  /** Reads what comes back. */
  answer(number: number, stream: ReadableStream<Uint8Array>): Promise<void>;
}

/** A payload on its way. */
interface Upload {
  /** Settled when the stream has taken everything before. */
  tail: Promise<void>;
  writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  taken: number;
}

export class Uploads {
  readonly #codec: Codec;
  readonly #ways: Ways;
  readonly #active = new Map<number, Upload>();

  constructor(codec: Codec, ways: Ways) {
    this.#codec = codec;
    this.#ways = ways;
  }

  begin(command: Command): void {
    const { number } = command;
    const bytes = this.#codec.encode(command);
    const upload: Upload = { tail: Promise.resolve(), writer: undefined, taken: 0 };
    this.#active.set(number, upload);
    this.#then(upload, async () => {
      const stream = await this.#ways.open();
      upload.writer = stream.writable.getWriter();
      void this.#ways.answer(number, stream.readable);
      await upload.writer.write(bytes);
    });
  }

  /** The next piece of a payload. The stream takes it when it has room, of which the machine is told. */
  send({ request, data, last }: Chunk): void {
    const number = "command" in request ? request.command : 0;
    const upload = this.#active.get(number);
    if (upload === undefined) return;
    this.#then(upload, async () => {
      if (data.length > 0) await upload.writer?.write(data);
      upload.taken += data.length;
      if (last) upload.writer?.close().catch(() => undefined);
      else this.#ways.hear({ type: "window", request, bytes: upload.taken });
    });
  }

  /** The command is answered: what is left of its payload is let go. */
  end(number: number): void {
    const upload = this.#active.get(number);
    this.#active.delete(number);
    upload?.writer?.abort().catch(() => undefined);
  }

  #then(upload: Upload, what: () => Promise<void>): void {
    // A stream that takes no more has an answer, or its end stands for one.
    upload.tail = upload.tail.then(what).catch(() => undefined);
  }
}

/** Whether a payload goes behind the command. */
export function hasStream({ payload }: Command): boolean {
  return payload !== undefined && !("inline" in payload);
}
