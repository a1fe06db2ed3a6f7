/** A link over WebSocket: the way that is always there. One frame a message, as JSON. */

import type { SelvedgeError } from "../errors.js";
import { ERROR_CODES } from "../errors.js";
import { CLOSE_MS_MAX } from "../limits.js";
import { decode } from "../wire/decode.js";
import { encode } from "../wire/encode.js";
import type { ClientFrame, ServerFrame } from "../wire/frames.js";
import type { Link, Receiver } from "./link.js";

const SUBPROTOCOL = "selvedge.v1.json";

/** What the SDK needs of a WebSocket: browsers, Node.js 22 and the npm package `ws` have it. */
export interface WebSocketLike {
  readonly protocol: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** Of `ws` only: closes without a word. */
  terminate?: () => void;
}

/** How to make one. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** Opens one. Rejects with the reason, empty where there is none to tell. */
export function openWebSocket(
  make: WebSocketConstructor,
  url: string,
  signal: AbortSignal,
): Promise<Link> {
  return new Promise((resolve, reject) => {
    // Throws for an address that this page may not connect to.
    const socket = new make(url, [SUBPROTOCOL]);
    const fail = (reason: unknown): void => {
      abandon(socket);
      reject(new Error(typeof reason === "string" ? reason : ""));
    };
    socket.onclose = fail;
    socket.onerror = ({ message }: { message?: unknown }) => {
      // Of `ws` only.
      fail(message);
    };
    socket.onopen = () => {
      signal.onabort = null;
      if (socket.protocol === SUBPROTOCOL) resolve(new WebSocketLink(socket));
      else fail(`it does not speak ${SUBPROTOCOL}`);
    };
    signal.onabort = fail;
  });
}

class WebSocketLink implements Link {
  readonly transport = "websocket";
  receiver: Receiver | undefined;
  received = 0;
  readonly #socket: WebSocketLike;

  constructor(socket: WebSocketLike) {
    this.#socket = socket;
    socket.onmessage = ({ data }: { data: unknown }) => {
      this.#receive(data);
    };
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      const message = reason || `the connection was lost (${code})`;
      this.receiver?.closed({ code: ERROR_CODES[code - 4001] ?? "unavailable", message });
    };
    socket.onerror = () => undefined;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: ClientFrame): void {
    this.#socket.send(encode(frame));
  }

  close(): Promise<void> {
    const socket = this.#socket;
    if (socket.readyState === CLOSED) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS_MAX);
      socket.onclose = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.close(1000);
    });
  }

  abandon(): void {
    abandon(this.#socket);
  }

  #receive(data: unknown): void {
    this.received += 1;
    let frame: ServerFrame;
    try {
      frame = decode(data);
    } catch (error) {
      // It throws nothing else.
      this.receiver?.broken(error as SelvedgeError);
      return;
    }
    this.receiver?.frame(frame);
  }
}

/** Nothing of this socket counts any more. */
function abandon(socket: WebSocketLike): void {
  socket.onopen = socket.onmessage = socket.onclose = null;
  // In Node.js an error that nobody hears ends the process.
  socket.onerror = () => undefined;
  try {
    // `ws` would wait half a minute for the other end to close as well.
    if (socket.terminate === undefined) socket.close();
    else socket.terminate();
  } catch {
    // It was never open.
  }
}

/** The state of a WebSocket that is closed. */
const CLOSED = 3;
