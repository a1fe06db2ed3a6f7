/** Changes the policy of an operation type: a patch that is merged in, or back to the application's own. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { readPolicy } from "../data/policies.js";
import type { Policy } from "../data/policies.js";
import { members, parseJson, pretty } from "../json.js";
import { ConsoleError } from "../problem.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Dialog } from "../ui/dialog.js";
import { TextArea } from "../ui/field.js";

interface PolicyProps {
  policy: Policy;
  onChange: () => void;
  onClose: () => void;
}

export function PolicyDialog({ policy, onChange, onClose }: PolicyProps) {
  const { client } = useConsole();
  const actor = client.actor("policy", policy.type);
  const hasPatch = Object.keys(policy.patch).length > 0;
  const [text, setText] = useState(hasPatch ? pretty(policy.patch) : '{\n  "concurrency": 2\n}');
  const action = useAction();
  const parsed = parseJson(text);
  const wrong = "wrong" in parsed ? parsed.wrong : shapeOf(parsed.value);
  const set = (): void => {
    action.run(async () => {
      if (wrong !== undefined) throw new ConsoleError("invalid", wrong, "patch");
      const answer = await actor.send("set", "value" in parsed ? parsed.value : {});
      onChange();
      return `In force: ${JSON.stringify(readPolicy(answer.body).patch)}`;
    });
  };
  const reset = (): void => {
    action.run(async () => {
      await actor.send("reset", {});
      onChange();
      return "Back to what the application says.";
    });
  };
  const isPending = action.progress.state === "pending";
  const name = policy.type === "*" ? "every type" : policy.type;
  return (
    <Dialog title={`Policy of ${name}`} onClose={onClose}>
      <TextArea
        label="Change"
        value={text}
        rows={8}
        onInput={setText}
        error={wrong}
        hint="JSON, merged into what is set; null clears a setting. For example concurrency, clusterConcurrency, rate, retry, stepTimeoutMs, totalTimeoutMs, queueTimeoutMs, breaker, retentionMs."
      />
      <Outcome progress={action.progress} />
      <div class="buttons">
        <Button kind="primary" pending={isPending} onClick={set}>
          Set
        </Button>
        {hasPatch && (
          <Button kind="danger" pending={isPending} onClick={reset}>
            Reset
          </Button>
        )}
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  );
}

function shapeOf(value: unknown): string | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const isPatch = isObject && Object.keys(members(value)).length > 0;
  return isPatch
    ? undefined
    : 'Write an object of the settings to change, such as {"concurrency": 2}.';
}
