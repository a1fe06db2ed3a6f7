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
  ClientFrame,
  Ephemeral,
  Event,
  Gap,
  LargeGap,
  Notice,
  Reply,
  ServerFrame,
  Since,
  Success,
  Target,
  Task,
  Welcome,
} from "../wire/frames.js";
import type { Done } from "./assembly.js";
import { Assemblies } from "./assembly.js";
import { ATTACHED, extensionLength } from "./extensions.js";
import type { Pending } from "./pending.js";
import { Requests } from "./requests.js";
import { Subscription, Subscriptions } from "./subscriptions.js";
import type { Tasks } from "./tasks.js";

/** What a subscriber hears. */
export type Item =
  /** A fact that the actor committed; `seq` counts them from 1, without gaps. */
  | { type: "event"; seq: number; kind: string; time: Date; data: unknown }
  /** Events up to `seq` are no longer stored, or the actor has ended since: go on from this state. */
  | { type: "gap"; after: number; seq: number; snapshot: unknown }
  /** A message that was not stored and may get lost. */
  | { type: "ephemeral"; from: string; name: string; data: unknown };

/** What a frame of the server means for the driver and its callers. */
export type Output<C, S> =
  /** The session is open, and what waited is sent. `unknown`: whose commands may or may not have taken effect. */
  | { type: "ready"; welcome: Welcome; resumed: boolean; unknown: C[] }
  | { type: "answer"; ticket: C; answer: Success }
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

export class Machine<C, S> {
  /** Frames to send, for the driver to take. */
  out: ClientFrame[] = [];
  /** Commands and queries that are not answered. */
  readonly requests = new Requests<C>((frame) => this.out.push(frame));
  readonly #subscriptions = new Subscriptions<S>();
  readonly #assemblies = new Assemblies<Output<C, S> | undefined>();
  /** Of a client that is a worker. */
  tasks: Tasks | undefined;
  #welcome: Welcome | undefined;
  #resume: string | undefined;
  /** Whether this connection's Welcome has come. */
  #isReady = false;
  /** The `acknowledged` that the server knows of. */
  #acknowledgedSent = 0;

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Whether the client waits for what the server says by itself: events, or tasks. */
  get isListening(): boolean {
    return this.#subscriptions.active.size > 0 || this.tasks !== undefined;
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
    this.requests.disconnected();
    this.#assemblies.clear();
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
      this.requests.sendAgain(again);
    } else if (this.#isReady && again.isParked && this.#holds(again)) {
      this.out.push(again.frame());
    }
  }

  /** A word that means nothing later: lost without a connection. */
  say(frame: ClientFrame): void {
    if (this.#isReady) this.out.push(frame);
  }

  /** Whether there is something to acknowledge. */
  get hasNews(): boolean {
    return this.#news().length > 0 || this.requests.acknowledged > this.#acknowledgedSent;
  }

  /** Tells the server what has been received, if it does not know already. */
  acknowledge(): void {
    if (!this.#isReady || !this.hasNews) return;
    const { acknowledged } = this.requests;
    this.#acknowledgedSent = acknowledged;
    const positions = this.#news().map(([subscription, seq]) => {
      subscription.reported = seq;
      return { subscription: subscription.number, seq };
    });
    this.out.push({ type: "ack", acknowledged, positions });
  }

  /** The session ends: all who wait, and all who listen. */
  end(): { callers: C[]; listeners: S[] } {
    const listeners = [...this.#subscriptions.all()].map(({ ticket }) => ticket);
    return { callers: this.requests.tickets(), listeners };
  }

  /** Carries out a frame of the server. `random`, from 0 to 1, spreads retries; any value is right. */
  handle(frame: ServerFrame, random: number): Output<C, S> | undefined {
    if (frame.type === "welcome") return this.#handleWelcome(frame);
    if (frame.type === "goodbye") return this.#handleGoodbye(frame.failure);
    if (frame.type === "redirect") {
      return reconnect("unavailable", "the server named another", frame.address);
    }
    if (!this.#isReady) return violation(frame);
    switch (frame.type) {
      case "reply":
        return this.#handleReply(frame, random);
      case "event":
        return this.#handleEvent(frame);
      case "gap":
        return this.#handleGap(frame);
      case "largeGap":
        return this.#handleLargeGap(frame, random);
      case "chunk":
        return this.#assemblies.add(frame);
      case "window":
        this.requests.window(frame.request, frame.bytes);
        return undefined;
      case "ephemeral":
        return this.#handleEphemeral(frame);
      case "task":
        if (this.tasks?.take(frame) === true) return { type: "task", task: frame };
        // It has its fill, or is no worker.
        return violation(frame);
      case "notice":
        return this.#handleNotice(frame);
      case "pong":
        return undefined;
    }
  }

  #handleWelcome(welcome: Welcome): Output<C, S> {
    const isUsable = welcome.version === 1 && welcome.resumeToken.length <= 2 * TOKEN_BYTES_MAX;
    // The only one of its connection.
    if (this.#isReady || !isUsable) return violation(welcome);
    const before = this.#welcome?.session;
    const resumed = welcome.resumed && before === welcome.session;
    const unknown = before === undefined || resumed ? [] : this.requests.startOver();
    if (!resumed) this.#acknowledgedSent = 0;
    this.#welcome = welcome;
    this.#resume = welcome.resumeToken;
    this.#isReady = true;
    for (const subscription of this.#subscriptions.active.values()) {
      this.out.push(subscription.frame());
    }
    this.requests.welcomed(welcome.limits);
    const ready = this.tasks?.welcomed(resumed);
    if (ready !== undefined) this.out.push(ready);
    return { type: "ready", welcome, resumed, unknown };
  }

  #handleReply(reply: Reply, random: number): Output<C, S> | undefined {
    const { request, outcome } = reply;
    if ("subscription" in request) {
      return this.#handleSubscribed(request.subscription, outcome, random);
    }
    const pending = this.requests.find(request);
    // Nobody waits for it: a repeat of an answer that was given before. Bytes behind it are passed over.
    if (pending === undefined) return undefined;
    if ("failure" in outcome) return this.#failed(pending, outcome.failure, random);
    const length = extensionLength(reply.ext, ATTACHED);
    if (length !== undefined) {
      const { success } = outcome;
      return this.#announced(reply, request, length, (bytes) =>
        bytes === undefined
          ? this.#failed(pending, CUT_OFF, random)
          : this.#answered(pending, { ...success, bytes }),
      );
    }
    return this.#answered(pending, outcome.success);
  }

  #answered(pending: Pending<C>, answer: Success): Output<C, S> | undefined {
    const ticket = this.requests.answered(pending);
    return ticket && { type: "answer", ticket, answer };
  }

  #failed(pending: Pending<C>, failure: Failure, random: number): Output<C, S> | undefined {
    const waitMs = this.requests.refused(pending, failure, random);
    if (waitMs !== undefined) return { type: "wait", again: pending, waitMs };
    const ticket = this.requests.answered(pending);
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
    frame: ServerFrame,
    request: Reply["request"],
    length: number,
    done: Done<Output<C, S> | undefined>,
  ): Output<C, S> | undefined {
    // Else more than is ever sent.
    return this.#assemblies.announce(request, length, done) ? undefined : violation(frame);
  }

  #handleLargeGap(frame: LargeGap, random: number): Output<C, S> | undefined {
    const { subscription: number, after, seq, length } = frame;
    const subscription = this.#subscriptions.active.get(number);
    if (subscription === undefined) return undefined;
    return this.#announced(frame, { subscription: number }, length, (bytes) => {
      if (!this.#holds(subscription)) return undefined;
      if (bytes === undefined) return this.#cutGap(subscription, random);
      try {
        const snapshot: unknown = JSON.parse(new TextDecoder().decode(bytes));
        return this.#handleGap({ subscription: number, after, seq, snapshot });
      } catch {
        return violation(frame);
      }
    });
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
    // Those before it are missing.
    if (verdict === "skip") return violation(event);
    if (verdict === "repeat") return undefined;
    const item: Item = { type: "event", seq, kind, time: new Date(timeMs), data: data ?? null };
    return { type: "item", subscription, item };
  }

  #handleGap({
    subscription: number,
    after,
    seq,
    snapshot,
  }: Omit<Gap, "type">): Output<C, S> | undefined {
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

  #handleNotice({ notice }: { notice: Notice }): Output<C, S> | undefined {
    const answer = this.tasks?.answer(notice);
    if (answer === undefined) return { type: "notice", notice };
    this.out.push(answer);
    return undefined;
  }

  #handleGoodbye(failure: Failure | null | undefined): Output<C, S> {
    if (failure === undefined || failure === null) {
      return reconnect("unavailable", "the connection was lost");
    }
    if (failure.code === "session_expired" && this.#resume !== undefined) {
      this.#resume = undefined;
      return { type: "reconnect", reason: failure };
    }
    // Who was let in shows the credential that is good now.
    const hasEnded = failure.code === "unauthenticated" && this.isReady;
    if (mayBeRetried(failure.code) || failure.code === "internal" || hasEnded) {
      return { type: "reconnect", reason: failure };
    }
    return { type: "closed", failure };
  }

  #begin(subscription: Subscription<S>): void {
    this.#subscriptions.add(subscription);
    this.say(subscription.frame());
  }

  #unsubscribed({ number: subscription }: Subscription<S>): void {
    this.#assemblies.drop({ subscription });
    this.say({ type: "unsubscribe", subscription });
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
function violation({ type }: ServerFrame): { type: "reconnect"; reason: Failure } {
  return reconnect("malformed", `the server sent a ${type} out of place`);
}

const CUT_OFF: Failure = { code: "unavailable", message: "the answer was cut off" };
