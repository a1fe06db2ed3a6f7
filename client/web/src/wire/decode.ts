/**
 * Server frames from text of the JSON subprotocol, checked field by field before anything else looks at them.
 *
 * Members that are not known are passed over: a later server may say more than this client understands.
 */

import { ERROR_CODES, SelvedgeError } from "../errors.js";
import { MESSAGE_BYTES_MAX } from "../limits.js";
import type { ServerFrame } from "./frames.js";

/**
 * What each frame and structure holds: `name:type`, with a `?` behind what may be absent or null. An enum, whose name
 * begins with `|`, has exactly one of its members.
 */
const SHAPES = {
  welcome:
    "version:number session:text resumed:flag resumeToken:text node:text limits:limits ext:ext?",
  reply: "request:|request outcome:|outcome ext:ext?",
  event: "subscription:number seq:number kind:text timeMs:number",
  gap: "subscription:number after:number seq:number",
  largeGap: "subscription:number after:number seq:number length:number",
  task: "lease:number operation:|operation operationType:text step:text attempt:number leaseMs:number ext:ext?",
  notice: "notice:|notice",
  redirect: "address:text",
  goodbye: "failure:failure?",
  pong: "nonce:number",
  ephemeral: "subscription:number from:text name:text dataBase64:text?",
  chunk: "request:|request data:text last:flag",
  window: "request:|request bytes:number",
} satisfies Record<ServerFrame["type"], string>;

const PARTS = {
  limits:
    "window:number queries:number subscriptions:number inlineBytes:number payloadBytes:number idleMs:number",
  success: "bodyBase64:text? seq:number version:number",
  failure: "code:code message:text field:text? retryAfterMs:number?",
  limited: "limit:text retryAfterMs:number",
  "|request": "command:number query:number subscription:number",
  "|outcome": "success:success failure:failure",
  "|operation": "operation:text",
  "|notice": "draining:number limited:limited taskCancelled:number resultRefused:number",
};

/** The same, each member as a pair. */
const MEMBERS = new Map(
  Object.entries({ ...SHAPES, ...PARTS }).map(([of, members]) => [
    of,
    members.split(" ").map((member) => member.split(":") as [name: string, type: string]),
  ]),
);

const LEAVES: Record<string, (value: unknown) => boolean> = {
  number: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  text: (value) => typeof value === "string",
  flag: (value) => typeof value === "boolean",
  code: (value) => (ERROR_CODES as readonly unknown[]).includes(value),
  ext: (value) =>
    Array.isArray(value) &&
    value.every(
      (item: unknown) =>
        Array.isArray(item) &&
        item.length === 2 &&
        typeof item[0] === "number" &&
        typeof item[1] === "string",
    ),
};

/** The path of what is wrong, empty for the whole; nothing where all is right. */
function wrong(type: string, value: unknown): string | undefined {
  if (type.endsWith("?")) return value == null ? undefined : wrong(type.slice(0, -1), value);
  const leaf = LEAVES[type];
  if (leaf !== undefined) return leaf(value) ? undefined : "";
  if (!isObject(value)) return "";
  let members = MEMBERS.get(type) ?? [];
  if (type.startsWith("|")) {
    const names = Object.keys(value);
    members = members.filter(([name]) => name === names[0]);
    if (names.length !== 1 || members.length === 0) return "";
  }
  for (const [name, of] of members) {
    const found = wrong(of, value[name]);
    if (found !== undefined) return found === "" ? name : `${name}.${found}`;
  }
  return undefined;
}

/** The frame of a message; throws `malformed`, which names the field that is wrong. */
export function decode(message: unknown): ServerFrame {
  if (typeof message !== "string" || message.length > MESSAGE_BYTES_MAX) {
    throw malformed("a message is no text, or too long");
  }
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    throw malformed("a message is no JSON");
  }
  const [type, held] = isObject(value) ? (Object.entries(value)[0] ?? []) : [];
  if (type === undefined || !Object.hasOwn(SHAPES, type)) {
    throw malformed("a message is no frame of this version", type);
  }
  const fields = type === "notice" ? { notice: held } : held;
  const field = wrong(type, fields);
  if (field !== undefined)
    throw malformed(`the frame ${type} is wrong`, field === "" ? type : field);
  return { type, ...(fields as object) } as ServerFrame;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(message: string, field?: string): SelvedgeError {
  return new SelvedgeError("malformed", `the server: ${message}`, { field });
}
