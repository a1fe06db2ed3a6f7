/** Errors of the SDK: what the server answered, or what happened on the way, always with a code. */

/** The codes of the protocol, in the order of their ordinals. */
export const ERROR_CODES = [
  "malformed",
  "unsupported_version",
  "unauthenticated",
  "permission_denied",
  "not_found",
  "conflict",
  "invalid",
  "rejected",
  "unknown_kind",
  "unknown_command",
  "too_large",
  "limit_exceeded",
  "overloaded",
  "unavailable",
  "deadline_exceeded",
  "session_expired",
  "session_replaced",
  "outcome_expired",
  "internal",
] as const;

/** A code that a server answers with. */
export type ServerErrorCode = (typeof ERROR_CODES)[number];

/**
 * What went wrong. Beside the codes of servers there are three of the SDK's own:
 * `outcome_unknown`: the session was lost before the answer came, the command may have taken effect;
 * `closed`: the client was closed; `aborted`: the caller's signal ended the wait.
 */
export type ErrorCode = ServerErrorCode | "outcome_unknown" | "closed" | "aborted";

/** A failure as it is on the wire. */
export interface Failure {
  code: ServerErrorCode;
  message: string;
  field?: string | null;
  retryAfterMs?: number | null;
}

/** Whether the same request may be sent again with the hope of another answer. */
export function mayBeRetried(code: ErrorCode): boolean {
  return code === "limit_exceeded" || code === "overloaded" || code === "unavailable";
}

/** Every error that the SDK throws or rejects with. */
export class SelvedgeError extends Error {
  override readonly name = "SelvedgeError";
  readonly code: ErrorCode;
  /** The field of the request that is wrong. */
  declare readonly field?: string;
  /** When another attempt is worth it. */
  declare readonly retryAfterMs?: number;

  constructor(
    code: ErrorCode,
    message: string,
    more: {
      field?: string | null | undefined;
      retryAfterMs?: number | null | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    if (more.field != null) this.field = more.field;
    if (more.retryAfterMs != null) this.retryAfterMs = more.retryAfterMs;
  }

  /** Whether the same request may be sent again with the hope of another answer. */
  get retryable(): boolean {
    return mayBeRetried(this.code);
  }

  /** @internal */
  static of(failure: Failure): SelvedgeError {
    return new SelvedgeError(failure.code, failure.message, failure);
  }
}

/** Why a task did not succeed. Errors of other classes are as if they were retryable. */
export class WorkError extends Error {
  override readonly name = "WorkError";
  /** `false`: no attempt will ever succeed, the operation fails. */
  readonly retryable: boolean;
  /** The next attempt begins no sooner than this. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    { retryable = true, retryAfterMs }: { retryable?: boolean; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}
