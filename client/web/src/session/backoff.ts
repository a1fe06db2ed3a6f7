/** Waits between attempts. Pure: chance is an argument. */

import { BACKOFF_FIRST_MS, BACKOFF_MS_MAX } from "../limits.js";

/**
 * How long to wait before attempt `attempts + 1`: doubled each time, with half of it left to chance so that clients
 * which were refused together do not come back together. `random` is from 0 to 1.
 */
export function backoffMs(attempts: number, random: number): number {
  const full = Math.min(BACKOFF_FIRST_MS * 2 ** (Math.max(attempts, 1) - 1), BACKOFF_MS_MAX);
  return Math.round((full / 2) * (1 + random));
}

/** How long to wait before connecting again, with all of it left to chance: the clients of a lost node spread. */
export function reconnectMs(attempts: number, random: number): number {
  return Math.round(random * Math.min(2 * BACKOFF_FIRST_MS * 2 ** attempts, BACKOFF_MS_MAX));
}
