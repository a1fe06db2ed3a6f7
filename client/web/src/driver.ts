/**
 * The driver of a session: owns the machine and the present connection, carries frames, keeps time, and tells callers
 * and listeners what became of theirs. `connect` makes one; nothing here knows what requests mean.
 */

import { SelvedgeError } from "./errors.js";
import { ACKNOWLEDGE_MS, LASTING_MS } from "./limits.js";
import type { Established } from "./link/connector.js";
import type { Connector } from "./link/connector.js";
import { loaded } from "./later.js";
import type { Link, Transport } from "./link/link.js";
import { Silence } from "./link/silence.js";
import type { Item, Output } from "./session/machine.js";
import { Machine } from "./session/machine.js";
import type { Pump } from "./pump.js";
import { namedServers } from "./session/extensions.js";
import type { ServerFrame, SessionLimits, Success, Task } from "./wire/frames.js";

/** Who waits for an answer. */
export interface Ticket {
  /** Of a payload that follows its command in pieces. */
  readonly payload?: Uint8Array | Blob | undefined;
  answer(answer: Success): void;
  fail(error: SelvedgeError): void;
  /** The request is of no use any more: takes it out of the session as well. */
  giveUp(error: SelvedgeError): void;
}

/** Who listens to events. */
export interface Listener {
  subscribed(seq: number): void;
  /** Whether there is room for more. */
  take(item: Item): boolean;
  end(error: SelvedgeError): void;
}

/** Who executes tasks. */
export interface TaskHandler {
  start(task: Task): void;
  /** The lease is void; without one, all are. */
  void(lease?: number): void;
  end(error: SelvedgeError): void;
}

/** How the client stands to the cluster. */
export type State = "connecting" | "open" | "reconnecting" | "draining" | "closed";

/** The session, as its last Welcome told it. */
export interface SessionInfo {
  id: string;
  /** The name of the node that serves it. */
  node: string;
  /** Whether it went on with what it was before the connection was made; else it is a new one. */
  resumed: boolean;
  /** How it is carried at present. */
  transport: Transport;
  limits: SessionLimits;
}

export interface DriverOptions {
  connector: Connector;
  tenant?: string | undefined;
  agent: string;
  keepAliveMs?: number | undefined;
}

/** Why a connection is left: `again` to go on over another one, else for good. */
interface Leave {
  again: boolean;
  error: SelvedgeError;
}

export class Driver {
  readonly machine = new Machine<Ticket, Listener>();
  readonly #options: DriverOptions;
  readonly #connector: Connector;
  readonly #silence = new Silence();
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(state: State, why?: SelvedgeError) => void>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  state: State = "connecting";
  session: SessionInfo | undefined;
  #link: Link | undefined;
  #leave: ((leave: Leave) => void) | undefined;
  #lookTimer: ReturnType<typeof setTimeout> | undefined;
  #isAcknowledging = false;
  #pump: Pump | undefined;
  /** Whether a request was sent since the last look. */
  #hasAsked = false;
  #pings = 0;
  #readySince = Infinity;
  /** Why there is no session yet, for whoever has waited long enough. */
  lastError: SelvedgeError | undefined;
  #tasks: TaskHandler | undefined;
  /** Settled when the driver has ended. */
  readonly ended: Promise<void>;
  /** Settled by the first Welcome, or by what came instead. */
  readonly opened: Promise<void>;
  #settle: { resolve: () => void; reject: (error: SelvedgeError) => void } | undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#connector = options.connector;
    this.opened = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ended = this.#run();
  }

  onState(listener: (state: State, why?: SelvedgeError) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Sends what the machine has to say. Call it after each word with the machine. */
  flush(): void {
    const link = this.#link;
    if (link === undefined) return;
    do {
      const frames = this.machine.out;
      this.machine.out = [];
      for (const frame of frames) {
        this.#hasAsked ||= ["command", "query", "subscribe"].includes(frame.type);
        link.send(frame);
      }
    } while (this.#pump?.turn(link));
    this.#acknowledgeSoon();
  }

  /** Makes sure that payloads are sent. Few programs have any, so its code is loaded when it is needed. */
  async pump(): Promise<void> {
    const { Pump } = await loaded(() => import("./pump.js"));
    this.#pump ??= new Pump(this, SelvedgeError);
    this.flush();
  }

  /** Who executes tasks from now on; the one before is told that it is over. */
  setTaskHandler(handler: TaskHandler): void {
    this.#tasks?.end(new SelvedgeError("closed", "another worker has the session"));
    this.#tasks = handler;
  }

  /** The network may have changed. */
  doubt(): void {
    this.#connector.hurry();
    this.#silence.doubt();
    if (this.#link !== undefined) this.#lookSoon(0);
  }

  /** Ends the session: tells the server, fails what is waiting. */
  stop(reason: SelvedgeError): Promise<void> {
    if (!this.#stopping.signal.aborted) this.#stopping.abort(reason);
    return this.ended;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let end: unknown;
    while (end === undefined && !signal.aborted) {
      const { again, error } = await this.#once(signal);
      this.lastError = error;
      // Before the session is open for the first time, whoever waits for it is told of what will not pass.
      const isOpen = this.session !== undefined;
      const mayPass = isOpen || error.retryable || error.code === "session_expired";
      if (!again || !mayPass) end = error;
      else if (isOpen && !this.#stopping.signal.aborted) this.#setState("reconnecting", error);
    }
    this.#end(known(signal.aborted ? signal.reason : end));
  }

  /** One connection, from the attempt to make it to its end. */
  async #once(signal: AbortSignal): Promise<Leave> {
    try {
      return await this.#serve(await this.#connector.establish(signal));
    } catch (error) {
      return { again: true, error: known(error) };
    }
  }

  /** Uses a connection until there is a reason to leave it. */
  async #serve({ link, token }: Established): Promise<Leave> {
    this.#link = link;
    this.#readySince = Infinity;
    this.#silence.connected();
    const left = new Promise<Leave>((resolve) => (this.#leave = resolve));
    link.receiver = {
      frame: (frame) => {
        this.#handle(frame);
        this.flush();
      },
      broken: (error) => {
        this.#connector.spoilt(link);
        this.#depart({ again: true, error });
      },
      closed: (failure) => {
        this.#handle({ type: "goodbye", failure });
      },
    };
    const stop = (): void => {
      this.#depart({ again: false, error: known(this.#stopping.signal.reason) });
    };
    this.#stopping.signal.addEventListener("abort", stop);
    const { tenant, agent } = this.#options;
    this.machine.connected({ token, tenant, agent });
    this.flush();
    this.#lookSoon(this.#silence.stepMs);
    if (this.#stopping.signal.aborted) stop();
    const leave = await left;
    this.#stopping.signal.removeEventListener("abort", stop);
    await this.#hangUp(link, leave);
    return leave;
  }

  /** Nothing that still comes over the connection counts. */
  #depart(leave: Leave): void {
    if (this.#link !== undefined) this.#link.receiver = undefined;
    this.#leave?.(leave);
  }

  async #hangUp(link: Link, { error }: Leave): Promise<void> {
    clearTimeout(this.#lookTimer);
    this.#leave = undefined;
    const isStopping = this.#stopping.signal.aborted;
    if (isStopping) {
      this.machine.say({ type: "goodbye" });
      this.flush();
    }
    this.#link = undefined;
    this.machine.disconnected();
    if (performance.now() - this.#readySince >= LASTING_MS) {
      this.#connector.lasted();
      this.#silence.lasted();
    } else if (error.code !== "session_expired") {
      this.#connector.spoilt(link);
    }
    if (isStopping) await link.close();
    link.abandon();
  }

  #handle(frame: ServerFrame): void {
    if (frame.type === "welcome" || frame.type === "reply") {
      this.#connector.servers.learn(namedServers(frame.ext));
    }
    const output = this.machine.handle(frame, Math.random());
    if (output !== undefined) this.#carryOut(output);
  }

  #carryOut(output: Output<Ticket, Listener>): void {
    switch (output.type) {
      case "ready":
        this.#ready(output);
        break;
      case "answer":
        output.ticket.answer(output.answer);
        break;
      case "failure":
        output.ticket.fail(SelvedgeError.of(output.failure));
        break;
      case "wait":
        this.after(output.waitMs, () => {
          this.machine.sendAgain(output.again);
        });
        break;
      case "subscribed":
        output.subscription.ticket.subscribed(output.seq);
        break;
      case "item":
        if (!output.subscription.ticket.take(output.item)) this.machine.halt(output.subscription);
        break;
      case "subscriptionEnded":
        output.ticket.end(SelvedgeError.of(output.failure));
        break;
      case "task":
        this.#tasks?.start(output.task);
        break;
      case "notice":
        this.#notice(output);
        break;
      case "reconnect": {
        const error = SelvedgeError.of(output.reason);
        if (output.address !== undefined) this.#connector.servers.redirect(output.address);
        else if (error.retryable || error.code === "internal") this.#connector.servers.leave();
        this.#depart({ again: true, error });
        break;
      }
      case "closed":
        this.#depart({ again: false, error: SelvedgeError.of(output.failure) });
        break;
    }
  }

  #ready({
    welcome,
    resumed,
    unknown,
  }: Extract<Output<Ticket, Listener>, { type: "ready" }>): void {
    this.#readySince = performance.now();
    const { session: id, node, limits } = welcome;
    const transport = this.#link?.transport ?? "websocket";
    this.session = { id, node, resumed, transport, limits };
    if (!resumed) this.#tasks?.void();
    for (const ticket of unknown) ticket.fail(outcomeUnknown());
    this.#settle?.resolve();
    this.#setState("open");
  }

  #notice({ notice }: Extract<Output<Ticket, Listener>, { type: "notice" }>): void {
    if ("draining" in notice) {
      const message = `the node stops in ${notice.draining} ms`;
      this.#setState("draining", new SelvedgeError("unavailable", message));
    } else if ("taskCancelled" in notice) {
      this.#tasks?.void(notice.taskCancelled);
    } else if ("resultRefused" in notice) {
      this.#tasks?.void(notice.resultRefused);
    }
  }

  /** Looks whether the server is there, and leaves it if it is not. */
  #look(): void {
    const { machine } = this;
    const verdict = this.#silence.look(
      {
        now: performance.now(),
        messages: this.#link?.received ?? 0,
        expecting: !machine.isReady ? "welcome" : this.#hasAsked ? "answer" : "something",
      },
      this.#probeMs(),
    );
    this.#hasAsked = false;
    if (verdict === "dead") {
      this.#connector.servers.leave();
      const error = new SelvedgeError("unavailable", "the server does not answer");
      this.#depart({ again: true, error });
      return;
    }
    if (verdict === "probe") {
      this.#pings += 1;
      machine.say({ type: "ping", nonce: this.#pings });
      this.flush();
    }
    this.#lookSoon(this.#silence.stepMs);
  }

  #lookSoon(ms: number): void {
    clearTimeout(this.#lookTimer);
    this.#lookTimer = setTimeout(() => {
      this.#look();
    }, ms);
  }

  /** Silence after which the server is asked for a sign of life. */
  #probeMs(): number {
    const third = Math.max((this.session?.limits.idleMs ?? 0) / 3, PROBE_MS_MIN);
    const { machine } = this;
    const isWaiting = machine.isListening || machine.requests.hasUnanswered;
    return this.#options.keepAliveMs ?? (isWaiting ? Math.min(third, PROBE_MS) : third);
  }

  #acknowledgeSoon(): void {
    if (this.#isAcknowledging || !this.machine.hasNews) return;
    this.#isAcknowledging = true;
    this.after(ACKNOWLEDGE_MS, () => {
      this.#isAcknowledging = false;
      this.machine.acknowledge();
    });
  }

  /** Does something later, unless the driver has ended by then, and sends what comes of it. */
  after(ms: number, what: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      what();
      this.flush();
    }, ms);
    this.#timers.add(timer);
  }

  #setState(state: State, why?: SelvedgeError): void {
    this.state = state;
    for (const listener of [...this.#listeners]) {
      try {
        listener(state, why);
      } catch (error) {
        // The program's own, and none of the session's business.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Tells everybody that it is over. */
  #end(error: SelvedgeError): void {
    for (const timer of this.#timers) clearTimeout(timer);
    const { callers, listeners } = this.machine.end();
    for (const ticket of callers) ticket.fail(error);
    for (const listener of listeners) listener.end(error);
    this.#tasks?.end(error);
    this.#settle?.reject(error);
    this.#setState("closed", error);
  }
}

export function outcomeUnknown(): SelvedgeError {
  return new SelvedgeError(
    "outcome_unknown",
    "the session was lost, a command may still take effect: look, or give it an id",
  );
}

function known(error: unknown): SelvedgeError {
  if (error instanceof SelvedgeError) return error;
  return new SelvedgeError("internal", `a defect of the SDK: ${String(error)}`, { cause: error });
}

/** Silence after which a server is asked while its answers or events are waited for: a lost one shows within eight seconds. */
const PROBE_MS = 5_000;
/** A server that states no idle time is no reason to talk without end. */
const PROBE_MS_MIN = 1_000;
