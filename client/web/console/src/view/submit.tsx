/** The form of a new operation. What is typed is checked before it is sent; the node checks it again. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { readOperation } from "../data/operation.js";
import { parseJson, pretty } from "../json.js";
import { ConsoleError } from "../problem.js";
import { go, href } from "../route.js";
import type { Submit } from "../session/port.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Input, TextArea } from "../ui/field.js";
import { Panel } from "../ui/panel.js";
import { useTypes } from "./operations.js";

/** Inputs of the types of the demo application, to begin with. */
const EXAMPLES: Readonly<Record<string, unknown>> = {
  digest: {},
  import: { rows: 1_000, stepMs: 1_500, approval: true },
  http: { method: "GET", url: "https://example.org" },
  saga: {
    steps: [
      {
        name: "count",
        run: { command: { actor: "counter/a", name: "add", body: { by: 5 } } },
        compensate: { command: { actor: "counter/a", name: "add", body: { by: -5 } } },
      },
    ],
  },
};

interface Draft {
  type: string;
  id: string;
  input: string;
  labels: string;
  priority: string;
  runAt: string;
  deadline: string;
}

/** What a field may hold: the word where it is wrong. */
export function check(draft: Draft): Partial<Record<keyof Draft, string>> {
  const wrong: Partial<Record<keyof Draft, string>> = {};
  if (!/^[a-z][a-z0-9_.-]{0,63}$/.test(draft.type)) {
    wrong.type = "A letter a-z, then up to 63 of a-z, 0-9, '_', '.' and '-'.";
  }
  if (draft.id !== "" && !/^[A-Za-z0-9._:-]{1,128}$/.test(draft.id)) {
    wrong.id = "Up to 128 of A-Z, a-z, 0-9, '.', '_', ':' and '-'.";
  }
  const input = parseJson(draft.input);
  if ("wrong" in input) wrong.input = input.wrong;
  if (lines(draft.labels).some((line) => !/^[^=]+=.+$/.test(line))) {
    wrong.labels = "One name=value a line.";
  }
  if (!/^-?\d{0,9}$/.test(draft.priority)) wrong.priority = "A whole number.";
  return wrong;
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** The draft as it is sent. It was checked. */
export function submission(draft: Draft, payload: File | undefined): Submit {
  const input = parseJson(draft.input);
  const labels = lines(draft.labels).map((line) => {
    const at = line.indexOf("=");
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const;
  });
  return {
    type: draft.type,
    ...(draft.id === "" ? {} : { id: draft.id }),
    ...("wrong" in input ? {} : { input: input.value }),
    ...(labels.length === 0 ? {} : { labels: Object.fromEntries(labels) }),
    ...(draft.priority === "" ? {} : { priority: Number(draft.priority) }),
    ...(draft.runAt === "" ? {} : { runAt: new Date(draft.runAt).toISOString() }),
    ...(draft.deadline === "" ? {} : { deadline: new Date(draft.deadline).toISOString() }),
    ...(payload === undefined ? {} : { payload }),
  };
}

export function SubmitView({ type }: { type: string }) {
  return (
    <>
      <p class="crumbs">
        <a href={href({ view: "operations", status: "", type: "", label: "" })}>Operations</a>
      </p>
      <h1 tabIndex={-1}>Submit an operation</h1>
      <Panel title="What shall be done">
        <SubmitForm type={type} />
      </Panel>
    </>
  );
}

function SubmitForm({ type }: { type: string }) {
  const { client } = useConsole();
  const [draft, setDraft] = useState<Draft>(() => ({
    ...{ type, id: "", labels: "", priority: "", runAt: "", deadline: "" },
    input: pretty(EXAMPLES[type] ?? {}),
  }));
  const [payload, setPayload] = useState<File | undefined>(undefined);
  const [isTried, setTried] = useState(false);
  const action = useAction();
  const wrong = check(draft);
  const set = (field: keyof Draft) => (value: string) => {
    setDraft((before) => ({ ...before, [field]: value }));
  };
  const send = (event: Event): void => {
    event.preventDefault();
    setTried(true);
    action.run(async () => {
      const field = Object.keys(wrong)[0];
      if (field !== undefined) {
        throw new ConsoleError("invalid", "not sent: correct what is marked", field);
      }
      const operation = readOperation(await client.operations.submit(submission(draft, payload)));
      go({ view: "operation", id: operation.id });
      return `Submitted ${operation.id}.`;
    });
  };
  // Nobody is told that a field is wrong before they have filled it in, or tried to send it.
  const shown = (field: keyof Draft): string | undefined =>
    isTried || draft[field] !== "" ? wrong[field] : undefined;
  return (
    <form class="submit" onSubmit={send} noValidate>
      <Fields draft={draft} set={set} shown={shown} />
      <PayloadField onFile={setPayload} />
      <Outcome
        progress={action.progress}
        pending="Submitting… it is sent once, also over a lost connection."
      />
      <div class="buttons">
        <Button type="submit" kind="primary" pending={action.progress.state === "pending"}>
          Submit
        </Button>
      </div>
    </form>
  );
}

interface FieldsProps {
  draft: Draft;
  set: (field: keyof Draft) => (value: string) => void;
  shown: (field: keyof Draft) => string | undefined;
}

function Fields({ draft, set, shown }: FieldsProps) {
  const types = useTypes();
  const known = [...new Set([...types, ...Object.keys(EXAMPLES)])].sort();
  const example = EXAMPLES[draft.type];
  return (
    <>
      <div class="columns">
        <Input
          label="Type"
          value={draft.type}
          required
          suggestions={known}
          error={shown("type")}
          onInput={set("type")}
          mono
        />
        <Input
          label="Id"
          value={draft.id}
          error={shown("id")}
          onInput={set("id")}
          mono
          hint="Yours to choose: the same id and input again change nothing. Empty: one is made."
        />
      </div>
      <TextArea
        label="Input"
        value={draft.input}
        rows={8}
        error={shown("input")}
        onInput={set("input")}
        hint="JSON"
      />
      {example !== undefined && (
        <button
          type="button"
          class="link"
          onClick={() => {
            set("input")(pretty(example));
          }}
        >
          {`Fill in an example of ${draft.type}`}
        </button>
      )}
      <MoreFields draft={draft} set={set} shown={shown} />
    </>
  );
}

function MoreFields({ draft, set, shown }: FieldsProps) {
  return (
    <details class="more">
      <summary>Labels, priority and times</summary>
      <div class="columns">
        <TextArea
          label="Labels"
          value={draft.labels}
          rows={3}
          error={shown("labels")}
          onInput={set("labels")}
          hint="One name=value a line"
        />
        <Input
          label="Priority"
          value={draft.priority}
          error={shown("priority")}
          onInput={set("priority")}
          hint="Higher goes first; 0 where nothing is said"
        />
        <Input
          label="Not before"
          type="datetime-local"
          value={draft.runAt}
          onInput={set("runAt")}
        />
        <Input
          label="Deadline"
          type="datetime-local"
          value={draft.deadline}
          onInput={set("deadline")}
        />
      </div>
    </details>
  );
}

function PayloadField({ onFile }: { onFile: (file: File | undefined) => void }) {
  return (
    <div class="field">
      <label for="payload">Payload</label>
      <input
        id="payload"
        type="file"
        aria-describedby="payload-hint"
        onChange={(event) => {
          onFile(event.currentTarget.files?.[0]);
        }}
      />
      <p class="hint" id="payload-hint">
        A file whose bytes go with the input; “digest” hashes it.
      </p>
    </div>
  );
}
