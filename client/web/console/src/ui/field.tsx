/** Fields of forms: label, hint and error belong to the input for everybody. */

import type { JSX } from "preact";
import { useId } from "preact/hooks";

interface Common {
  label: string;
  hint?: string;
  error?: string | undefined;
  value: string;
  onInput: (value: string) => void;
}

/** What says something of an input, by id. */
function describedBy(
  id: string,
  { hint, error }: Pick<Common, "hint" | "error">,
): string | undefined {
  const ids = [hint === undefined ? "" : `${id}-hint`, error === undefined ? "" : `${id}-error`];
  const present = ids.filter((it) => it !== "");
  return present.length === 0 ? undefined : present.join(" ");
}

function Frame(
  props: Pick<Common, "label" | "hint" | "error"> & { id: string; children: JSX.Element },
) {
  const { id, label, hint, error, children } = props;
  return (
    <div class={error === undefined ? "field" : "field wrong"}>
      <label for={id}>{label}</label>
      {children}
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

interface InputProps extends Common {
  type?: "text" | "password" | "number" | "datetime-local";
  suggestions?: readonly string[];
  required?: boolean;
  autocomplete?: "off" | "current-password" | "new-password" | "username";
  mono?: boolean;
}

export function Input(props: InputProps) {
  const id = useId();
  const { type = "text", suggestions, required = false, autocomplete = "off", mono } = props;
  // Inputs that take suggestions and those that do not have one type here.
  const attributes = { type } as { type: "text" };
  return (
    <Frame id={id} {...props}>
      <>
        <input
          id={id}
          {...attributes}
          class={mono === true ? "mono" : undefined}
          value={props.value}
          required={required}
          autocomplete={autocomplete}
          spellcheck={false}
          list={suggestions === undefined ? undefined : `${id}-list`}
          aria-invalid={props.error !== undefined}
          aria-describedby={describedBy(id, props)}
          onInput={(event) => {
            props.onInput(event.currentTarget.value);
          }}
        />
        {suggestions !== undefined && (
          <datalist id={`${id}-list`}>
            {suggestions.map((value) => (
              <option key={value} value={value} />
            ))}
          </datalist>
        )}
      </>
    </Frame>
  );
}

export function TextArea(props: Common & { rows?: number }) {
  const id = useId();
  return (
    <Frame id={id} {...props}>
      <textarea
        id={id}
        class="mono"
        rows={props.rows ?? 6}
        spellcheck={false}
        value={props.value}
        aria-invalid={props.error !== undefined}
        aria-describedby={describedBy(id, props)}
        onInput={(event) => {
          props.onInput(event.currentTarget.value);
        }}
      />
    </Frame>
  );
}

export function Select(props: Common & { options: readonly (readonly [string, string])[] }) {
  const id = useId();
  return (
    <Frame id={id} {...props}>
      <select
        id={id}
        value={props.value}
        aria-describedby={describedBy(id, props)}
        onChange={(event) => {
          props.onInput(event.currentTarget.value);
        }}
      >
        {props.options.map(([value, word]) => (
          <option key={value} value={value}>
            {word}
          </option>
        ))}
      </select>
    </Frame>
  );
}
