/** Names and ids: checked before they are sent, so that what is wrong is told by name and costs no round trip. */

import { SelvedgeError } from "./errors.js";
import { ACTOR_KEY_BYTES_MAX, LABEL_BYTES_MAX, NAME_BYTES_MAX } from "./limits.js";
import { byteLength } from "./wire/base64.js";
import type { Target } from "./wire/frames.js";

const KIND = /^[a-z][a-z0-9_.-]{0,63}$/;
const OPERATION_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const TENANT = /^[a-z0-9-]{1,63}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function matches(field: string, value: unknown, form: RegExp, rule: string): string {
  if (typeof value === "string" && form.test(value)) return value;
  throw invalid(field, `${JSON.stringify(value)} is no ${field}: use ${rule}`);
}

/** Text of 1 to `max` bytes that can be written as UTF-8. */
function text(field: string, value: unknown, max: number): string {
  if (typeof value === "string" && value !== "" && !/\p{Surrogate}/u.test(value)) {
    if (byteLength(value) <= max) return value;
  }
  throw invalid(field, `a ${field} is text of 1 to ${max} bytes of UTF-8`);
}

export function invalid(field: string, message: string, cause?: unknown): SelvedgeError {
  return new SelvedgeError("invalid", message, { field, cause });
}

export function checkedKind(field: "kind" | "type", value: unknown): string {
  return matches(field, value, KIND, "a letter a-z, then up to 63 of a-z, 0-9, '_', '.' and '-'");
}

export function actorTarget(kind: string, key: string): Target {
  return {
    actor: { kind: checkedKind("kind", kind), key: text("key", key, ACTOR_KEY_BYTES_MAX) },
  };
}

export function operationTarget(id: string): Target {
  const rule = "1 to 128 of A-Z, a-z, 0-9, '.', '_', ':' and '-'";
  return { operation: matches("id", id, OPERATION_ID, rule) };
}

export function checkedTarget(target: Target): Target {
  if (typeof target === "string") return target;
  return "actor" in target
    ? actorTarget(target.actor.kind, target.actor.key)
    : operationTarget(target.operation);
}

export function checkedTenant(tenant: string): string {
  return matches("tenant", tenant, TENANT, "1 to 63 of a-z, 0-9 and '-'");
}

export function checkedCommandId(id: string): string {
  return matches("id", id, UUID, "a UUID, as crypto.randomUUID() makes").toLowerCase();
}

export function checkedName(name: string): string {
  return text("name", name, NAME_BYTES_MAX);
}

export function checkedAgent(agent: string): string {
  return text("agent", agent, LABEL_BYTES_MAX);
}

/** A UUIDv7: ids of operations sort by the time they were made. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  const now = Date.now();
  view.setUint32(0, Math.floor(now / 0x1_0000));
  view.setUint16(4, now % 0x1_0000);
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x70);
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
