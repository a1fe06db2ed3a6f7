/** Sets a limit: a new one, or another rate for one that is there. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { LIMITED, setLimit, wrongRate } from "../data/rates.js";
import type { RateLimit } from "../data/rates.js";
import { ConsoleError } from "../problem.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Dialog } from "../ui/dialog.js";
import { Input, Select } from "../ui/field.js";
import type { Guard } from "../ui/guard.js";

const OF = [
  ["principal:", "One principal"],
  ["principal:*", "Each principal of this tenant"],
  ["tenant:", "One tenant"],
  ["tenant:*", "Each tenant"],
] as const;

interface LimitProps {
  /** Undefined: a new one. */
  limit: RateLimit | undefined;
  guard: Guard;
  onChange: () => void;
  onClose: () => void;
}

export function LimitDialog({ limit: before, guard, onChange, onClose }: LimitProps) {
  const { http } = useConsole();
  const [of, setOf] = useState("principal:");
  const [name, setName] = useState("");
  const [limit, setLimited] = useState<string>(before?.limit ?? "commands");
  const [rate, setRate] = useState(before?.rate ?? "");
  const [burst, setBurst] = useState(before === undefined ? "" : String(before.burst));
  const action = useAction();
  const isNamed = !of.endsWith("*");
  const scope = before?.scope ?? (isNamed ? of + name.trim() : of);
  const set = (event: Event): void => {
    event.preventDefault();
    action.run(async () => {
      if (before === undefined && isNamed && name.trim() === "") {
        throw new ConsoleError("invalid", "say of whom", "name");
      }
      const wrong = wrongRate(rate.trim()) ?? wrongBurst(burst);
      if (wrong !== undefined) throw new ConsoleError("invalid", wrong, "rate");
      const body = { rate: rate.trim(), ...(burst.trim() === "" ? {} : { burst: Number(burst) }) };
      const named = { scope, limit, tenant: before?.tenant };
      const now = await guard.hold(() => setLimit(http, named, body));
      onChange();
      return `In force within a second: ${now.rate}, ${now.burst} at once.`;
    });
  };
  return (
    <Dialog title={before === undefined ? "Set a limit" : `Limit of ${scope}`} onClose={onClose}>
      <form onSubmit={set} noValidate>
        {before === undefined && (
          <>
            <Select label="Of" value={of} options={OF} onInput={setOf} />
            {isNamed && <Input label="Name" value={name} onInput={setName} mono />}
            <Select label="What" value={limit} options={LIMITED} onInput={setLimited} />
          </>
        )}
        <Input
          label="Rate"
          value={rate}
          onInput={setRate}
          hint="50/s, 600/min or 10/h."
          error={rate.trim() === "" ? undefined : wrongRate(rate.trim())}
          mono
        />
        <Input
          label="Burst"
          value={burst}
          onInput={setBurst}
          hint="What may come at once. Empty: what comes in a second."
          error={wrongBurst(burst)}
          mono
        />
        <Outcome progress={action.progress} />
        <div class="buttons">
          <Button type="submit" kind="primary" pending={action.progress.state === "pending"}>
            Set
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}

function wrongBurst(burst: string): string | undefined {
  const isWhole = burst.trim() === "" || /^[1-9]\d{0,9}$/.test(burst.trim());
  return isWhole ? undefined : "Write a whole number from 1.";
}
