/**
 * Whether the server is dead: nothing at all has come from it although it was asked. Pure: the driver looks now and
 * then and does what it says.
 *
 * A sign of life is any message. Time counts in looks: one that comes late, because this machine was busy or asleep or
 * the browser holds timers of hidden pages back, counts like one in time, so nobody is blamed for that.
 */

/** What the client expects of the server. */
export type Expecting =
  /** Whatever it may say by itself. */
  | "something"
  /** The answer to what was sent since the last look. */
  | "answer"
  /** The Welcome: nothing else is said before it. */
  | "welcome";

/** What the driver sees when it looks. */
export interface Look {
  /** Milliseconds since any moment before the first look. */
  now: number;
  /** Messages that have come over this connection. */
  messages: number;
  expecting: Expecting;
}

/** Look again in a moment; send a Ping as well; or leave. */
export type Verdict = "wait" | "probe" | "dead";

/** Between looks while an answer is expected. */
const LOOK_MS = 250;
/** Between looks while nothing new is. */
const LOOK_MS_MAX = 1_000;
/** Silence after a request that makes it worth a Ping: more than most answers take. */
const QUIET_MS = 1_000;
/** Silence after which a server that was asked is dead. In it TCP repeats what was sent three times and more. */
const SILENT_MS_MAX = 2_500;
/** The same for one that was just connected to: it may be greeting all clients of one that is lost. */
const WELCOME_MS_MAX = 5_000;
/** Each alarm in a row doubles the patience, so many times: a server that is too busy to say anything is not made busier by clients that come back. */
const ALARMS_MAX = 2;

export class Silence {
  #lookedAt: number | undefined;
  #messages = 0;
  /** Silence as far as it was watched. */
  #quietMs = 0;
  /** Something was sent that is not known to have arrived. */
  #isFresh = false;
  /** The silence since the server was asked, if it was. */
  #askedMs: number | undefined;
  /** Connections in a row that were left for silence. */
  #alarms = 0;
  #stepMs = LOOK_MS;

  /** How soon to look again. */
  get stepMs(): number {
    return this.#stepMs;
  }

  /** There is a new connection. */
  connected(): void {
    this.#messages = 0;
    this.#stepMs = LOOK_MS;
    this.#lookedAt = undefined;
    this.#quietMs = 0;
    this.#isFresh = false;
    this.#askedMs = undefined;
  }

  /** The connection was a good one. */
  lasted(): void {
    this.#alarms = 0;
  }

  /** The network may have changed: the server is asked at the next look. */
  doubt(): void {
    this.#quietMs = Infinity;
  }

  /** `probeMs`: silence after which a server is asked that owes nothing new. */
  look(look: Look, probeMs: number): Verdict {
    const passed = Math.min(look.now - (this.#lookedAt ?? look.now), 2 * this.#stepMs);
    this.#lookedAt = look.now;
    if (look.messages !== this.#messages) {
      this.#messages = look.messages;
      this.#quietMs = 0;
      this.#askedMs = undefined;
      this.#isFresh = look.expecting === "answer";
    } else {
      this.#quietMs += passed;
      this.#isFresh ||= look.expecting === "answer";
      if (this.#askedMs !== undefined) this.#askedMs += passed;
    }
    const verdict = this.#verdict(look.expecting, probeMs);
    const isSoon = this.#askedMs !== undefined || this.#isFresh;
    this.#stepMs = isSoon ? LOOK_MS : Math.min(Math.max(probeMs / 2, LOOK_MS), LOOK_MS_MAX);
    return verdict;
  }

  #verdict(expecting: Expecting, probeMs: number): Verdict {
    const patience = expecting === "welcome" ? WELCOME_MS_MAX : SILENT_MS_MAX;
    if (this.#askedMs !== undefined) {
      if (this.#askedMs < patience * 2 ** Math.min(this.#alarms, ALARMS_MAX)) return "wait";
      this.#alarms += 1;
      return "dead";
    }
    if (expecting === "welcome") {
      // The Hello has asked.
      this.#askedMs = 0;
    } else if (this.#quietMs >= (this.#isFresh ? Math.min(QUIET_MS, probeMs) : probeMs)) {
      this.#askedMs = 0;
      this.#isFresh = false;
      return "probe";
    }
    return "wait";
  }
}
