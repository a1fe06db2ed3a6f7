/** The frame of a part of a view: its heading, and a word where what it shows may be old. */

import { useComputed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { useConsole } from "../console.js";
import { now } from "../data/clock.js";
import type { Polled } from "../data/poll.js";
import { clock } from "../format.js";
import { ProblemNote } from "./problem.js";

interface PanelProps {
  title: string;
  /** What is shown, where it is polled: says of when it is. */
  source?: Polled<unknown>;
  /** Beside the heading. */
  aside?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}

export function Panel({ title, source, aside, class: name = "", children }: PanelProps) {
  const id = useId();
  return (
    <section class={`panel ${name}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        <Stale {...(source === undefined ? {} : { source })} />
        <div class="aside">{aside}</div>
      </header>
      <Trouble source={source} />
      {children}
    </section>
  );
}

/** The word that what is shown may be old. */
export function Stale({ source }: { source?: Polled<unknown> }) {
  const { session } = useConsole();
  // Of its own, so that a tick of the clock draws nothing anew but this.
  const isStale = useComputed(() => session.isStale.value || (source?.isLate(now.value) ?? false));
  if (!isStale.value) return null;
  const at = source?.at.value;
  const of = at === undefined ? "" : `, of ${clock(new Date(at))}`;
  return <span class="stale" title="Not confirmed by the node just now">{`may be old${of}`}</span>;
}

function Trouble({ source }: { source: Polled<unknown> | undefined }) {
  const problem = source?.problem.value;
  return problem === undefined ? null : <ProblemNote problem={problem} />;
}

/** What stands where there is nothing yet. */
export function Empty({
  source,
  children,
}: {
  source?: Polled<unknown>;
  children: ComponentChildren;
}) {
  const isWaiting = source !== undefined && source.at.value === undefined;
  if (isWaiting && source.problem.value !== undefined) return null;
  return <p class="empty">{isWaiting ? "Loading…" : children}</p>;
}
