/**
 * Servers in memory and WebSockets to them, for tests of the whole client in simulated time: each hop takes a
 * millisecond, connections break, fall silent and are refused as a test wants.
 */

import type { WebSocketConstructor, WebSocketLike } from "../../src/link/websocket.js";
import { ModelLink, World } from "./model.js";
import type { FakeTransport } from "./transport.js";

const HOP_MS = 1;

/** One server; several share a world as the nodes of a cluster do. */
export class FakeServer {
  /** Present connections. */
  readonly sockets = new Set<FakeSocket>();
  connections = 0;
  /** Whether it can be reached. */
  isUp = true;
  /** Whether it accepts connections and then says nothing. */
  isSilent = false;
  /** Whether it takes connections that never open. */
  isDeaf = false;
  protocol = "selvedge.v1.json";
  /** Present connections over QUIC. */
  readonly transports = new Set<FakeTransport>();
  quicConnections = 0;
  /** Whether nothing that is sent to it over UDP arrives. */
  isQuicDeaf = false;
  /** Payloads at a time over QUIC. */
  streamsMax = 14;
  /** What it tells of itself. */
  version: unknown = {
    webTransport: { port: 7400, path: "/session", certificateHashes: [btoa("h".repeat(32))] },
  };

  constructor(
    readonly host: string,
    readonly world = new World(),
  ) {}

  get url(): string {
    return `ws://${this.host}/ws`;
  }

  /** The connection that there is. */
  get link(): ModelLink {
    const [connection] = [...this.sockets, ...this.transports];
    if (connection === undefined) throw new Error("nobody is connected");
    return connection.link;
  }

  /** The process is gone. */
  kill(): void {
    this.isUp = false;
    for (const socket of [...this.sockets]) socket.break(1006, "");
    for (const transport of [...this.transports]) transport.break(new Error("Connection lost."));
  }

  /** Delivers what the model has to say by itself. */
  flush(): void {
    for (const connection of [...this.sockets, ...this.transports]) connection.flush();
  }

  publish(): void {
    for (const { link } of [...this.sockets, ...this.transports]) link.publish();
    this.flush();
  }

  say(frame: Record<string, unknown>): void {
    this.link.say(frame);
    this.flush();
  }
}

/** What a world of servers looks like to a client. */
export function sockets(...servers: FakeServer[]): WebSocketConstructor {
  return class extends FakeSocket {
    constructor(url: string, protocols: string[]) {
      super(servers, url, protocols);
    }
  };
}

export class FakeSocket implements WebSocketLike {
  protocol = "";
  readyState = 0;
  bufferedAmount = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  readonly #server: FakeServer | undefined;
  readonly link: ModelLink;

  constructor(servers: FakeServer[], url: string, protocols: string[]) {
    const { host } = new URL(url);
    this.#server = servers.find((server) => server.host === host);
    this.link = new ModelLink(this.#server?.world ?? new World());
    setTimeout(() => {
      if (this.readyState !== 0 || this.#server?.isDeaf === true) return;
      if (this.#server?.isUp !== true || !protocols.includes(this.#server.protocol)) {
        this.readyState = 3;
        this.onerror?.({ message: "connection refused" } as never);
        this.onclose?.({ code: 1006, reason: "" } as never);
        return;
      }
      this.#server.connections += 1;
      this.#server.sockets.add(this);
      this.protocol = this.#server.protocol;
      this.readyState = 1;
      this.onopen?.({} as never);
    }, HOP_MS);
  }

  send(text: string): void {
    if (this.readyState !== 1) return;
    setTimeout(() => {
      if (this.readyState !== 1 && this.readyState !== 2) return;
      this.link.receive(text);
      this.flush();
      if (this.link.isOver) this.break(1000, "");
    }, HOP_MS);
  }

  /** What the server has said arrives. */
  flush(): void {
    if (this.#server?.isSilent === true) return;
    for (const text of this.link.out.splice(0)) {
      setTimeout(() => {
        if (this.readyState === 1) this.onmessage?.({ data: text } as never);
      }, HOP_MS);
    }
  }

  /** The connection ends. */
  break(code: number, reason: string): void {
    setTimeout(() => {
      this.#server?.sockets.delete(this);
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose?.({ code, reason } as never);
    }, HOP_MS);
  }

  close(): void {
    if (this.readyState < 2) {
      this.readyState = 2;
      this.break(1000, "");
    }
  }
}
