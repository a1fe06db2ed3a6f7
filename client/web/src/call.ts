/** Calls: a command or query of a caller, from its options to the promise of its answer. */

import type { Driver, Ticket } from "./driver.js";
import { outcomeUnknown } from "./driver.js";
import { SelvedgeError } from "./errors.js";
import { checkedCommandId, checkedName, checkedTarget, invalid } from "./ids.js";
import { checkSize, written } from "./json.js";
import { INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX, RETRY_MS_MAX } from "./limits.js";
import { lengthBehind } from "./session/requests.js";
import { toBase64 } from "./wire/base64.js";
import type { Command, Consistency, Payload, Query, Success, Target } from "./wire/frames.js";

/** A success. */
export interface Answer<T> {
  body: T;
  /** The last event of the actor, as of this answer. */
  seq: number;
  /** The version of the actor's record, raised by one with each commit. */
  version: number;
}

export interface CallOptions {
  /** The request is refused if it was not decided this long after its arrival; the call ends then as well. */
  deadlineMs?: number | undefined;
  /** Ends the wait. A command that was sent already may still take effect. */
  signal?: AbortSignal | undefined;
}

export interface CommandOptions extends CallOptions {
  /** A UUID of the caller's choice: the command is recognised by it beyond this session. */
  id?: string | undefined;
  /** Bytes beside the arguments, not to be changed before the answer. Over 8 MiB are handed through, which only operations take. */
  payload?: Uint8Array | Blob | undefined;
}

export interface QueryOptions extends CallOptions {
  /** `eventual`: any committed state will do, also a little old one. */
  consistency?: Consistency | undefined;
}

/** Makes a request and waits for its answer, its deadline or its signal. */
export function call<T>(
  driver: Driver,
  type: "command" | "query",
  target: Target,
  name: string,
  body: unknown,
  options: CommandOptions & QueryOptions = {},
  read: (answer: Success) => unknown = jsonOf,
): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    if (driver.state === "closed") throw closed();
    const { signal, deadlineMs, payload } = options;
    if (signal?.aborted === true) throw aborted(signal);
    const frame = request(driver, type, target, name, body, options);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const fail = (error: SelvedgeError): void => {
      settle();
      reject(error.code === "outcome_expired" ? outcomeUnknown() : error);
    };
    const giveUp = (error: SelvedgeError): void => {
      fail(error);
      driver.machine.requests.abandon(pending);
      driver.flush();
    };
    const onAbort = (): void => {
      if (signal !== undefined) giveUp(aborted(signal));
    };
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const ticket: Ticket = {
      payload,
      fail,
      giveUp,
      answer: (answer) => {
        settle();
        try {
          resolve({ body: read(answer) as T, seq: answer.seq, version: answer.version });
        } catch (cause) {
          reject(new SelvedgeError("malformed", "the answer is no JSON", { cause }));
        }
      },
    };
    const pending = driver.machine.requests.ask(frame, deadlineMs ?? RETRY_MS_MAX, ticket);
    if (lengthBehind(frame) !== undefined) driver.pump().catch(giveUp);
    signal?.addEventListener("abort", onAbort);
    if (deadlineMs !== undefined && deadlineMs <= TIMER_MS_MAX) {
      timer = setTimeout(() => {
        giveUp(tooLate());
      }, deadlineMs);
    }
    driver.flush();
  });
}

/** Puts a request together; throws where something of it is wrong. Its number it gets when it is sent. */
function request(
  driver: Driver,
  type: "command" | "query",
  target: Target,
  name: string,
  body: unknown,
  { id, deadlineMs, consistency, payload }: CommandOptions & QueryOptions,
): Command | Query {
  const { text, bytes } = written("body", body, "{}");
  const max = Math.min(driver.session?.limits.inlineBytes ?? Infinity, INLINE_BYTES_MAX);
  const placed = payload && place(payload, max - bytes, driver);
  checkSize("body", bytes, max, "send what is large as the payload");
  if (deadlineMs !== undefined && !(deadlineMs >>> 0 === deadlineMs && deadlineMs > 0)) {
    throw invalid("deadlineMs", "1 to 4294967295 whole milliseconds");
  }
  return {
    type,
    number: 0,
    deadlineMs,
    id: id && checkedCommandId(id),
    target: checkedTarget(target),
    name: checkedName(name),
    body: text,
    consistency,
    payload: placed,
  };
}

/** How the bytes travel: in the frame where there is room, stored from pieces behind it, or handed through. */
function place(payload: Uint8Array | Blob, room: number, driver: Driver): Payload {
  const isBlob = payload instanceof Blob;
  const length = isBlob ? payload.size : payload.length;
  // To read a Blob takes a moment, in which later commands would overtake this one.
  if (length === 0 || (!isBlob && length <= room)) {
    return { inline: isBlob ? "" : toBase64(payload) };
  }
  const stored = driver.session?.limits.payloadBytes ?? Infinity;
  return length <= Math.min(stored, PAYLOAD_BYTES_MAX)
    ? { attached: length }
    : { streamed: length };
}

function jsonOf({ body, bytes }: Success): unknown {
  return bytes === undefined ? (body ?? null) : JSON.parse(new TextDecoder().decode(bytes));
}

export function aborted(signal: AbortSignal): SelvedgeError {
  const message = "ended by its signal";
  return new SelvedgeError("aborted", message, { cause: signal.reason });
}

export function closed(): SelvedgeError {
  return new SelvedgeError("closed", "the client is closed");
}

function tooLate(): SelvedgeError {
  const message = "no answer came in time; a command may still take effect";
  return new SelvedgeError("deadline_exceeded", message);
}

/** The longest time that timers of JavaScript take: 24 days. */
const TIMER_MS_MAX = 0x7fff_ffff;
