/**
 * Reads payloads piece by piece and gives them to the machine, as fast as the link takes them. Loaded with the first
 * payload that fits no frame; of the rest of the SDK it imports what nobody else does.
 */

import type { Driver, Ticket } from "./driver.js";
import type { SelvedgeError } from "./errors.js";
import type { Link } from "./link/link.js";
import type { Piece } from "./session/uploads.js";
import { Uploads } from "./session/uploads.js";

export class Pump {
  readonly #driver: Driver;
  readonly #Failed: typeof SelvedgeError;
  readonly #uploads = new Uploads();
  #isWaiting = false;

  /** The class of errors is lent. */
  constructor(driver: Driver, Failed: typeof SelvedgeError) {
    this.#driver = driver;
    this.#Failed = Failed;
    driver.machine.requests.upload(this.#uploads);
  }

  /** Gives the machine the next pieces; `true` where there is something more to send now. */
  turn(link: Link): boolean {
    const { machine } = this.#driver;
    while (link.bufferedBytes < BUFFERED_BYTES_MAX) {
      const piece = this.#uploads.next();
      if (piece === undefined) return false;
      const ticket = machine.requests.find({ command: piece.upload.number })?.ticket;
      const payload = ticket?.payload;
      if (payload instanceof Uint8Array) {
        this.#give(piece, payload.subarray(piece.from, piece.from + piece.length));
        return true;
      }
      if (payload !== undefined) void this.#read(payload, piece, ticket);
    }
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#driver.after(WAIT_MS, () => {
        this.#isWaiting = false;
      });
    }
    return false;
  }

  async #read(payload: Blob, piece: Piece, ticket: Ticket | undefined): Promise<void> {
    const part = payload.slice(piece.from, piece.from + piece.length);
    try {
      this.#give(piece, new Uint8Array(await part.arrayBuffer()));
    } catch (cause) {
      const more = { field: "payload", cause };
      ticket?.giveUp(new this.#Failed("invalid", "the payload cannot be read", more));
    }
    this.#driver.flush();
  }

  #give(piece: Piece, bytes: Uint8Array): void {
    const frame = this.#uploads.give(piece, bytes);
    if (frame !== undefined) this.#driver.machine.say(frame);
  }
}

/** Bytes that the link has not sent: past that no more pieces are given to it, so that they do not hold up what is small. */
const BUFFERED_BYTES_MAX = 1_048_576;
/** How soon to look again whether the link has sent what it holds: browsers do not say. */
const WAIT_MS = 20;
