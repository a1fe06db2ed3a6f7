/**
 * A link over WebTransport (wire.md, "WebTransport"): the control stream, and a stream each for payloads, subscriptions
 * and large answers, which it maps to the frames that the machine knows from one connection for all.
 *
 * It keeps one frame in pieces for each stream, and of payloads what the machine gives it within its windows.
 */

import type { Failure, SelvedgeError } from "../../errors.js";
import type { Codec, Kit } from "../../wire/binary/codec.js";
import type { ClientFrame, ServerFrame } from "../../wire/frames.js";
import type { Link, Receiver } from "../link.js";
import { FrameBuffer, Incoming, isAttached } from "./incoming.js";
import type { TwoWay, WebTransportLike } from "./types.js";
import { hasStream, Uploads } from "./uploads.js";

export class WebTransportLink implements Link {
  readonly transport = "webtransport";
  receiver: Receiver | undefined;
  received = 0;
  /** On the control stream: payloads have theirs, and hold up nobody. */
  bufferedBytes = 0;
  readonly #kit: Kit;
  readonly #codec: Codec;
  readonly #transport: WebTransportLike;
  readonly #control: WritableStreamDefaultWriter<Uint8Array>;
  readonly #datagrams: WritableStreamDefaultWriter<Uint8Array>;
  readonly #uploads: Uploads;
  /** Those that the server has, or is to have. */
  readonly #subscriptions = new Set<number>();
  /** How to stop the stream of each subscription. */
  readonly #stops = new Map<number, () => void>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** Settled when the connection is over. */
  readonly #closing: Promise<void>;
  #isOver = false;
  #isLeaving = false;
  /** What is to be said on the control stream. */
  #out: Uint8Array[] = [];
  #isWriting = false;
  #datagramsOut = 0;
  #streams = 0;

  constructor(kit: Kit, codec: Codec, transport: WebTransportLike, control: TwoWay) {
    this.#kit = kit;
    this.#codec = codec;
    this.#transport = transport;
    this.#control = control.writable.getWriter();
    const { datagrams } = transport;
    this.#datagrams = (datagrams.createWritable?.() ?? datagrams.writable).getWriter();
    this.#uploads = new Uploads(codec, {
      open: () => this.#open(),
      hear: (frame) => {
        this.#hear(frame);
      },
      answer: (number, stream) => this.#readAnswer(number, stream),
    });
    this.#closing = transport.closed.then(
      ({ closeCode = 0, reason = "" }) => {
        this.#closed(this.#failure(closeCode, reason || LOST.message));
      },
      () => {
        this.#closed(LOST);
      },
    );
    void this.#readControl(control.readable);
    void this.#readDatagrams();
    void this.#readStreams();
  }

  send(frame: ClientFrame): void {
    if (frame.type === "chunk") this.#uploads.send(frame);
    else if (frame.type === "ephemeral") this.#sendDatagram(frame);
    else if (frame.type === "command" && hasStream(frame)) this.#uploads.begin(frame);
    else this.#say(frame);
  }

  async close(): Promise<void> {
    if (this.#isLeaving) await this.#closingWithin(CLOSE_MS_MAX);
  }

  abandon(): void {
    this.receiver = undefined;
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#transport.close();
  }

  /** On the control stream. */
  #say(frame: ClientFrame): void {
    if (frame.type === "subscribe") this.#subscribe(frame.subscription);
    if (frame.type === "unsubscribe") this.#unsubscribe(frame.subscription);
    if (frame.type === "goodbye") this.#isLeaving = true;
    const bytes = this.#codec.encode(frame);
    this.bufferedBytes += bytes.length;
    this.#out.push(bytes);
    if (!this.#isWriting) void this.#write();
  }

  /** Past what every browser takes streams for, the session goes on over a WebSocket. */
  #subscribe(number: number): void {
    this.#subscriptions.add(number);
    if (this.#subscriptions.size <= SUBSCRIPTIONS_MAX) return;
    const message = `over ${SUBSCRIPTIONS_MAX} subscriptions go by WebSocket`;
    this.#broken(new this.#kit.SelvedgeError("unavailable", message));
  }

  #unsubscribe(number: number): void {
    this.#subscriptions.delete(number);
    this.#stops.get(number)?.();
  }

  /** Writes what is to be said, all that has gathered meanwhile at once. */
  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      // What is said in one go travels in one piece.
      await Promise.resolve();
      while (this.#out.length > 0) {
        const bytes = joined(this.#out);
        this.#out = [];
        await this.#control.write(bytes);
        this.bufferedBytes -= bytes.length;
      }
      this.#isWriting = false;
    } catch {
      // Nothing can be said any more.
      await this.#lost();
    }
  }

  /** Lossy: dropped where it fits no datagram, or too many are on their way. */
  #sendDatagram(frame: ClientFrame): void {
    const bytes = this.#codec.encode(frame);
    const { maxDatagramSize } = this.#transport.datagrams;
    if (bytes.length > maxDatagramSize || this.#datagramsOut >= DATAGRAMS_OUT_MAX) return;
    this.#datagramsOut += 1;
    const done = (): void => {
      this.#datagramsOut -= 1;
    };
    this.#datagrams.write(bytes).then(done, done);
  }

  async #readControl(stream: ReadableStream<Uint8Array>): Promise<void> {
    const buffer = new FrameBuffer(this.#codec);
    await this.#read(stream.getReader(), (bytes) => {
      buffer.push(bytes);
      for (let frame = buffer.frame(); frame !== undefined; frame = buffer.frame()) {
        if (!isOfControl(frame)) throw this.#misplaced(frame);
        const ended = endedBy(frame);
        if (ended !== undefined) this.#subscriptions.delete(ended);
        this.#hear(frame);
      }
    });
    await this.#lost();
  }

  /** The control stream has ended, and with it the connection, which has a moment to say why. */
  async #lost(): Promise<void> {
    await this.#closingWithin(CLOSE_MS_MAX);
    this.#closed(LOST);
  }

  async #readDatagrams(): Promise<void> {
    await this.#read(this.#transport.datagrams.readable.getReader(), (bytes) => {
      const buffer = new FrameBuffer(this.#codec);
      buffer.push(bytes);
      const frame = buffer.frame();
      if (frame?.type !== "ephemeral" || buffer.take(1).length > 0) {
        throw this.#codec.malformed("a datagram is not one ephemeral message");
      }
      this.#hear(frame);
    });
  }

  async #readStreams(): Promise<void> {
    await this.#read(this.#transport.incomingUnidirectionalStreams.getReader(), (stream) => {
      if (this.#streams >= STREAMS_MAX) throw this.#codec.malformed("too many streams are open");
      this.#streams += 1;
      void this.#readStream(stream.getReader());
    });
  }

  /** The events of a subscription, or a large answer. */
  async #readStream(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    const incoming = new Incoming(this.#codec, (frame) => {
      this.#hear(frame);
    });
    const stop = (): void => {
      reader.cancel().catch(() => undefined);
    };
    const error = await this.#read(reader, (bytes) => {
      incoming.push(bytes);
      const { subscription } = incoming;
      if (subscription !== undefined) this.#stops.set(subscription, stop);
    });
    this.#streams -= 1;
    const { subscription = 0 } = incoming;
    if (this.#stops.get(subscription) === stop) this.#stops.delete(subscription);
    if (error !== undefined) await this.#closingWithin(SETTLE_MS);
    if (!this.#isOver) incoming.end();
  }

  /** The one reply to a command with a payload, or what stands for it. */
  async #readAnswer(number: number, stream: ReadableStream<Uint8Array>): Promise<void> {
    const buffer = new FrameBuffer(this.#codec);
    const seen = { answer: false };
    const error = await this.#read(stream.getReader(), (bytes) => {
      buffer.push(bytes);
      const frame = buffer.frame();
      if (frame === undefined) return;
      if (seen.answer || !isAnswerTo(frame, number)) throw this.#misplaced(frame);
      seen.answer = true;
      this.#uploads.end(number);
      this.#hear(frame);
    });
    if (seen.answer) return;
    await this.#closingWithin(SETTLE_MS);
    this.#uploads.end(number);
    const { streamErrorCode = 0 } = (error ?? {}) as { streamErrorCode?: number };
    const failure = this.#failure(streamErrorCode, "the server cut the payload off");
    this.#hear({ type: "reply", request: { command: number }, outcome: { failure } });
  }

  /** Reads to the end; gives the error that ended it, if one did. */
  async #read<T>(
    reader: ReadableStreamDefaultReader<T>,
    each: (value: T) => void,
  ): Promise<unknown> {
    for (;;) {
      let result: ReadableStreamReadResult<T>;
      try {
        result = await reader.read();
      } catch (error) {
        return error ?? LOST;
      }
      if (result.done || this.#isOver) return undefined;
      this.received += 1;
      try {
        each(result.value);
      } catch (error) {
        // Any other is a defect, for the browser to tell of.
        if (!(error instanceof this.#kit.SelvedgeError)) throw error;
        this.#broken(error);
        return undefined;
      }
    }
  }

  /** A stream for a payload: waits while there are too many, of whose end browsers do not tell. */
  async #open(): Promise<TwoWay> {
    for (;;) {
      try {
        return await this.#transport.createBidirectionalStream();
      } catch {
        // For ever, where the connection is over.
        await this.#pause(STREAM_MS);
      }
    }
  }

  #hear(frame: ServerFrame): void {
    if (!this.#isOver) this.receiver?.frame(frame);
  }

  #broken(error: SelvedgeError): void {
    this.#isOver = true;
    this.receiver?.broken(error);
  }

  #closed(failure: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.receiver?.closed(failure);
  }

  /** What a code of a connection or stream stands for. */
  #failure(code: number, message: string): Failure {
    return { code: this.#kit.ERROR_CODES[code - 1] ?? "unavailable", message };
  }

  #misplaced({ type }: ServerFrame): Error {
    return this.#codec.malformed(`a frame ${type} came on a stream where it does not belong`);
  }

  /** What ends a stream is often the end of the connection, of which the browser tells a moment later. */
  async #closingWithin(ms: number): Promise<void> {
    await Promise.race([this.#closing, this.#pause(ms)]);
  }

  /** For ever, where the connection is over. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, ms);
      this.#timers.add(timer);
    });
  }
}

/** Whether a frame may come on the control stream. */
function isOfControl(frame: ServerFrame): boolean {
  return frame.type === "reply" ? !isAttached(frame) : CONTROL.includes(frame.type);
}

function isAnswerTo(frame: ServerFrame, number: number): boolean {
  if (frame.type !== "reply" || isAttached(frame)) return false;
  return "command" in frame.request && frame.request.command === number;
}

/** The subscription that a reply refuses or ends. */
function endedBy(frame: ServerFrame): number | undefined {
  if (frame.type !== "reply" || !("subscription" in frame.request)) return undefined;
  return "failure" in frame.outcome ? frame.request.subscription : undefined;
}

function joined(parts: Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const CONTROL: readonly string[] = ["welcome", "task", "notice", "redirect", "goodbye", "pong"];
const LOST: Failure = { code: "unavailable", message: "the connection was lost" };
/**
 * Subscriptions at a time. Firefox takes 16 streams that the server opens, and Chromium 100, of which three are HTTP/3's
 * and some are for large answers; what is more would wait without a word.
 */
const SUBSCRIPTIONS_MAX = 10;
/** Streams of the server at a time, with those that are being stopped: more than any browser takes. */
const STREAMS_MAX = 256;
/** Datagrams that the browser has not sent: a burst, and no more. */
const DATAGRAMS_OUT_MAX = 64;
/** How long an orderly end may take, as in the rest of the SDK. */
const CLOSE_MS_MAX = 1_000;
/** How soon the end of the connection is told after the end of a stream. */
const SETTLE_MS = 50;
/** How soon a stream is asked for again. */
const STREAM_MS = 50;
