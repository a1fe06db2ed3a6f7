/** What can be done about an operation: cancel, pause, resume, retry, signal. */

import { useState } from "preact/hooks";
import { verbs } from "../data/operation.js";
import type { Operation, Verb } from "../data/operation.js";
import type { OperationWatch } from "../data/operation-watch.js";
import { parseJson } from "../json.js";
import { ConsoleError } from "../problem.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Confirm, Dialog } from "../ui/dialog.js";
import { Input, Select, TextArea } from "../ui/field.js";

const WORDS: Readonly<Record<Verb, string>> = {
  cancel: "Cancel…",
  pause: "Pause",
  resume: "Resume",
  retry: "Retry…",
  signal: "Signal…",
};

interface VerbsProps {
  operation: Operation;
  watch: OperationWatch;
}

export function Verbs({ operation, watch }: VerbsProps) {
  const action = useAction();
  const [asked, ask] = useState<Verb | undefined>(undefined);
  const possible = verbs(operation);
  const run = (work: () => Promise<unknown>, done: string): void => {
    action.run(async () => {
      watch.answered(await work());
      return done;
    });
  };
  const press = (verb: Verb): void => {
    switch (verb) {
      case "pause":
        run(() => watch.port.pause(), "Paused: the step at work finishes, no other begins.");
        break;
      case "resume":
        run(() => watch.port.resume(), "Resumed.");
        break;
      case "cancel":
      case "retry":
      case "signal":
        ask(verb);
        break;
    }
  };
  const close = (): void => {
    ask(undefined);
  };
  const isPending = action.progress.state === "pending";
  return (
    <>
      <div class="buttons">
        {possible.map((verb) => (
          <Button
            key={verb}
            kind={verb === "cancel" ? "danger" : "plain"}
            pending={isPending}
            onClick={() => {
              press(verb);
            }}
          >
            {WORDS[verb]}
          </Button>
        ))}
      </div>
      <Outcome progress={action.progress} />
      {asked === "cancel" && <Cancel operation={operation} watch={watch} onClose={close} />}
      {asked === "retry" && <Retry operation={operation} watch={watch} onClose={close} />}
      {asked === "signal" && <Signal watch={watch} onClose={close} />}
    </>
  );
}

interface DialogProps {
  watch: OperationWatch;
  onClose: () => void;
}

function Cancel({ operation, watch, onClose }: DialogProps & { operation: Operation }) {
  const undone = watch.why.value.value?.compensations ?? [];
  const work = async (): Promise<string> => {
    watch.answered(await watch.port.cancel());
    return "Asked to stop.";
  };
  return (
    <Confirm
      title={`Cancel ${operation.id}?`}
      verb="Cancel the operation"
      work={work}
      onClose={onClose}
    >
      <p>
        {undone.length === 0
          ? "It stops, and nothing has to be undone."
          : `It stops, then undoes what it has done: ${undone.join(", then ")}.`}
      </p>
    </Confirm>
  );
}

function Retry({ operation, watch, onClose }: DialogProps & { operation: Operation }) {
  const [from, setFrom] = useState("");
  const action = useAction();
  const options = [
    ["", "where it stopped"],
    ...operation.steps.map(({ name }) => [name, `step ${name}`] as const),
  ] as const;
  const retry = (): void => {
    action.run(async () => {
      watch.answered(await watch.port.retry(from === "" ? {} : { fromStep: from }));
      return "It runs again.";
    });
  };
  return (
    <Dialog title={`Retry ${operation.id}`} onClose={onClose}>
      <Select
        label="From"
        value={from}
        options={options}
        hint="Steps before it keep their results; those from it on run again."
        onInput={setFrom}
      />
      <Sending action={action} verb="Retry" onSend={retry} onClose={onClose} />
    </Dialog>
  );
}

function Signal({ watch, onClose }: DialogProps) {
  const [name, setName] = useState(awaited(watch));
  const [data, setData] = useState("true");
  const action = useAction();
  const parsed = parseJson(data, null);
  const send = (): void => {
    action.run(async () => {
      if (name.trim() === "") throw new ConsoleError("invalid", "give the signal its name", "name");
      if ("wrong" in parsed) throw new ConsoleError("invalid", parsed.wrong, "data");
      watch.answered(await watch.port.signal(name.trim(), parsed.value));
      return `Signal ${name.trim()} sent.`;
    });
  };
  return (
    <Dialog title="Send a signal" onClose={onClose}>
      <Input label="Name" value={name} onInput={setName} mono />
      <TextArea
        label="Data"
        value={data}
        rows={3}
        onInput={setData}
        hint="JSON. One that comes before it is waited for is kept."
        error={"wrong" in parsed ? parsed.wrong : undefined}
      />
      <Sending action={action} verb="Send" onSend={send} onClose={onClose} />
    </Dialog>
  );
}

/** The name of the signal that it waits for, if it does. */
function awaited(watch: OperationWatch): string {
  const waits = watch.why.value.peek()?.waits ?? [];
  const wait = waits.find(({ reason }) => reason === "signal");
  return /waits for the signal "([^"]+)"/.exec(wait?.detail ?? "")?.[1] ?? "";
}

interface SendingProps {
  action: ReturnType<typeof useAction>;
  verb: string;
  onSend: () => void;
  onClose: () => void;
}

function Sending({ action, verb, onSend, onClose }: SendingProps) {
  const { state } = action.progress;
  return (
    <>
      <Outcome progress={action.progress} />
      <div class="buttons">
        {state !== "done" && (
          <Button kind="primary" pending={state === "pending"} onClick={onSend}>
            {verb}
          </Button>
        )}
        <Button onClick={onClose}>Close</Button>
      </div>
    </>
  );
}
