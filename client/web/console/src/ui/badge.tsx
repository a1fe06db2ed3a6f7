/** Short words with a tone: a mark beside the word, so that colour is never the only sign. */

import { statusInfo } from "../data/operation.js";

export type Tone = "quiet" | "busy" | "good" | "bad" | "warn";

const MARKS: Readonly<Record<Tone, string>> = {
  quiet: "○",
  busy: "●",
  good: "✓",
  bad: "✕",
  warn: "◐",
};

export function Badge({ tone, word, title }: { tone: Tone; word: string; title?: string }) {
  return (
    <span class={`badge ${tone}`} title={title}>
      <span aria-hidden="true">{MARKS[tone]}</span> {word}
    </span>
  );
}

/** The status of an operation. */
export function StatusBadge({ status }: { status: string }) {
  const { tone, words } = statusInfo(status);
  return <Badge tone={tone} word={status} {...(words === "" ? {} : { title: words })} />;
}

const NODE_TONES: Readonly<Record<string, Tone>> = {
  serving: "good",
  draining: "warn",
  drained: "quiet",
  isolated: "bad",
  leaving: "warn",
  left: "quiet",
  dead: "bad",
};

/** The state of a node. */
export function NodeBadge({ state }: { state: string }) {
  return <Badge tone={NODE_TONES[state] ?? "quiet"} word={state} />;
}
