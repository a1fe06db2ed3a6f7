/** What every view has: the session, plain HTTP, and the past of the metrics. The shell provides it. */

import { createContext } from "preact";
import { useContext, useEffect, useMemo } from "preact/hooks";
import type { Http } from "./data/http.js";
import type { Samples } from "./data/samples.js";
import type { Client } from "./session/port.js";
import type { Session } from "./session/session.js";

export interface Console {
  session: Session;
  http: Http;
  /** Of a session that is signed in. */
  client: Client;
  samples: Samples;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const found = useContext(ConsoleContext);
  if (found === undefined) throw new Error("a view is shown outside of the shell");
  return found;
}

/** Something that lives as long as its view, or until what it is made of changes. */
export function useOwned<T extends { dispose(): void }>(
  make: () => T,
  madeOf: readonly unknown[],
): T {
  const owned = useMemo(make, [...madeOf]);
  useEffect(() => {
    return () => {
      owned.dispose();
    };
  }, [owned]);
  return owned;
}
