/** Makes a role, or gives it other rules. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { getRole, rulesOf, setRole, wrongRoleName, wrongRule } from "../data/roles.js";
import type { Role } from "../data/roles.js";
import { count } from "../format.js";
import { ConsoleError } from "../problem.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Dialog } from "../ui/dialog.js";
import { Input, TextArea } from "../ui/field.js";
import { resting } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";

interface RoleProps {
  /** Without a name: a new one. */
  role: Role;
  guard: Guard;
  onChange: () => void;
  onClose: () => void;
}

export function RoleDialog({ role, guard, onChange, onClose }: RoleProps) {
  const { http } = useConsole();
  const isNew = role.name === "";
  // What the form began with; another one where somebody else came first.
  const [version, setVersion] = useState(role.version);
  const [name, setName] = useState(role.name);
  const [text, setText] = useState(role.rules.join("\n"));
  const [isAnother, setAnother] = useState(false);
  const action = useAction();
  const rules = rulesOf(text);
  const show = (present: Role): void => {
    setVersion(present.version);
    setText(present.rules.join("\n"));
    onChange();
  };
  const reload = async (): Promise<void> => {
    onChange();
    show(await getRole(http, name.trim()));
    setAnother(true);
  };
  const save = (event: Event): void => {
    event.preventDefault();
    setAnother(false);
    action.run(async () => {
      const wrongName = wrongRoleName(name.trim());
      if (wrongName !== undefined) throw new ConsoleError("invalid", wrongName, "name");
      const wrong = wrongRule(rules);
      if (wrong !== undefined) throw new ConsoleError("invalid", wrong, "rules");
      const write = () => setRole(http, { name: name.trim(), version }, rules);
      show(await guard.hold(() => resting(write, reload)));
      return `In force within a second: ${count(rules.length, "rule")}.`;
    });
  };
  return (
    <Dialog title={isNew ? "New role" : `Change ${role.name}`} onClose={onClose}>
      <form onSubmit={save} noValidate>
        {isNew && (
          <Input
            label="Name"
            value={name}
            onInput={setName}
            mono
            error={name === "" ? undefined : wrongRoleName(name.trim())}
          />
        )}
        <TextArea
          label="Rules"
          value={text}
          rows={8}
          onInput={setText}
          error={wrongRule(rules)}
          hint="One a line: RESOURCE:ACTION, either of them *, with :own behind for what is one's own. Resources: operation, actor, schedule, policy, session, cluster, audit, limit, role, api-key, user, subject. Actions: read, write, tell, work."
        />
        <Outcome progress={action.progress} />
        {isAnother && <p class="hint">The form shows what it is now.</p>}
        <div class="buttons">
          <Button type="submit" kind="primary" pending={action.progress.state === "pending"}>
            {isNew ? "Make the role" : "Save"}
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}
