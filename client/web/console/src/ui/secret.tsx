/** A secret that is shown once: to be copied, and kept nowhere by this page. */

import { useId, useRef } from "preact/hooks";
import { ConsoleError } from "../problem.js";
import { Button, Outcome, useAction } from "./action.js";

export function Secret({ label, value }: { label: string; value: string }) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const action = useAction();
  const copy = (): void => {
    action.run(async () => {
      input.current?.select();
      try {
        await navigator.clipboard.writeText(value);
      } catch {
        throw new ConsoleError(
          "not_copied",
          "the browser does not let this page copy: it is selected, copy it by hand",
        );
      }
      return "Copied.";
    });
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class="secret">
        <input
          id={id}
          ref={input}
          class="mono"
          value={value}
          readOnly
          autocomplete="off"
          spellcheck={false}
          onFocus={(event) => {
            event.currentTarget.select();
          }}
        />
        <Button kind="primary" onClick={copy}>
          Copy
        </Button>
      </div>
      <Outcome progress={action.progress} />
    </div>
  );
}
