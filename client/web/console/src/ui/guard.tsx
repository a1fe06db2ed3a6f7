/**
 * What somebody may not do is not offered twice: where the node has said no once, the view keeps the reason and shows
 * its buttons off. Who comes to the view again may try again, as rights change.
 */

import { useMemo, useState } from "preact/hooks";
import { toProblem } from "../problem.js";

export interface Guard {
  /** Why it may not be done, once that is known. */
  why: string | undefined;
  /** Does something, and keeps in mind if somebody may not. */
  hold: <T>(work: () => Promise<T>) => Promise<T>;
}

/** One for each thing that a view changes. */
export function useGuard(): Guard {
  const [why, refuse] = useState<string | undefined>(undefined);
  return useMemo(() => {
    const hold = async <T,>(work: () => Promise<T>): Promise<T> => {
      try {
        return await work();
      } catch (error) {
        const { code, field, message } = toProblem(error);
        // With a field it is about the one thing that was named, not about all such.
        if (code === "permission_denied" && field === undefined) refuse(message);
        throw error;
      }
    };
    return { why, hold };
  }, [why]);
}

/** The reason beside the buttons that are off. */
export function Refused({ guard }: { guard: Guard }) {
  return guard.why === undefined ? null : <p class="hint">{`Off: ${guard.why}.`}</p>;
}

/**
 * Does a write that rests on a version. Where somebody else came first, what is there now is read before the refusal is
 * shown, so that the next try rests on it.
 */
export async function resting<T>(work: () => Promise<T>, reload: () => unknown): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = toProblem(error);
    if (code === "conflict" || code === "not_found") await reload();
    throw error;
  }
}
