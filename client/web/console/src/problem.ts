/** What went wrong, as it is shown: code, message, field, and what helps. Whoever catches an error calls it. */

/** An error on screen. */
export interface Problem {
  code: string;
  message: string;
  field?: string;
  retryAfterMs?: number;
}

/** An error of the console itself, with a code like those of the protocol. */
export class ConsoleError extends Error {
  override readonly name = "ConsoleError";
  constructor(
    readonly code: string,
    message: string,
    readonly field?: string,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** Any error as a problem. Those of the SDK have a code; what has none is a defect or the browser's. */
export function toProblem(error: unknown): Problem {
  if (!(error instanceof Error)) return { code: "internal", message: String(error) };
  const { code, field, retryAfterMs } = error as Error & Partial<Record<keyof Problem, unknown>>;
  return {
    code: typeof code === "string" ? code : "internal",
    message: error.message,
    ...(typeof field === "string" ? { field } : {}),
    ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
  };
}

/** Whether a caller ended it: nothing to show. */
export function isAborted(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { name, code } = error as Error & { code?: unknown };
  return name === "AbortError" || code === "aborted";
}

const REMEDIES: Readonly<Record<string, string>> = {
  unauthenticated: "Sign in again with a valid token.",
  permission_denied: "Sign in with a token that may do this; the cluster is its administrator's.",
  not_found: "Check the name, and the tenant that you are signed in to.",
  conflict: "Look at its present state, then decide again.",
  invalid: "Correct the field and send it again.",
  unknown_kind: "Start a node whose application knows it.",
  unknown_command: "Use a command that this kind of actor has.",
  too_large: "Send less at once.",
  limit_exceeded: "Wait a moment, or raise the limit.",
  overloaded: "Wait a moment; it is tried again.",
  unavailable: "The owner or the store cannot be reached; try again in a moment.",
  deadline_exceeded: "Try again.",
  session_expired: "Sign in again.",
  session_replaced:
    "This session was taken over elsewhere, by a copy of this tab perhaps. Sign in again.",
  outcome_unknown: "The connection was lost before the answer came. Look whether it took effect.",
  outcome_expired: "It took effect before; its answer is no longer kept.",
  internal: "The node's log says more.",
  closed: "Sign in again.",
  session_closed: "Sign in again, if you may.",
  login_unknown: "Sign in once more.",
  access_denied: "Sign in once more, if it was you.",
  invalid_request:
    "Sign in once more; if it comes again, the node and this page are of different versions.",
  unreachable: "Check that the node runs and that this page may reach it.",
};

/** What helps, in a sentence; nothing where the message says it. */
export function remedy(problem: Problem): string | undefined {
  if (problem.retryAfterMs !== undefined && problem.retryAfterMs > 0) {
    const seconds = Math.ceil(problem.retryAfterMs / 1_000);
    return `Try again in ${seconds} s.`;
  }
  return REMEDIES[problem.code];
}
