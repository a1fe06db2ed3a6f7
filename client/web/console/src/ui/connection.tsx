/**
 * How the connection is: always visible in the header, in a bar below it where something is wrong, and told to
 * those who listen when it changes (not with each second that is counted).
 */

import { useComputed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { NOTICE_MS } from "../bounds.js";
import { now } from "../data/clock.js";
import { clock, span } from "../format.js";
import type { Connection, Session } from "../session/session.js";

interface Shown {
  tone: "good" | "warn" | "bad" | "quiet";
  word: string;
}

function shown({ state }: Connection, isQuiet: boolean, node: string | undefined): Shown {
  switch (state) {
    case "open":
      if (isQuiet) return { tone: "warn", word: "No answer" };
      return { tone: "good", word: node === undefined ? "Connected" : `Connected to ${node}` };
    case "connecting":
      return { tone: "warn", word: "Connecting" };
    case "reconnecting":
      return { tone: "bad", word: "Reconnecting" };
    case "draining":
      return { tone: "warn", word: "Node draining" };
    case "closed":
    case "signedOut":
      return { tone: "quiet", word: "Signed out" };
  }
}

/** The state in a word, in the header. */
export function ConnectionState({ session }: { session: Session }) {
  const isQuiet = useComputed(() => session.quietMs.value !== undefined);
  const node = session.info.value?.node;
  const { tone, word } = shown(session.connection.value, isQuiet.value, node);
  return (
    <span class={`connection ${tone}`} data-state={session.connection.value.state}>
      <span class="dot" aria-hidden="true" />
      {word}
    </span>
  );
}

/** The bar below the header: nothing while all is well. */
export function ConnectionBar({ session }: { session: Session }) {
  const { state, since, why } = session.connection.value;
  const waited = useComputed(() => span(now.value - since));
  const quiet = useComputed(() => session.quietMs.value);
  const isQuiet = useComputed(() => quiet.value !== undefined);
  const notice = session.notice.value;
  useEffect(() => {
    if (notice === undefined) return;
    const timer = setTimeout(() => {
      session.dismiss();
    }, NOTICE_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [notice, session]);
  const because = why === undefined ? "" : `: ${why.message.replace(/\.$/, "")}`;
  if (state === "reconnecting" || state === "connecting") {
    return (
      <Bar tone="bad">
        {`Connection lost at ${clock(new Date(since))}. Reconnecting for `}
        <span class="tabular">{waited}</span>
        {because}. What you see may be old; what you send waits and is sent once.
      </Bar>
    );
  }
  if (state === "draining") {
    return (
      <Bar tone="warn">{`This node is draining${because}. The session moves to another one by itself.`}</Bar>
    );
  }
  if (isQuiet.value) {
    return (
      <Bar tone="warn">
        No answer from the node for more than a second. What you see may be old.
      </Bar>
    );
  }
  if (notice === undefined) return null;
  return (
    <Bar tone="good">
      {notice.text}
      <button
        type="button"
        class="link"
        onClick={() => {
          session.dismiss();
        }}
      >
        Dismiss
      </button>
    </Bar>
  );
}

function Bar({ tone, children }: { tone: "good" | "warn" | "bad"; children: ComponentChildren }) {
  return (
    <aside class={`bar ${tone}`} aria-label="State of the connection">
      {children}
    </aside>
  );
}

/** Tells those who listen what has changed. */
export function Announcer({ session }: { session: Session }) {
  const isQuiet = useComputed(() => session.quietMs.value !== undefined);
  const notice = session.notice.value;
  const { word } = shown(session.connection.value, isQuiet.value, session.info.value?.node);
  return (
    <div class="unseen" role="status" aria-live="polite">
      {notice?.text ?? word}
    </div>
  );
}
