/**
 * The client half of a session: numbers requests, keeps them until they are answered, says what to send again, and
 * judges events. The driver owns one for each session, tells it of connections and frames, sends what it puts into
 * `out`, and carries out what it says.
 *
 * It is pure: it has no socket, timer or clock, and chance is an argument. `C` stands for who waits for an answer, `S`
 * for who listens; each ticket is given back exactly once.
 */

import type { Failure } from "../errors.js";
import { mayBeRetried, SelvedgeError } from "../errors.js";
import { SESSION_SUBSCRIPTIONS_MAX, TOKEN_BYTES_MAX } from "../limits.js";
import { tryBase64 } from "../wire/base64.js";
import type {
  Chunk,
  ClientFrame,
  Command,
  Ephemeral,
  Event,
  Gap,
  Notice,
  Query,
  Reply,
  ServerFrame,
  Since,
  StepReport,
  Success,
  Target,
  Task,
  Welcome,
  WorkerReady,
} from "../wire/frames.js";
import { Assemblies, attachedLength } from "./assembly.js";
import type { Pending } from "./pending.js";
import { Requests } from "./requests.js";
import { Subscription, Subscriptions } from "./subscriptions.js";
import { Tasks } from "./tasks.js";
import type { Piece } from "./uploads.js";

/** What a subscriber hears. */
export type Item =
  /** A fact that the actor committed; `seq` counts them from 1, without gaps. */
  | { type: "event"; seq: number; kind: string; time: Date; data: unknown }
  /** Events up to `seq` are no longer stored, or the actor has ended since: go on from this state. */
  | { type: "gap"; after: number; seq: number; snapshot: unknown }
  /** A message that was not stored and may get lost. */
  | { type: "ephemeral"; from: string; name: string; data: unknown };

/** A success, with its body as bytes where they came behind it. */
export interface Answered extends Success {
  bytes?: Uint8Array<ArrayBuffer>;
}

/** What a frame of the server means for the driver and its callers. */
export type Output<C, S> =
  /** The session is open, and what waited is sent. `unknown`: whose commands may or may not have taken effect. */
  | { type: "ready"; welcome: Welcome; resumed: boolean; unknown: C[] }
  | { type: "answer"; ticket: C; answer: Answered }
  | { type: "failure"; ticket: C; failure: Failure }
  /** Refused for the moment: call `sendAgain` after this time. */
  | { type: "wait"; again: Pending<C> | Subscription<S>; waitMs: number }
  | { type: "subscribed"; subscription: Subscription<S>; seq: number }
  | { type: "item"; subscription: Subscription<S>; item: Item }
  | { type: "subscriptionEnded"; ticket: S; failure: Failure }
  | { type: "task"; task: Task }
  | { type: "notice"; notice: Notice }
  /** Leave this connection and resume over another one. */
  | { type: "reconnect"; address?: string; reason: Failure }
  /** The session cannot go on; no reconnect will help. */
  | { type: "closed"; failure: Failure };

/** Who the client says it is. */
export interface Introduction {
  /** A secret. */
  token: string;
  tenant?: string | undefined;
  agent: string;
}

/** What bytes follow. */
type Announcing<C, S> =
  { pending: Pending<C>; success: Success } | { subscription: Subscription<S>; gap: Gap };

export class Machine<C, S> {
  /** Frames to send, for the driver to take. */
  out: ClientFrame[] = [];
  readonly #requests = new Requests<C>((frame) => this.out.push(frame));
  readonly #subscriptions = new Subscriptions<S>();
  readonly #assemblies = new Assemblies<Announcing<C, S>>();
  #tasks: Tasks | undefined;
  #welcome: Welcome | undefined;
  #resume: string | undefined;
  /** Whether this connection's Welcome has come. */
  #isReady = false;
  /** The `acknowledged` that the server knows of. */
  #acknowledgedSent = 0;

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Whether a request waits for its answer. */
  get hasUnanswered(): boolean {
    return this.#requests.hasUnanswered;
  }

  /** Whether the client waits for what the server says by itself: events, or tasks. */
  get isListening(): boolean {
    return this.#subscriptions.active.size > 0 || this.#tasks !== undefined;
  }

  /**
   * A connection is there: sends the Hello. Nothing else is sent before its Welcome, because only that tells whether
   * the session goes on and unanswered commands keep their numbers.
   */
  connected(introduction: Introduction): void {
    this.disconnected();
    this.out.push({ type: "hello", versions: [1], ...introduction, resume: this.#resume });
  }

  disconnected(): void {
    this.#isReady = false;
    this.out = [];
    this.#requests.disconnected();
    this.#assemblies.clear();
  }

  /** Takes a command or query, numbers it and sends it as soon as there is room. */
  ask(frame: Command | Query, retryMs: number, ticket: C): Pending<C> {
    return this.#requests.ask(frame, retryMs, ticket);
  }

  /** The caller has left: its ticket is forgotten. */
  abandon(pending: Pending<C>): void {
    this.#requests.abandon(pending);
  }

  subscribe(target: Target, since: Since, ticket: S): Subscription<S> {
    const held = this.#welcome?.limits.subscriptions ?? SESSION_SUBSCRIPTIONS_MAX;
    const max = Math.min(held, SESSION_SUBSCRIPTIONS_MAX);
    if (this.#subscriptions.size >= max) {
      const message = `this session holds its ${max} subscriptions: end one first`;
      throw new SelvedgeError("limit_exceeded", message);
    }
    const subscription = new Subscription(target, since, ticket);
    this.#begin(subscription);
    return subscription;
  }

  unsubscribe(subscription: Subscription<S>): void {
    if (this.#subscriptions.end(subscription)) this.#unsubscribed(subscription);
  }

  /** The consumer is behind: nothing more of this until `goOn`. */
  halt(subscription: Subscription<S>): void {
    if (this.#subscriptions.halt(subscription)) this.#unsubscribed(subscription);
  }

  /** The consumer has caught up: goes on after what came last. */
  goOn(subscription: Subscription<S>): void {
    if (this.#subscriptions.isHalted(subscription)) this.#begin(subscription);
  }

  /** A request that had to wait is sent again, unless that has happened meanwhile. */
  sendAgain(again: Pending<C> | Subscription<S>): void {
    if (!(again instanceof Subscription)) {
      this.#requests.sendAgain(again);
    } else if (this.#isReady && again.isParked && this.#holds(again)) {
      this.out.push(again.frame());
    }
  }

  /** A message to whoever listens to the target now; lost without a connection. */
  tell(target: Target, name: string, data: string): void {
    if (this.#isReady) this.out.push({ type: "ephemeral", target, name, data });
  }

  /** Asks for a sign of life. */
  ping(nonce: number): void {
    if (this.#isReady) this.out.push({ type: "ping", nonce });
  }

  /** Ends the session. */
  goodbye(): void {
    if (this.#isReady) this.out.push({ type: "goodbye" });
  }

  /** Whether there is something to acknowledge. */
  get hasNews(): boolean {
    return this.#news().length > 0 || this.#requests.acknowledged > this.#acknowledgedSent;
  }

  /** Tells the server what has been received, if it does not know already. */
  acknowledge(): void {
    if (!this.#isReady || !this.hasNews) return;
    const { acknowledged } = this.#requests;
    this.#acknowledgedSent = acknowledged;
    const positions = this.#news().map(([subscription, seq]) => {
      subscription.reported = seq;
      return { subscription: subscription.number, seq };
    });
    this.out.push({ type: "ack", acknowledged, positions });
  }

  /** Says which tasks the client takes, now and on each later connection. */
  work(ready: WorkerReady): void {
    if (this.#tasks === undefined) this.#tasks = new Tasks(ready);
    else this.#tasks.offer(ready);
    if (this.#isReady) this.out.push(ready);
  }

  /** Says how a task stands; nothing of one that the server has given up, nor without a connection. */
  report(lease: number, report: StepReport): void {
    if (this.#isReady && this.#tasks?.report(lease, report) === true) {
      this.out.push({ type: "stepResult", lease, report });
    }
  }

  /** The next piece of a payload that may be sent, to be read and given to `givePiece`. */
  nextPiece(): { piece: Piece; ticket: C } | undefined {
    return this.#requests.nextPiece();
  }

  givePiece(piece: Piece, bytes: Uint8Array): void {
    this.#requests.givePiece(piece, bytes);
  }

  /** The session ends: all who wait, and all who listen. */
  end(): { callers: C[]; listeners: S[] } {
    const listeners = [...this.#subscriptions.all()].map(({ ticket }) => ticket);
    return { callers: this.#requests.tickets(), listeners };
  }

  /** Carries out a frame of the server. `random`, from 0 to 1, spreads retries; any value is right. */
  handle(frame: ServerFrame, random: number): Output<C, S> | undefined {
    if (frame.type === "welcome") return this.#handleWelcome(frame);
    if (frame.type === "goodbye") return this.#handleGoodbye(frame.failure);
    if (frame.type === "redirect") {
      return reconnect("unavailable", "the server named another node", frame.address);
    }
    if (!this.#isReady) return violation(`a frame ${frame.type} came before the welcome`);
    switch (frame.type) {
      case "reply":
        return this.#handleReply(frame, random);
      case "event":
        return this.#handleEvent(frame);
      case "gap":
        return this.#handleGap(frame);
      case "largeGap": {
        const { subscription: number, after, seq, length } = frame;
        const subscription = this.#subscriptions.active.get(number);
        if (subscription === undefined) return undefined;
        const gap: Gap = { type: "gap", subscription: number, after, seq };
        return this.#announced({ subscription: number }, length, { subscription, gap });
      }
      case "chunk":
        return this.#handleChunk(frame, random);
      case "window":
        this.#requests.window(frame.request, frame.bytes);
        return undefined;
      case "ephemeral":
        return this.#handleEphemeral(frame);
      case "task":
        if (this.#tasks?.take(frame) === true) return { type: "task", task: frame };
        return violation("a task came to a client that has its fill, or is no worker");
      case "notice":
        return this.#handleNotice(frame.notice);
      case "pong":
        return undefined;
    }
  }

  #handleWelcome(welcome: Welcome): Output<C, S> {
    if (this.#isReady) return violation("a second welcome came");
    if (welcome.version !== 1 || welcome.resumeToken.length > 2 * TOKEN_BYTES_MAX) {
      return violation("the welcome is not one that this client can use");
    }
    const before = this.#welcome?.session;
    const resumed = welcome.resumed && before === welcome.session;
    const unknown = before === undefined || resumed ? [] : this.#requests.startOver();
    if (!resumed) this.#acknowledgedSent = 0;
    this.#welcome = welcome;
    this.#resume = welcome.resumeToken;
    this.#isReady = true;
    for (const subscription of this.#subscriptions.active.values()) {
      this.out.push(subscription.frame());
    }
    this.#requests.welcomed(welcome.limits);
    const ready = this.#tasks?.welcomed(resumed);
    if (ready !== undefined) this.out.push(ready);
    return { type: "ready", welcome, resumed, unknown };
  }

  #handleReply(reply: Reply, random: number): Output<C, S> | undefined {
    const { request, outcome } = reply;
    if ("subscription" in request) {
      return this.#handleSubscribed(request.subscription, outcome, random);
    }
    const pending = this.#requests.find(request);
    // Nobody waits for it: a repeat of an answer that was given before. Bytes behind it are passed over.
    if (pending === undefined) return undefined;
    if ("failure" in outcome) return this.#failed(pending, outcome.failure, random);
    const length = attachedLength(reply.ext);
    if (length !== undefined) {
      return this.#announced(request, length, { pending, success: outcome.success });
    }
    return this.#answered(pending, outcome.success);
  }

  #answered(pending: Pending<C>, answer: Answered): Output<C, S> | undefined {
    const ticket = this.#requests.answered(pending);
    return ticket && { type: "answer", ticket, answer };
  }

  #failed(pending: Pending<C>, failure: Failure, random: number): Output<C, S> | undefined {
    const waitMs = this.#requests.refused(pending, failure, random);
    if (waitMs !== undefined) return { type: "wait", again: pending, waitMs };
    const ticket = this.#requests.answered(pending);
    return ticket && { type: "failure", ticket, failure };
  }

  #handleSubscribed(
    number: number,
    outcome: Reply["outcome"],
    random: number,
  ): Output<C, S> | undefined {
    const subscription = this.#subscriptions.active.get(number);
    if (subscription === undefined) return undefined;
    if ("success" in outcome) {
      const { seq } = outcome.success;
      subscription.cursor.beganAt(seq);
      return { type: "subscribed", subscription, seq };
    }
    const { failure } = outcome;
    this.#assemblies.drop({ subscription: number });
    if (mayBeRetried(failure.code)) return this.#askAgain(subscription, failure, random);
    this.#subscriptions.end(subscription);
    return { type: "subscriptionEnded", ticket: subscription.ticket, failure };
  }

  #askAgain(
    subscription: Subscription<S>,
    failure: Failure | undefined,
    random: number,
  ): Output<C, S> {
    const waitMs = Math.max(subscription.waitMs(random), failure?.retryAfterMs ?? 0);
    return { type: "wait", again: subscription, waitMs };
  }

  #announced(
    request: Reply["request"],
    length: number,
    frame: Announcing<C, S>,
  ): Output<C, S> | undefined {
    if (this.#assemblies.announce(request, length, frame)) return undefined;
    return violation("bytes are announced in a wrong way, or more than are ever sent");
  }

  #handleChunk(chunk: Chunk, random: number): Output<C, S> | undefined {
    const assembled = this.#assemblies.add(chunk);
    if (assembled === undefined) return undefined;
    const { frame, bytes } = assembled;
    if ("gap" in frame) {
      if (!this.#holds(frame.subscription)) return undefined;
      if (bytes === undefined) return this.#cutGap(frame.subscription, random);
      const snapshot = parsed(bytes);
      if (snapshot === undefined) return violation("a snapshot is no JSON");
      return this.#handleGap({ ...frame.gap, snapshot: snapshot.value });
    }
    const { pending, success } = frame;
    if (bytes !== undefined) return this.#answered(pending, { ...success, bytes });
    const failure: Failure = { code: "unavailable", message: "the answer was cut off" };
    return this.#failed(pending, failure, random);
  }

  /** What follows would skip the snapshot, so it is asked for anew, under another number. */
  #cutGap(subscription: Subscription<S>, random: number): Output<C, S> {
    this.halt(subscription);
    this.#subscriptions.add(subscription);
    return this.#askAgain(subscription, undefined, random);
  }

  #handleEvent(event: Event): Output<C, S> | undefined {
    const subscription = this.#subscriptions.active.get(event.subscription);
    if (subscription === undefined) return undefined;
    const { seq, kind, timeMs, data } = event;
    const verdict = subscription.cursor.event(seq);
    if (verdict === "skip") return violation("events are missing");
    if (verdict === "repeat") return undefined;
    const item: Item = { type: "event", seq, kind, time: new Date(timeMs), data: data ?? null };
    return { type: "item", subscription, item };
  }

  #handleGap({ subscription: number, after, seq, snapshot }: Gap): Output<C, S> | undefined {
    const subscription = this.#subscriptions.active.get(number);
    if (subscription?.cursor.gap(after, seq) !== "next") return undefined;
    const item: Item = { type: "gap", after, seq, snapshot: snapshot ?? null };
    return { type: "item", subscription, item };
  }

  #handleEphemeral(message: Ephemeral): Output<C, S> | undefined {
    const subscription = this.#subscriptions.active.get(message.subscription);
    if (subscription === undefined) return undefined;
    const { from, name, data, dataBase64 } = message;
    const told = dataBase64 === undefined ? (data ?? null) : tryBase64(dataBase64);
    return { type: "item", subscription, item: { type: "ephemeral", from, name, data: told } };
  }

  #handleNotice(notice: Notice): Output<C, S> | undefined {
    if ("taskCancelled" in notice && this.#tasks?.has(notice.taskCancelled) !== true) {
      // Its end was said and has got lost, or is on its way: the place is free either way.
      const failure: Failure = { code: "unavailable", message: "the work has ended" };
      this.out.push({ type: "stepResult", lease: notice.taskCancelled, report: { failure } });
      return undefined;
    }
    if ("resultRefused" in notice) this.#tasks?.forget(notice.resultRefused);
    return { type: "notice", notice };
  }

  #handleGoodbye(failure: Failure | null | undefined): Output<C, S> {
    if (failure === undefined || failure === null) {
      return reconnect("unavailable", "the server ended the connection");
    }
    if (failure.code === "session_expired" && this.#resume !== undefined) {
      this.#resume = undefined;
      return { type: "reconnect", reason: failure };
    }
    if (mayBeRetried(failure.code) || failure.code === "internal") {
      return { type: "reconnect", reason: failure };
    }
    return { type: "closed", failure };
  }

  #begin(subscription: Subscription<S>): void {
    this.#subscriptions.add(subscription);
    if (this.#isReady) this.out.push(subscription.frame());
  }

  #unsubscribed({ number: subscription }: Subscription<S>): void {
    this.#assemblies.drop({ subscription });
    if (this.#isReady) this.out.push({ type: "unsubscribe", subscription });
  }

  #holds(subscription: Subscription<S>): boolean {
    return this.#subscriptions.active.get(subscription.number) === subscription;
  }

  /** Positions that the server was not told. */
  #news(): [Subscription<S>, number][] {
    const news: [Subscription<S>, number][] = [];
    for (const subscription of this.#subscriptions.active.values()) {
      const { since } = subscription.cursor;
      if (since !== "latest" && since.after > subscription.reported) {
        news.push([subscription, since.after]);
      }
    }
    return news;
  }
}

function reconnect(
  code: "unavailable" | "malformed",
  message: string,
  address?: string,
): { type: "reconnect"; address?: string; reason: Failure } {
  const reason: Failure = { code, message };
  return address === undefined
    ? { type: "reconnect", reason }
    : { type: "reconnect", address, reason };
}

/** The server does not keep to the protocol. */
function violation(message: string): { type: "reconnect"; reason: Failure } {
  return reconnect("malformed", message);
}

function parsed(bytes: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(new TextDecoder().decode(bytes)) };
  } catch {
    return undefined;
  }
}
