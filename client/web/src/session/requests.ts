/**
 * Commands and queries of a session: numbers them, keeps them until they are answered, says what to send again. A part
 * of the machine, which tells it of connections and answers. `C` stands for who waits for an answer.
 */

import type { Failure } from "../errors.js";
import { SelvedgeError } from "../errors.js";
import { CALLS_WAITING_MAX, SESSION_QUERIES_MAX, SESSION_WINDOW } from "../limits.js";
import type { ClientFrame, Command, Query, Request, SessionLimits } from "../wire/frames.js";
import { toBase64 } from "../wire/base64.js";
import type { NewCommand, NewQuery } from "./pending.js";
import { isRecognised, Pending } from "./pending.js";
import type { Piece } from "./uploads.js";
import { Uploads } from "./uploads.js";

export class Requests<C> {
  /** Sent over some connection of this session, in the order of their numbers. */
  #commands = new Map<number, Pending<C, Command>>();
  /** They get a number when they are sent for the first time. */
  #commandsWaiting = new Set<Pending<C, Command>>();
  #nextCommand = 1;
  readonly #queries = new Map<number, Pending<C, Query>>();
  readonly #queriesWaiting = new Set<Pending<C, Query>>();
  #nextQuery = 1;
  readonly #uploads = new Uploads();
  #isReady = false;
  #limits = { window: SESSION_WINDOW, queries: SESSION_QUERIES_MAX };
  readonly #send: (frame: ClientFrame) => void;

  constructor(send: (frame: ClientFrame) => void) {
    this.#send = send;
  }

  /** Every command up to this number is answered. */
  get acknowledged(): number {
    return firstKey(this.#commands, this.#nextCommand) - 1;
  }

  get hasUnanswered(): boolean {
    return this.#commands.size + this.#queries.size > 0;
  }

  command(asked: NewCommand, ticket: C): Pending<C> {
    if (this.#commandsWaiting.size >= CALLS_WAITING_MAX) throw overloaded();
    const { retryMs, ...fields } = asked;
    const frame: Command = { type: "command", number: 0, acknowledged: 0, ...fields };
    const pending = new Pending<C, Command>(frame, retryMs, ticket);
    this.#commandsWaiting.add(pending);
    this.#sendCommands();
    return pending;
  }

  query(asked: NewQuery, ticket: C): Pending<C> {
    if (this.#queriesWaiting.size >= CALLS_WAITING_MAX) throw overloaded();
    const { retryMs, ...fields } = asked;
    const frame: Query = { type: "query", number: 0, ...fields };
    const pending = new Pending<C, Query>(frame, retryMs, ticket);
    this.#queriesWaiting.add(pending);
    this.#sendQueries();
    return pending;
  }

  /** The caller has left. What is sent already goes on, but is neither retried nor sent again. */
  abandon(pending: Pending<C>): void {
    pending.ticket = undefined;
    if (isQuery(pending)) {
      if (!this.#queriesWaiting.delete(pending) && pending.isParked) {
        this.#queries.delete(pending.frame.number);
      }
      this.#sendQueries();
    } else if (isCommand(pending)) {
      if (!this.#commandsWaiting.delete(pending)) this.#abandonSent(pending);
      this.#sendCommands();
    }
  }

  #abandonSent(pending: Pending<C, Command>): void {
    const { number } = pending.frame;
    const upload = this.#uploads.end(number);
    if (pending.isParked || upload === "waiting") {
      this.#commands.delete(number);
    } else if (upload === "cut" && this.#isReady) {
      // A part of a payload is refused, so the command takes no effect.
      this.#send({ type: "chunk", request: { command: number }, data: "", last: true });
    }
    this.#beginUploads();
  }

  disconnected(): void {
    this.#isReady = false;
    this.#uploads.clear();
  }

  /**
   * The old session is gone. Commands that cannot have taken effect, or that are recognised by an id of their own, are
   * numbered anew; what became of the others nobody can tell: gives those who wait for them.
   */
  startOver(): C[] {
    const unknown: C[] = [];
    const again = new Set<Pending<C, Command>>();
    for (const pending of this.#commands.values()) {
      if (isRecognised(pending.frame)) again.add(pending);
      else if (pending.ticket !== undefined) unknown.push(pending.ticket);
    }
    for (const pending of this.#commandsWaiting) again.add(pending);
    this.#commands = new Map();
    this.#commandsWaiting = again;
    this.#nextCommand = 1;
    return unknown;
  }

  /** The session is open on a connection: everything that waits is sent, what was sent before it in order. */
  welcomed(limits: SessionLimits): void {
    this.#limits = limits;
    this.#isReady = true;
    for (const [number, pending] of this.#commands) {
      if (pending.ticket === undefined) this.#commands.delete(number);
    }
    for (const pending of this.#commands.values()) this.#sendCommand(pending);
    this.#sendCommands();
    for (const [number, pending] of this.#queries) {
      if (pending.ticket === undefined) this.#queries.delete(number);
      else this.#sendQuery(pending);
    }
    this.#sendQueries();
  }

  find(request: Request): Pending<C> | undefined {
    if ("command" in request) return this.#commands.get(request.command);
    if ("query" in request) return this.#queries.get(request.query);
    return undefined;
  }

  /** The request is refused: how long to wait before it is sent again, or nothing if that is the answer. */
  refused(request: Request, failure: Failure, random: number): number | undefined {
    const wait = this.find(request)?.waitMs(failure, random);
    if ("command" in request && wait !== undefined) {
      this.#uploads.end(request.command);
      this.#beginUploads();
    }
    return wait;
  }

  /** The request has its answer: who waits for it, if somebody does. */
  answered(request: Request): C | undefined {
    const ticket = this.find(request)?.ticket;
    if ("command" in request) {
      this.#uploads.end(request.command);
      this.#commands.delete(request.command);
      this.#sendCommands();
      this.#beginUploads();
    } else if ("query" in request) {
      this.#queries.delete(request.query);
      this.#sendQueries();
    }
    return ticket;
  }

  /** A request that had to wait is sent again, unless that has happened meanwhile. */
  sendAgain(pending: Pending<C>): void {
    if (!this.#isReady || !pending.isParked || pending.ticket === undefined) return;
    if (isQuery(pending)) this.#sendQuery(pending);
    else if (isCommand(pending)) this.#sendCommand(pending);
  }

  /** The server has taken so many bytes of a payload. */
  window(request: Request, bytes: number): void {
    if ("command" in request) this.#uploads.window(request.command, bytes);
  }

  /** The next piece of a payload that may be sent, and whose it is. */
  nextPiece(): { piece: Piece; ticket: C } | undefined {
    for (;;) {
      const piece = this.#uploads.next();
      if (piece === undefined) return undefined;
      const ticket = this.#commands.get(piece.upload.number)?.ticket;
      if (ticket !== undefined) return { piece, ticket };
    }
  }

  /** The bytes of a piece; fewer than were asked for where they cannot be read. */
  givePiece(piece: Piece, bytes: Uint8Array): void {
    const sent = this.#uploads.read(piece, bytes.length);
    if (sent === undefined) return;
    const request = { command: piece.upload.number };
    this.#send({ type: "chunk", request, data: toBase64(bytes), last: sent.last });
  }

  /** The session ends: all who wait, to be told so. */
  tickets(): C[] {
    const all = [this.#commands, this.#commandsWaiting, this.#queries, this.#queriesWaiting];
    const tickets = all.flatMap((requests) => [...requests.values()].map(({ ticket }) => ticket));
    return tickets.filter((ticket) => ticket !== undefined);
  }

  #sendCommands(): void {
    if (!this.#isReady) return;
    for (const pending of this.#commandsWaiting) {
      if (this.#nextCommand > this.acknowledged + this.#limits.window) return;
      this.#commandsWaiting.delete(pending);
      pending.frame.number = this.#nextCommand;
      this.#nextCommand += 1;
      this.#commands.set(pending.frame.number, pending);
      this.#sendCommand(pending);
    }
  }

  #sendCommand(pending: Pending<C, Command>): void {
    pending.isParked = false;
    const { payload, number } = pending.frame;
    if (payload === undefined || "inline" in payload) {
      this.#write(pending.frame);
    } else {
      this.#uploads.add(number, "attached" in payload ? payload.attached : payload.streamed);
      this.#beginUploads();
    }
  }

  #beginUploads(): void {
    for (;;) {
      const number = this.#isReady ? this.#uploads.begin() : undefined;
      if (number === undefined) return;
      const pending = this.#commands.get(number);
      if (pending === undefined) this.#uploads.end(number);
      else this.#write(pending.frame);
    }
  }

  #write(frame: Command): void {
    frame.acknowledged = this.acknowledged;
    this.#send(frame);
  }

  #sendQueries(): void {
    if (!this.#isReady) return;
    for (const pending of this.#queriesWaiting) {
      if (this.#queries.size >= this.#limits.queries) return;
      this.#queriesWaiting.delete(pending);
      pending.frame.number = this.#nextQuery;
      this.#nextQuery += 1;
      this.#queries.set(pending.frame.number, pending);
      this.#sendQuery(pending);
    }
  }

  #sendQuery(pending: Pending<C, Query>): void {
    pending.isParked = false;
    this.#send(pending.frame);
  }
}

function firstKey(map: Map<number, unknown>, none: number): number {
  const first = map.keys().next();
  return first.done === true ? none : first.value;
}

function isQuery<C>(pending: Pending<C>): pending is Pending<C, Query> {
  return pending.frame.type === "query";
}

function isCommand<C>(pending: Pending<C>): pending is Pending<C, Command> {
  return pending.frame.type === "command";
}

function overloaded(): SelvedgeError {
  const message = `${CALLS_WAITING_MAX} calls of this session wait for their turn: wait for some of their answers`;
  return new SelvedgeError("overloaded", message);
}
