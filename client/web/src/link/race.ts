/** Opens a link to whichever of several candidates is there first, one begun a moment after the other (RFC 8305). */

import { SelvedgeError } from "../errors.js";
import { SOCKET_MS_MAX, STAGGER_MS } from "../limits.js";
import type { Link } from "./link.js";

/** One way to one server. */
export interface Candidate {
  readonly url: string;
  /** Rejects with why it cannot be, or when `signal` ends it. */
  open(signal: AbortSignal): Promise<Link>;
}

/** The first link that opens, and whose it is; rejects when none does, or when `signal` ends the race. All others are closed. */
export function race(
  candidates: Candidate[],
  signal: AbortSignal,
): Promise<{ link: Link; url: string }> {
  return new Promise((resolve, reject) => {
    const waiting = candidates.values();
    const running = new Set<AbortController>();
    let isOver = false;
    let next: ReturnType<typeof setTimeout> | undefined;
    let reason = "";
    const end = (): void => {
      isOver = true;
      clearTimeout(next);
      signal.removeEventListener("abort", stop);
      for (const attempt of running) attempt.abort();
    };
    const stop = (): void => {
      end();
      reject(new SelvedgeError("aborted", "the client is closed"));
    };
    /** Begins with the next candidate, if there is one. */
    const begin = (): void => {
      clearTimeout(next);
      const candidate = waiting.next().value;
      if (candidate !== undefined) {
        next = setTimeout(begin, STAGGER_MS);
        void attempt(candidate);
      } else if (running.size === 0) {
        end();
        reject(unreachable(candidates, reason));
      }
    };
    const attempt = async (candidate: Candidate): Promise<void> => {
      const stopping = new AbortController();
      running.add(stopping);
      const late = setTimeout(() => {
        stopping.abort();
      }, SOCKET_MS_MAX);
      try {
        const link = await candidate.open(stopping.signal);
        running.delete(stopping);
        if (isOver) {
          link.abandon();
        } else {
          end();
          resolve({ link, url: candidate.url });
        }
      } catch (error) {
        running.delete(stopping);
        reason = (error as Error).message || reason;
        if (!isOver) begin();
      } finally {
        clearTimeout(late);
      }
    };
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    else begin();
  });
}

function unreachable(candidates: Candidate[], reason: string): SelvedgeError {
  const urls = new Set(candidates.map(({ url }) => url));
  const why = reason && ` (${reason})`;
  return new SelvedgeError(
    "unavailable",
    `no session at ${[...urls].join(", ")}${why}: check the address, the node, and the origins that it allows`,
  );
}
