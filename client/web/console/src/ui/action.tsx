/** Everything that somebody does: pending first, then done or what went wrong. Nothing is done in silence. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren, JSX } from "preact";
import { toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import { ProblemNote } from "./problem.js";

export type Progress =
  | { state: "idle" }
  | { state: "pending" }
  | { state: "done"; words: string }
  | { state: "failed"; problem: Problem };

export interface Action {
  progress: Progress;
  /** Does it, unless it is being done. `work` answers with the word that it is done. */
  run: (work: () => Promise<string>) => void;
  reset: () => void;
}

/** One action of a view, and how it goes. */
export function useAction(): Action {
  const [progress, setProgress] = useState<Progress>({ state: "idle" });
  const isHere = useRef(true);
  const isPending = useRef(false);
  useEffect(() => {
    isHere.current = true;
    return () => {
      isHere.current = false;
    };
  }, []);
  const set = (progress: Progress): void => {
    if (isHere.current) setProgress(progress);
  };
  const run = (work: () => Promise<string>): void => {
    if (isPending.current) return;
    isPending.current = true;
    set({ state: "pending" });
    work()
      .then((words) => {
        set({ state: "done", words });
      })
      .catch((error: unknown) => {
        set({ state: "failed", problem: toProblem(error) });
      })
      .finally(() => {
        isPending.current = false;
      });
  };
  const reset = (): void => {
    set({ state: "idle" });
  };
  return { progress, run, reset };
}

/** How an action goes, in words, also for those who listen. */
export function Outcome({
  progress,
  pending = "Sending…",
}: {
  progress: Progress;
  pending?: string;
}) {
  return (
    <div class="outcome" role="status">
      {progress.state === "pending" && <span class="pending">{pending}</span>}
      {progress.state === "done" && <span class="done">{progress.words}</span>}
      {progress.state === "failed" && <ProblemNote problem={progress.problem} />}
    </div>
  );
}

interface ButtonProps {
  onClick?: () => void;
  kind?: "plain" | "primary" | "danger";
  type?: "button" | "submit";
  pending?: boolean;
  disabled?: boolean;
  title?: string;
  label?: string;
  children: ComponentChildren;
}

/** A button. While it is at work it stays where the focus is, and does nothing. */
export function Button(props: ButtonProps): JSX.Element {
  const { kind = "plain", type = "button", pending = false, disabled = false } = props;
  return (
    <button
      type={type}
      class={`button ${kind}`}
      aria-disabled={pending || disabled}
      aria-busy={pending}
      aria-label={props.label}
      title={props.title}
      onClick={(event) => {
        if (pending || disabled) event.preventDefault();
        else props.onClick?.();
      }}
    >
      {props.children}
    </button>
  );
}
