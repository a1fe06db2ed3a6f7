/**
 * Server frames from text of the JSON subprotocol, checked field by field before anything else looks at them.
 *
 * Members that are not known are passed over: a later server may say more than this client understands.
 */

import { ERROR_CODES, SelvedgeError } from "../errors.js";
import { MESSAGE_BYTES_MAX } from "../limits.js";
import { tryBase64 } from "./base64.js";
import type { ServerFrame } from "./frames.js";

/**
 * What each frame holds, then each structure (`.`) and enum (`|`, which has exactly one of its members): `name:type`,
 * a whole number where no type is said, with a `?` behind what may be absent or null.
 */
const SHAPES = `
welcome version session:string resumed:boolean resumeToken:string node:string limits:.limits ext:ext?
reply request:|request outcome:|outcome ext:ext?
event subscription seq kind:string timeMs
gap subscription after seq
largeGap subscription after seq length
task lease operation:|operation operationType:string step:string attempt leaseMs ext:ext?
notice notice:|notice
redirect address:string
goodbye failure:.failure?
pong nonce
ephemeral subscription from:string name:string dataBase64:string?
chunk request:|request data:string last:boolean
window request:|request bytes
.limits window queries subscriptions inlineBytes payloadBytes idleMs
.success bodyBase64:string? seq version
.failure code:code message:string field:string? retryAfterMs:number?
.limited limit:string retryAfterMs
|request command query subscription
|outcome success:.success failure:.failure
|operation operation:string
|notice draining limited:.limited taskCancelled resultRefused`;

/** The same, each member as a pair. */
const MEMBERS = new Map(
  SHAPES.split("\n").map((line) => {
    const [of = "", ...members] = line.split(" ");
    return [of, members.map((member) => member.split(":") as [name: string, type?: string])];
  }),
);

const LEAVES: Record<string, (value: unknown) => boolean> = {
  number: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  code: (value) => (ERROR_CODES as readonly unknown[]).includes(value),
  ext: (value) =>
    Array.isArray(value) &&
    value.every(
      (item: unknown) =>
        Array.isArray(item) && typeof item[0] === "number" && typeof item[1] === "string",
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
  for (const [name, of = "number"] of members) {
    const found = wrong(of, value[name]);
    if (found !== undefined) return found === "" ? name : `${name}.${found}`;
  }
  return undefined;
}

/** The frame of a message; throws `malformed`, which names the field that is wrong. */
export function decode(message: unknown): ServerFrame {
  let value: unknown;
  try {
    // Text within its bound, else there is nothing to read.
    const isText = typeof message === "string" && message.length <= MESSAGE_BYTES_MAX;
    value = isText && JSON.parse(message);
  } catch {
    // It is no JSON.
  }
  const [type = "", held] = isObject(value) ? (Object.entries(value)[0] ?? []) : [];
  if (!/^\w/.test(type) || !MEMBERS.has(type)) throw malformed(type);
  const fields = type === "notice" ? { notice: held } : held;
  const field = wrong(type, fields);
  if (field !== undefined) throw malformed(field || type);
  const frame = { type, ...(fields as object) } as ServerFrame;
  if (frame.type === "chunk") {
    const data = tryBase64(String(frame.data));
    if (data === undefined) throw malformed("data");
    frame.data = data;
  }
  return frame;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(field: string): SelvedgeError {
  const message = `the server sent what is no frame of this version: ${field}`;
  return new SelvedgeError("malformed", message, { field: field || undefined });
}
