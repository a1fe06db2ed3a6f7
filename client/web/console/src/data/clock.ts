/** The present, as a signal that counts on while somebody looks. Ages and waits on screen read it. */

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { TICK_MS } from "../bounds.js";

const present = signal(Date.now());

/** Unix milliseconds, four times a second. */
export const now: ReadonlySignal<number> = present;

/** Starts the clock. The answer stops it. */
export function startClock(): () => void {
  const tick = () => {
    present.value = Date.now();
  };
  tick();
  const timer = setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", tick);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", tick);
  };
}
