/**
 * A dialog over the page: the browser's own, which keeps the focus inside and closes with Escape. What had the
 * focus before gets it back.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button, Outcome, useAction } from "./action.js";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="close" aria-label="Close" onClick={onClose}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  /** The word on the button. */
  verb: string;
  children: ComponentChildren;
  work: () => Promise<string>;
  onClose: () => void;
  onDone?: (words: string) => void;
}

/** Asks before something is done that cannot be taken back. */
export function Confirm({ title, verb, children, work, onClose, onDone }: ConfirmProps) {
  const action = useAction();
  const isDone = action.progress.state === "done";
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <Outcome progress={action.progress} />
      <div class="buttons">
        {!isDone && (
          <Button
            kind="danger"
            pending={action.progress.state === "pending"}
            onClick={() => {
              action.run(async () => {
                const words = await work();
                onDone?.(words);
                return words;
              });
            }}
          >
            {verb}
          </Button>
        )}
        <Button onClick={onClose}>{isDone ? "Close" : "Leave it as it is"}</Button>
      </div>
    </Dialog>
  );
}
