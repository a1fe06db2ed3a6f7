/** Code that few programs need, loaded when it is first called. */

import { SelvedgeError } from "./errors.js";
import { RETRY_MS_MAX } from "./limits.js";

/** How soon to try again what could not be loaded: the server of the page may be the one that is started again. */
const LOAD_MS = 1_000;

/** What is loaded; patient, as calls are with a server that is away for the moment. */
export async function loaded<T>(load: () => Promise<T>): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += LOAD_MS) {
    try {
      return await load();
    } catch (cause) {
      if (waitedMs >= RETRY_MS_MAX) {
        throw new SelvedgeError("unavailable", "a part of the SDK cannot be loaded", { cause });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOAD_MS));
  }
}

/** Methods of these names, which all give promises: `make` is called with each call. */
export function later<T>(names: readonly (keyof T)[], make: () => Promise<T>): Pick<T, keyof T> {
  const methods = names.map((name) => {
    const method = async (...all: unknown[]): Promise<unknown> => {
      const made = await loaded(make);
      return (made[name] as (...all: unknown[]) => unknown).apply(made, all);
    };
    return [name, method];
  });
  return Object.fromEntries(methods) as Pick<T, keyof T>;
}
