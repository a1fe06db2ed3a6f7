/**
 * Server frames from text of the JSON subprotocol, checked field by field before anything else looks at them.
 *
 * Members that are not known are passed over: a later server may say more than this client understands.
 */

import { ERROR_CODES, SelvedgeError } from "../errors.js";
import { MESSAGE_BYTES_MAX } from "../limits.js";
import type { ServerFrame } from "./frames.js";

/** The path of what is wrong, or nothing. */
type Check = (value: unknown) => string | undefined;

const fits = (is: (value: unknown) => boolean): Check => {
  return (value) => (is(value) ? undefined : "");
};

const number = fits((value) => Number.isSafeInteger(value) && (value as number) >= 0);
const text = fits((value) => typeof value === "string");
const flag = fits((value) => typeof value === "boolean");
const any = fits(() => true);
const code = fits((value) => (ERROR_CODES as readonly unknown[]).includes(value));

function optional(check: Check): Check {
  return (value) => (value === undefined || value === null ? undefined : check(value));
}

function list(check: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return "";
    for (const item of value) {
      const wrong = check(item);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function object(fields: Record<string, Check>): Check {
  return (value) => {
    if (!isObject(value)) return "";
    for (const [name, check] of Object.entries(fields)) {
      const wrong = check(value[name]);
      if (wrong !== undefined) return wrong === "" ? name : `${name}.${wrong}`;
    }
    return undefined;
  };
}

/** An enum: one of these members, which holds what is said, or one of these names. */
function variant(members: Record<string, Check>, names: string[] = []): Check {
  return (value) => {
    if (typeof value === "string") return names.includes(value) ? undefined : "";
    if (!isObject(value)) return "";
    const [name, ...more] = Object.keys(value);
    const check = name !== undefined && Object.hasOwn(members, name) ? members[name] : undefined;
    if (name === undefined || more.length > 0 || check === undefined) return "";
    const wrong = check(value[name]);
    return wrong === undefined || wrong === "" ? wrong : `${name}.${wrong}`;
  };
}

const ext = optional(
  list(
    fits(
      (value) => Array.isArray(value) && value.length === 2 && number(value[0]) === text(value[1]),
    ),
  ),
);
const failure = object({
  code,
  message: text,
  field: optional(text),
  retryAfterMs: optional(number),
});
const request = variant({ command: number, query: number, subscription: number });
const target = variant({ actor: object({ kind: text, key: text }), operation: text }, [
  "operations",
  "actors",
  "cluster",
]);
const success = object({
  body: any,
  bodyBase64: optional(text),
  seq: number,
  version: number,
});

const FRAMES: Record<ServerFrame["type"], Check> = {
  welcome: object({
    version: number,
    session: text,
    resumed: flag,
    resumeToken: text,
    node: text,
    limits: object({
      window: number,
      queries: number,
      subscriptions: number,
      inlineBytes: number,
      payloadBytes: number,
      idleMs: number,
    }),
    ext,
  }),
  reply: object({ request, outcome: variant({ success, failure }), ext }),
  event: object({ subscription: number, seq: number, kind: text, timeMs: number }),
  gap: object({ subscription: number, after: number, seq: number }),
  largeGap: object({ subscription: number, after: number, seq: number, length: number }),
  task: object({
    lease: number,
    operation: target,
    operationType: text,
    step: text,
    attempt: number,
    leaseMs: number,
    ext,
  }),
  notice: object({
    notice: variant({
      draining: number,
      limited: object({ limit: text, retryAfterMs: number }),
      taskCancelled: number,
      resultRefused: number,
    }),
  }),
  redirect: object({ address: text }),
  goodbye: object({ failure: optional(failure) }),
  pong: object({ nonce: number }),
  ephemeral: object({ subscription: number, from: text, name: text, dataBase64: optional(text) }),
  chunk: object({ request, data: text, last: flag }),
  window: object({ request, bytes: number }),
};

/** The frame of a message; throws `malformed`, which names the field that is wrong. */
export function decode(message: unknown): ServerFrame {
  if (typeof message !== "string" || message.length > MESSAGE_BYTES_MAX) {
    throw malformed("a message of the server is no text, or too long", undefined);
  }
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    throw malformed("a message of the server is no JSON", undefined);
  }
  const type = isObject(value) ? Object.keys(value)[0] : undefined;
  if (!isObject(value) || type === undefined || !Object.hasOwn(FRAMES, type)) {
    throw malformed("a message of the server is no frame of this version", type);
  }
  const wrong = FRAMES[type as ServerFrame["type"]](value[type]);
  if (wrong !== undefined) {
    throw malformed(`the frame ${type} of the server is wrong`, wrong === "" ? type : wrong);
  }
  return { type, ...(value[type] as object) } as ServerFrame;
}

function malformed(message: string, field: string | undefined): SelvedgeError {
  return new SelvedgeError("malformed", message, { field });
}
