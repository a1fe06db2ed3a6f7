/**
 * WebTransport to the servers in memory, for tests of the whole client in simulated time. It maps the model's one
 * connection for all to streams and datagrams, in the binary form, as a node does.
 */

import { ERROR_CODES, SelvedgeError } from "../../src/errors.js";
import type {
  TwoWay,
  WebTransportConstructor,
  WebTransportLike,
} from "../../src/link/webtransport/types.js";
import { toBase64, tryBase64 } from "../../src/wire/base64.js";
import { Codec } from "../../src/wire/binary/codec.js";
import { BY_ORDINAL } from "../../src/wire/binary/shapes.js";
import type { FakeServer } from "./fake.js";
import { ModelLink, World } from "./model.js";

type Json = Record<string, unknown>;

const HOP_MS = 1;
const codec = new Codec({ SelvedgeError, ERROR_CODES, toBase64, tryBase64 });

/** What `/version` tells of a server. */
export const PORT = 7400;

/** What a world of servers looks like to a client, by its `fetch` and by its class of WebTransport. */
export function quic(...servers: FakeServer[]): WebTransportConstructor {
  return class extends FakeTransport {
    constructor(url: string, options: { serverCertificateHashes?: { value: BufferSource }[] }) {
      super(servers, url, options);
    }
  };
}

/** Answers `/version` as the servers would. */
export function versions(...servers: FakeServer[]): typeof fetch {
  return async (input, { signal } = {}) => {
    const at = new URL(input instanceof Request ? input.url : input);
    await new Promise((resolve) => setTimeout(resolve, HOP_MS));
    signal?.throwIfAborted();
    const server = servers.find(({ host }) => host === at.host);
    if (server?.isUp !== true || at.pathname !== "/version") throw new TypeError("fetch failed");
    return Response.json(server.version);
  };
}

/** One end of a stream in memory: what is written comes out at the other end a moment later. */
class Pipe {
  readonly #received: (bytes: Uint8Array) => void;
  readonly #ended: () => void;
  #error: ((reason: unknown) => void) | undefined;
  readonly writable: WritableStream<Uint8Array>;

  constructor(received: (bytes: Uint8Array) => void, ended: () => void = () => undefined) {
    this.#received = received;
    this.#ended = ended;
    this.writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#error = (reason) => {
          controller.error(reason);
        };
      },
      write: (bytes) =>
        new Promise((resolve) => {
          setTimeout(() => {
            this.#received(bytes.slice());
            resolve();
          }, HOP_MS);
        }),
      close: () => {
        setTimeout(this.#ended, HOP_MS);
      },
    });
  }

  break(reason: unknown): void {
    this.#error?.(reason);
  }
}

/** A stream of the server's. */
class Out {
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  isOver = false;
  /** Whether the client wants no more of it. */
  isStopped = false;
  readonly readable: ReadableStream<Uint8Array>;

  constructor() {
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.isStopped = this.isOver = true;
      },
    });
  }

  /** In pieces, so that frames are cut anywhere. */
  send(bytes: Uint8Array, piece = 1_000): void {
    setTimeout(() => {
      for (let at = 0; at < bytes.length && !this.isOver; at += piece) {
        this.#controller?.enqueue(bytes.slice(at, at + piece));
      }
    }, HOP_MS);
  }

  end(): void {
    setTimeout(() => {
      if (!this.isOver) this.#controller?.close();
      this.isOver = true;
    }, HOP_MS);
  }

  reset(reason: unknown): void {
    if (!this.isOver) this.#controller?.error(reason);
    this.isOver = true;
  }
}

/** Why a stream is reset. */
export class StreamError extends Error {
  constructor(readonly streamErrorCode: number) {
    super("the stream was reset");
  }
}

export class FakeTransport implements WebTransportLike {
  readonly ready: Promise<void>;
  readonly closed: Promise<{ closeCode?: number; reason?: string }>;
  readonly datagrams;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  readonly link: ModelLink;
  readonly url: string;
  readonly hashes: BufferSource[];
  /** How much later than its events the reply to a Subscribe comes: nothing orders one stream against another. */
  lateMs = 0;
  readonly #server: FakeServer | undefined;
  readonly control = new Out();
  readonly datagramsOut = new Out();
  /** The streams of subscriptions. */
  readonly events = new Map<number, Out>();
  /** Where the reply to a command goes that has a payload. */
  readonly answers = new Map<number, Out>();
  readonly #pipes = new Set<Pipe>();
  readonly #outs = new Set<Out>([this.control, this.datagramsOut]);
  #incoming: ReadableStreamDefaultController<ReadableStream<Uint8Array>> | undefined;
  #large: Out | undefined;
  #streams = 0;
  #isOver = false;
  #open: (() => void) | undefined;
  #close: ((how: { closeCode?: number; reason?: string } | Error) => void) | undefined;
  #refuse: ((error: Error) => void) | undefined;

  constructor(
    servers: FakeServer[],
    url: string,
    options: { serverCertificateHashes?: { value: BufferSource }[] },
  ) {
    const { hostname } = new URL(url);
    this.url = url;
    this.hashes = (options.serverCertificateHashes ?? []).map(({ value }) => value);
    this.#server = servers.find(({ host }) => new URL(`http://${host}`).hostname === hostname);
    this.link = new ModelLink(this.#server?.world ?? new World());
    this.ready = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#refuse = reject;
    });
    this.ready.catch(() => undefined);
    this.closed = new Promise((resolve, reject) => {
      this.#close = (how) => {
        if (how instanceof Error) reject(how);
        else resolve(how);
      };
    });
    this.closed.catch(() => undefined);
    this.incomingUnidirectionalStreams = new ReadableStream({
      start: (controller) => {
        this.#incoming = controller;
      },
    });
    const pipe = this.#pipe((bytes) => {
      this.#receive(bytes);
    });
    this.datagrams = {
      maxDatagramSize: 1_200,
      readable: this.datagramsOut.readable,
      writable: pipe.writable,
    };
    setTimeout(() => {
      if (this.#isOver || this.#server?.isQuicDeaf === true) return;
      if (this.#server?.isUp !== true) {
        this.break(new Error("Opening handshake failed."));
        return;
      }
      this.#server.transports.add(this);
      this.#server.quicConnections += 1;
      this.#open?.();
    }, HOP_MS);
  }

  createBidirectionalStream(): Promise<TwoWay> {
    if (this.#isOver) return Promise.reject(new Error("The session is closed."));
    // As browsers do: they do not wait until there is one.
    if (this.answers.size >= (this.#server?.streamsMax ?? 14)) {
      return Promise.reject(new Error("Failed to create a stream."));
    }
    this.#streams += 1;
    if (this.#streams === 1) {
      const pipe = this.#frames(() => undefined);
      return Promise.resolve({ readable: this.control.readable, writable: pipe.writable });
    }
    return Promise.resolve(this.#payload());
  }

  close(): void {
    this.break({ closeCode: 0, reason: "" });
  }

  /** The connection ends: by a code, or without a word. */
  break(how: { closeCode?: number; reason?: string } | Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#server?.transports.delete(this);
    const reason = how instanceof Error ? how : new Error("The session is closed.");
    this.#refuse?.(reason);
    for (const out of this.#outs) out.reset(reason);
    for (const pipe of this.#pipes) pipe.break(reason);
    this.#incoming?.error(reason);
    this.#close?.(how);
  }

  /** A stream of the server's, as a test wants it. */
  stream(): Out {
    const out = new Out();
    this.#outs.add(out);
    this.#incoming?.enqueue(out.readable);
    return out;
  }

  /** Delivers what the model has to say, each on its stream. */
  flush(): void {
    if (this.#isOver || this.#server?.isSilent === true) return;
    for (const text of this.link.out.splice(0)) this.#say(JSON.parse(text) as Record<string, Json>);
    if (this.link.isOver) {
      setTimeout(() => {
        this.break({ closeCode: 0, reason: "" });
      }, 2 * HOP_MS);
    }
  }

  #pipe(received: (bytes: Uint8Array) => void, ended?: () => void): Pipe {
    const pipe = new Pipe(received, ended);
    this.#pipes.add(pipe);
    return pipe;
  }

  /** Reads frames; after one of them `raw` has whatever else comes. */
  #frames(handled: (type: string, fields: Json) => void): Pipe {
    let rest = new Uint8Array();
    return this.#pipe((bytes) => {
      rest = Uint8Array.from(Buffer.concat([rest, bytes]));
      for (;;) {
        const length = this.#receive(rest, handled);
        if (length === 0) return;
        rest = rest.slice(length);
      }
    });
  }

  #receive(
    bytes: Uint8Array,
    handled: (type: string, fields: Json) => void = () => undefined,
  ): number {
    const read = codec.decodeAs(bytes, (ordinal) => ordinal < 128);
    if (read === undefined) return 0;
    const { type, ...fields } = read.frame as Json & { type: string };
    handled(type, fields);
    this.link.receive(JSON.stringify({ [type]: fields }));
    this.flush();
    return read.length;
  }

  /** A stream of the client's with a command and its payload. */
  #payload(): TwoWay {
    const out = new Out();
    this.#outs.add(out);
    let number = 0;
    let rest: Uint8Array = new Uint8Array();
    const chunk = (data: Uint8Array, last: boolean): void => {
      const fields = { request: { command: number }, data: toBase64(data), last };
      this.link.receive(JSON.stringify({ chunk: fields }));
      this.flush();
    };
    const pipe = this.#pipe(
      (bytes) => {
        if (number > 0) {
          chunk(bytes, false);
          return;
        }
        rest = Uint8Array.from(Buffer.concat([rest, bytes]));
        const length = this.#receive(rest, (_, fields) => {
          number = Number(fields["number"]);
          this.answers.set(number, out);
        });
        if (length > 0 && rest.length > length) chunk(rest.slice(length), false);
      },
      () => {
        chunk(new Uint8Array(), true);
      },
    );
    return { readable: out.readable, writable: pipe.writable };
  }

  #say(frame: Record<string, Json>): void {
    const [type = "", fields = {}] = Object.entries(frame)[0] ?? [];
    switch (type) {
      case "window":
        return;
      case "ephemeral":
        this.datagramsOut.send(encoded(type, fields), Infinity);
        return;
      case "event":
      case "gap":
      case "largeGap":
        this.#eventsOf(Number(fields["subscription"])).send(encoded(type, fields));
        return;
      case "chunk":
        this.#chunk(fields);
        return;
      case "reply":
        this.#reply(fields);
        return;
      default:
        this.control.send(encoded(type, fields));
    }
  }

  #eventsOf(subscription: number): Out {
    const known = this.events.get(subscription);
    if (known !== undefined) return known;
    const out = this.stream();
    this.events.set(subscription, out);
    return out;
  }

  #chunk(fields: Json): void {
    const request = fields["request"] as { subscription?: number };
    const out =
      request.subscription === undefined ? this.#large : this.#eventsOf(request.subscription);
    out?.send(Uint8Array.from(Buffer.from(String(fields["data"]), "base64")));
    if (request.subscription === undefined && fields["last"] === true) out?.end();
  }

  #reply(fields: Json): void {
    const bytes = encoded("reply", fields);
    const { command = 0 } = fields["request"] as { command?: number };
    const answer = this.answers.get(command);
    if (Array.isArray(fields["ext"])) {
      this.#large = this.stream();
      this.#large.send(bytes);
    } else if (answer === undefined) {
      setTimeout(() => {
        this.control.send(bytes);
      }, this.lateMs);
    } else {
      answer.send(bytes);
      answer.end();
      this.answers.delete(command);
    }
  }
}

/** A frame of the server, as bytes. */
export function encoded(type: string, fields: Json): Uint8Array {
  const [ordinal = 0] =
    [...BY_ORDINAL].find(([number, { name }]) => number > 128 && name === type) ?? [];
  return codec.encodeAs(ordinal, written(type === "notice" ? { notice: fields } : fields));
}

/** With what is JSON as text. */
function written(fields: Json): Json {
  const copy: Json = { ...fields };
  for (const name of ["body", "data", "snapshot", "input"]) {
    if (name in copy) copy[name] = JSON.stringify(copy[name]);
  }
  const { success } = (copy["outcome"] ?? {}) as { success?: Json };
  if (success !== undefined) copy["outcome"] = { success: written(success) };
  return copy;
}
