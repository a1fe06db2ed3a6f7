/** What the driver needs of a connection that carries frames. There are two: over WebSocket, and over WebTransport. */

import type { Failure, SelvedgeError } from "../errors.js";
import type { ClientFrame, ServerFrame } from "../wire/frames.js";

/** How frames travel. */
export type Transport = "websocket" | "webtransport";

/** Who hears what comes over a link. */
export interface Receiver {
  frame(frame: ServerFrame): void;
  /** What came is of no protocol: this connection is of no use any more, another may be. */
  broken(error: SelvedgeError): void;
  /** The connection is gone: as if this had been said as a Goodbye. */
  closed(failure: Failure): void;
}

/** An open connection. */
export interface Link {
  readonly transport: Transport;
  /** Nobody hears anything while there is none; set it before anything else is done after the link was given. */
  receiver: Receiver | undefined;
  /** How much has come, in messages or pieces: each is a sign of life. */
  readonly received: number;
  /** Bytes that it was given and has not sent. */
  readonly bufferedBytes: number;
  send(frame: ClientFrame): void;
  /** The last word was said: waits for the other end to close as well, for a moment. */
  close(): Promise<void>;
  /** Nothing of it counts any more. */
  abandon(): void;
}
