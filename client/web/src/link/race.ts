/** Opens a WebSocket to whichever of several servers answers first, one begun a moment after the other (RFC 8305). */

import { SelvedgeError } from "../errors.js";
import { SOCKET_MS_MAX, STAGGER_MS } from "../limits.js";

/** The subprotocol: one frame a message, as JSON. */
export const SUBPROTOCOL = "selvedge.v1.json";

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

export interface Opened {
  socket: WebSocketLike;
  url: string;
}

/** The first that opens; rejects when none does, or when `signal` ends the race. All others are closed. */
export function race(
  make: WebSocketConstructor,
  urls: string[],
  signal: AbortSignal,
): Promise<Opened> {
  return new Promise((resolve, reject) => {
    new Race(make, urls, { signal, resolve, reject }).begin();
  });
}

interface Settle {
  signal: AbortSignal;
  resolve: (opened: Opened) => void;
  reject: (error: SelvedgeError) => void;
}

class Race {
  readonly #make: WebSocketConstructor;
  readonly #urls: string[];
  readonly #settle: Settle;
  readonly #waiting: string[];
  /** Sockets that are being opened, each with the timer that ends it. */
  readonly #running = new Map<WebSocketLike, ReturnType<typeof setTimeout>>();
  #next: ReturnType<typeof setTimeout> | undefined;
  #reason: unknown;

  constructor(make: WebSocketConstructor, urls: string[], settle: Settle) {
    this.#make = make;
    this.#urls = urls;
    this.#settle = settle;
    this.#waiting = [...urls];
  }

  begin(): void {
    this.#settle.signal.addEventListener("abort", this.#stop);
    if (this.#settle.signal.aborted) this.#stop();
    else this.#open();
  }

  /** Begins with the next server, if there is one. */
  #open(): void {
    clearTimeout(this.#next);
    const url = this.#waiting.shift();
    if (url === undefined) {
      if (this.#running.size > 0) return;
      this.#end();
      this.#settle.reject(unreachable(this.#urls, this.#reason));
      return;
    }
    this.#next = setTimeout(() => {
      this.#open();
    }, STAGGER_MS);
    try {
      this.#watch(new this.#make(url, [SUBPROTOCOL]), url);
    } catch (error) {
      // An address that this page may not connect to.
      this.#reason = String(error);
      this.#open();
    }
  }

  #watch(socket: WebSocketLike, url: string): void {
    const failed = (): void => {
      this.#leave(socket);
      this.#open();
    };
    this.#running.set(socket, setTimeout(failed, SOCKET_MS_MAX));
    socket.onclose = failed;
    socket.onerror = (event: { message?: unknown }) => {
      this.#reason = event.message ?? this.#reason;
      failed();
    };
    socket.onopen = () => {
      if (socket.protocol === SUBPROTOCOL) {
        clearTimeout(this.#running.get(socket));
        this.#running.delete(socket);
        this.#end();
        this.#settle.resolve({ socket, url });
      } else {
        this.#reason = `it does not speak ${SUBPROTOCOL}`;
        failed();
      }
    };
  }

  readonly #stop = (): void => {
    this.#end();
    this.#settle.reject(new SelvedgeError("aborted", "the connecting was ended"));
  };

  #leave(socket: WebSocketLike): void {
    clearTimeout(this.#running.get(socket));
    this.#running.delete(socket);
    abandon(socket);
  }

  #end(): void {
    clearTimeout(this.#next);
    this.#settle.signal.removeEventListener("abort", this.#stop);
    for (const socket of this.#running.keys()) this.#leave(socket);
  }
}

/** Nothing of this socket counts any more. */
export function abandon(socket: WebSocketLike): void {
  socket.onopen = null;
  socket.onmessage = null;
  socket.onclose = null;
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

function unreachable(urls: string[], reason: unknown): SelvedgeError {
  const why = typeof reason === "string" && reason !== "" ? ` (${reason})` : "";
  return new SelvedgeError(
    "unavailable",
    `no session can be had at ${urls.join(", ")}${why}: check the address, that the node is running, and that it allows this page's origin`,
    { cause: reason },
  );
}
