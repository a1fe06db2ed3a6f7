/** Names and ids: checked before they are sent, so that what is wrong is told by name and costs no round trip. */

import { SelvedgeError } from "./errors.js";
import { ACTOR_KEY_BYTES_MAX, LABEL_BYTES_MAX, NAME_BYTES_MAX } from "./limits.js";
import { byteLength } from "./wire/base64.js";
import type { Target } from "./wire/frames.js";

const KIND = /^[a-z][a-z0-9_.-]{0,63}$/;
const OPERATION_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const TENANT = /^[a-z0-9-]{1,63}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The form itself is the remedy that the message names. */
function matches(field: string, value: unknown, form: RegExp): string {
  if (typeof value === "string" && form.test(value)) return value;
  throw invalid(field, `${JSON.stringify(value)} has not the form ${String(form)}`);
}

/** Text of 1 to `max` bytes that can be written as UTF-8. */
function text(field: string, value: unknown, max: number): string {
  if (typeof value === "string" && value !== "" && !/\p{Surrogate}/u.test(value)) {
    if (byteLength(value) <= max) return value;
  }
  throw invalid(field, `text of 1 to ${max} bytes of UTF-8`);
}

/** `rule`: what is wrong with the field, or what is right. */
export function invalid(field: string, rule: string, cause?: unknown): SelvedgeError {
  return new SelvedgeError("invalid", `${field}: ${rule}`, { field, cause });
}

export function checkedKind(field: "kind" | "type", value: unknown): string {
  return matches(field, value, KIND);
}

export function actorTarget(kind: string, key: string): Target {
  return {
    actor: { kind: checkedKind("kind", kind), key: text("key", key, ACTOR_KEY_BYTES_MAX) },
  };
}

export function operationTarget(id: string): Target {
  return { operation: matches("id", id, OPERATION_ID) };
}

export function checkedTarget(target: Target): Target {
  if (typeof target === "string") return target;
  return "actor" in target
    ? actorTarget(target.actor.kind, target.actor.key)
    : operationTarget(target.operation);
}

export function checkedTenant(tenant: string): string {
  return matches("tenant", tenant, TENANT);
}

export function checkedCommandId(id: string): string {
  return matches("id", id, UUID).toLowerCase();
}

export function checkedName(name: string): string {
  return text("name", name, NAME_BYTES_MAX);
}

export function checkedAgent(agent: string): string {
  return text("agent", agent, LABEL_BYTES_MAX);
}
