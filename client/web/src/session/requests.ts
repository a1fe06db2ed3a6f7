/**
 * Commands and queries of a session: numbers them, keeps them until they are answered, says what to send again. A part
 * of the machine, which tells it of connections and answers. `C` stands for who waits for an answer.
 */

import type { Failure } from "../errors.js";
import { SelvedgeError } from "../errors.js";
import { CALLS_WAITING_MAX, SESSION_QUERIES_MAX, SESSION_WINDOW } from "../limits.js";
import type { ClientFrame, Command, Query, Request, SessionLimits } from "../wire/frames.js";
import { isRecognised, Pending } from "./pending.js";
import type { Uploads } from "./uploads.js";

/** All commands, or all queries: each sort has numbers of its own. */
class Lane<C> {
  /** Sent over some connection of this session, in the order of their numbers. */
  readonly sent = new Map<number, Pending<C>>();
  /** Never sent in this session. */
  waiting = new Set<Pending<C>>();
  next = 1;

  /** Every one up to this number is answered. */
  get answered(): number {
    const first = this.sent.keys().next();
    return (first.done === true ? this.next : first.value) - 1;
  }
}

export class Requests<C> {
  readonly #commands = new Lane<C>();
  readonly #queries = new Lane<C>();
  /** Until it is there, commands with a payload that fits no frame wait. */
  #uploads: Uploads | undefined;
  #isReady = false;
  #limits = { window: SESSION_WINDOW, queries: SESSION_QUERIES_MAX };
  readonly #send: (frame: ClientFrame) => void;

  constructor(send: (frame: ClientFrame) => void) {
    this.#send = send;
  }

  /** Every command up to this number is answered. */
  get acknowledged(): number {
    return this.#commands.answered;
  }

  get hasUnanswered(): boolean {
    return this.#commands.sent.size + this.#queries.sent.size > 0;
  }

  /** Takes a request, numbers it and sends it as soon as there is room. */
  ask(frame: Command | Query, retryMs: number, ticket: C): Pending<C> {
    const lane = this.#lane(frame);
    if (lane.waiting.size >= CALLS_WAITING_MAX) {
      const message = `${CALLS_WAITING_MAX} calls wait: await some of them`;
      throw new SelvedgeError("overloaded", message);
    }
    const pending = new Pending<C>(frame, retryMs, ticket);
    lane.waiting.add(pending);
    this.#sendWaiting(lane);
    return pending;
  }

  /** The caller has left. What is sent already goes on, but is neither retried nor sent again. */
  abandon(pending: Pending<C>): void {
    pending.ticket = undefined;
    const { frame } = pending;
    const lane = this.#lane(frame);
    if (lane.waiting.delete(pending)) return;
    let upload: "waiting" | "cut" | undefined;
    if (lengthBehind(frame) !== undefined) {
      upload = this.#uploads === undefined ? "waiting" : this.#uploads.end(frame.number);
    }
    if (pending.isParked || upload === "waiting") {
      lane.sent.delete(frame.number);
    } else if (upload === "cut" && this.#isReady) {
      // A part of a payload is refused, so the command takes no effect.
      const data = new Uint8Array();
      this.#send({ type: "chunk", request: { command: frame.number }, data, last: true });
    }
    this.#sendWaiting(lane);
    this.#beginUploads();
  }

  disconnected(): void {
    this.#isReady = false;
    this.#uploads?.clear();
  }

  /**
   * The old session is gone. Commands that cannot have taken effect, or that are recognised by an id of their own, are
   * numbered anew; what became of the others nobody can tell: gives those who wait for them.
   */
  startOver(): C[] {
    const lane = this.#commands;
    for (const pending of lane.sent.values()) pending.isParked = false;
    const sent = [...lane.sent.values()].filter(({ ticket }) => ticket !== undefined);
    lane.waiting = new Set([...sent.filter(({ frame }) => isRecognised(frame)), ...lane.waiting]);
    lane.sent.clear();
    lane.next = 1;
    return sent.flatMap(({ frame, ticket }) =>
      ticket === undefined || isRecognised(frame) ? [] : [ticket],
    );
  }

  /** The session is open on a connection: everything that waits is sent, what was sent before it in order. */
  welcomed(limits: SessionLimits): void {
    this.#limits = limits;
    this.#isReady = true;
    for (const lane of [this.#commands, this.#queries]) {
      for (const [number, { ticket }] of lane.sent) {
        if (ticket === undefined) lane.sent.delete(number);
      }
      for (const pending of lane.sent.values()) this.#sendNow(pending);
      this.#sendWaiting(lane);
    }
  }

  find(request: Request): Pending<C> | undefined {
    if ("command" in request) return this.#commands.sent.get(request.command);
    return "query" in request ? this.#queries.sent.get(request.query) : undefined;
  }

  /** The request is refused: how long to wait before it is sent again, or nothing if that is the answer. */
  refused(pending: Pending<C>, failure: Failure, random: number): number | undefined {
    const wait = pending.waitMs(failure, random);
    if (wait !== undefined) this.#endUpload(pending);
    return wait;
  }

  /** The request has its answer: who waits for it, if somebody does. */
  answered(pending: Pending<C>): C | undefined {
    const lane = this.#lane(pending.frame);
    lane.sent.delete(pending.frame.number);
    this.#endUpload(pending);
    this.#sendWaiting(lane);
    return pending.ticket;
  }

  /** A request that had to wait is sent again, unless that has happened meanwhile. */
  sendAgain(pending: Pending<C>): void {
    if (this.#isReady && pending.isParked && pending.ticket !== undefined) this.#sendNow(pending);
  }

  /** The server has taken so many bytes of a payload. */
  window(request: Request, bytes: number): void {
    if ("command" in request) this.#uploads?.window(request.command, bytes);
  }

  /** Payloads can be sent from now on: those that wait begin. */
  upload(uploads: Uploads): void {
    this.#uploads = uploads;
    for (const pending of this.#isReady ? this.#commands.sent.values() : []) {
      if (lengthBehind(pending.frame) !== undefined && !pending.isParked) this.#sendNow(pending);
    }
  }

  /** The session ends: all who wait, to be told so. */
  tickets(): C[] {
    const lanes = [this.#commands, this.#queries];
    const all = lanes.flatMap(({ sent, waiting }) => [...sent.values(), ...waiting]);
    return all.flatMap(({ ticket }) => (ticket === undefined ? [] : [ticket]));
  }

  #lane(frame: Command | Query): Lane<C> {
    return frame.type === "command" ? this.#commands : this.#queries;
  }

  #sendWaiting(lane: Lane<C>): void {
    for (const pending of this.#isReady ? lane.waiting : []) {
      const hasRoom =
        lane === this.#commands
          ? lane.next <= lane.answered + this.#limits.window
          : lane.sent.size < this.#limits.queries;
      if (!hasRoom) return;
      lane.waiting.delete(pending);
      pending.frame.number = lane.next;
      lane.sent.set(lane.next, pending);
      lane.next += 1;
      this.#sendNow(pending);
    }
  }

  #sendNow(pending: Pending<C>): void {
    pending.isParked = false;
    const { frame } = pending;
    const length = lengthBehind(frame);
    if (length === undefined) {
      this.#write(frame);
    } else {
      this.#uploads?.add(frame.number, length);
      this.#beginUploads();
    }
  }

  #endUpload({ frame }: Pending<C>): void {
    if (frame.type !== "command") return;
    this.#uploads?.end(frame.number);
    this.#beginUploads();
  }

  #beginUploads(): void {
    for (;;) {
      const number = this.#uploads?.begin();
      if (number === undefined) return;
      const pending = this.#commands.sent.get(number);
      if (pending !== undefined) this.#write(pending.frame);
    }
  }

  #write(frame: Command | Query): void {
    if (frame.type === "command") frame.acknowledged = this.acknowledged;
    this.#send(frame);
  }
}

/** How many bytes come behind a command; nothing where all of it is in the frame. */
export function lengthBehind(frame: Command | Query): number | undefined {
  const payload = frame.type === "command" ? frame.payload : undefined;
  if (payload === undefined || "inline" in payload) return undefined;
  return "attached" in payload ? payload.attached : payload.streamed;
}
