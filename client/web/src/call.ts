/** Calls: a command or query of a caller, from its options to the promise of its answer. */

import type { Driver, Ticket } from "./driver.js";
import { outcomeUnknown } from "./driver.js";
import { SelvedgeError } from "./errors.js";
import { checkedCommandId, checkedName, checkedTarget, invalid } from "./ids.js";
import { checkSize, written } from "./json.js";
import { INLINE_BYTES_MAX, PAYLOAD_BYTES_MAX, RETRY_MS_MAX } from "./limits.js";
import type { Answered } from "./session/machine.js";
import { toBase64, tryBase64 } from "./wire/base64.js";
import type { Command, Consistency, Payload, Query, Target } from "./wire/frames.js";

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

/** Puts a request together; throws where something of it is wrong. */
type Ask = (deadlineMs: number | undefined) => Command | Query;

export function command<T>(
  driver: Driver,
  target: Target,
  name: string,
  body: unknown,
  options: CommandOptions = {},
): Promise<Answer<T>> {
  return call<T>(driver, options, (deadlineMs) => {
    const text = written("body", body, "{}");
    const payload = placed(options.payload, text.bytes, driver);
    const inline = payload !== undefined && "inline" in payload ? options.payload : undefined;
    const bytes = text.bytes + (inline instanceof Uint8Array ? inline.length : 0);
    checkSize("body", bytes, inlineMax(driver), "send what is large as the payload");
    const frame: Command = {
      type: "command",
      number: 0,
      acknowledged: 0,
      deadlineMs,
      id: options.id === undefined ? undefined : checkedCommandId(options.id),
      target: checkedTarget(target),
      name: checkedName(name),
      body: text.text,
      payload,
    };
    return frame;
  });
}

export function query<T>(
  driver: Driver,
  target: Target,
  name: string,
  body: unknown,
  options: QueryOptions = {},
): Promise<Answer<T>> {
  return call<T>(driver, options, queryOf(driver, target, name, body, options));
}

/** A query whose answer is bytes and not JSON: a piece of the payload of a task. */
export async function queryBytes(
  driver: Driver,
  target: Target,
  name: string,
  body: unknown,
  options: CallOptions,
): Promise<Uint8Array> {
  const ask = queryOf(driver, target, name, body, options);
  const { body: bytes } = await call<Uint8Array>(driver, options, ask, bytesOf);
  return bytes;
}

function queryOf(
  driver: Driver,
  target: Target,
  name: string,
  body: unknown,
  options: QueryOptions,
): Ask {
  return (deadlineMs) => {
    const text = written("body", body, "{}");
    checkSize("body", text.bytes, inlineMax(driver), "ask for less at a time");
    return {
      type: "query",
      number: 0,
      deadlineMs,
      target: checkedTarget(target),
      name: checkedName(name),
      body: text.text,
      consistency: options.consistency,
    };
  };
}

/** Makes the request and waits for its answer, its deadline or its signal. */
function call<T>(
  driver: Driver,
  options: CommandOptions,
  ask: Ask,
  read: (answer: Answered) => unknown = jsonOf,
): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    if (driver.state === "closed") throw closed();
    const { signal, deadlineMs } = options;
    if (signal?.aborted === true) throw aborted(signal);
    const frame = ask(checkedDeadline(deadlineMs));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: SelvedgeError): void => {
      settle();
      reject(error.code === "outcome_expired" ? outcomeUnknown() : error);
    };
    const giveUp = (error: SelvedgeError): void => {
      fail(error);
      driver.machine.abandon(pending);
      driver.flush();
    };
    const onAbort = (): void => {
      if (signal !== undefined) giveUp(aborted(signal));
    };
    const ticket: Ticket = {
      payload: options.payload,
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
    const pending = driver.machine.ask(frame, deadlineMs ?? RETRY_MS_MAX, ticket);
    signal?.addEventListener("abort", onAbort);
    if (deadlineMs !== undefined && deadlineMs <= TIMER_MS_MAX) {
      timer = setTimeout(() => {
        giveUp(tooLate());
      }, deadlineMs);
    }
    driver.flush();
  });
}

/** How the bytes travel: in the frame, stored from pieces behind it, or handed through. */
function placed(
  payload: Uint8Array | Blob | undefined,
  bodyBytes: number,
  driver: Driver,
): Payload | undefined {
  if (payload === undefined) return undefined;
  if (payload instanceof Uint8Array && bodyBytes + payload.length <= inlineMax(driver)) {
    return { inline: toBase64(payload) };
  }
  const length = payload instanceof Uint8Array ? payload.length : payload.size;
  // To read a Blob takes a moment, in which later commands would overtake this one.
  if (length === 0) return { inline: "" };
  const stored = Math.min(
    driver.session?.limits.payloadBytes ?? PAYLOAD_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
  );
  return length <= stored ? { attached: length } : { streamed: length };
}

function inlineMax(driver: Driver): number {
  return Math.min(driver.session?.limits.inlineBytes ?? INLINE_BYTES_MAX, INLINE_BYTES_MAX);
}

function checkedDeadline(ms: number | undefined): number | undefined {
  if (ms === undefined || (Number.isInteger(ms) && ms >= 1 && ms <= 0xffff_ffff)) return ms;
  throw invalid("deadlineMs", "a deadline is a whole number of milliseconds, from 1 to 4294967295");
}

function jsonOf({ body, bytes }: Answered): unknown {
  return bytes === undefined ? (body ?? null) : JSON.parse(new TextDecoder().decode(bytes));
}

function bytesOf({ bodyBase64, bytes }: Answered): Uint8Array {
  return bytes ?? tryBase64(bodyBase64 ?? "") ?? new Uint8Array();
}

export function aborted(signal: AbortSignal): SelvedgeError {
  const message = "the call was ended by its signal";
  return new SelvedgeError("aborted", message, { cause: signal.reason });
}

export function closed(): SelvedgeError {
  return new SelvedgeError("closed", "the client is closed");
}

function tooLate(): SelvedgeError {
  const message = "no answer came within the deadline of the call; a command may still take effect";
  return new SelvedgeError("deadline_exceeded", message);
}

/** The longest time that timers of JavaScript take: 24 days. */
const TIMER_MS_MAX = 0x7fff_ffff;
