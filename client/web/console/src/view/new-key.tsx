/** Makes an API key, and shows its secret once: it is in this dialog alone, and goes with it. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { makeApiKey } from "../data/api-keys.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Dialog } from "../ui/dialog.js";
import { Input } from "../ui/field.js";
import type { Guard } from "../ui/guard.js";
import { MomentInput } from "../ui/moment-field.js";
import { RolePicker } from "../ui/roles.js";
import { Secret } from "../ui/secret.js";

interface NewKeyProps {
  guard: Guard;
  onChange: () => void;
  onClose: () => void;
}

export function NewKeyDialog({ guard, onChange, onClose }: NewKeyProps) {
  const { http } = useConsole();
  const [name, setName] = useState("");
  const [roles, setRoles] = useState<string[]>([]);
  const [expiresAt, setExpiresAt] = useState("");
  const [secret, setSecret] = useState<string | undefined>(undefined);
  const action = useAction();
  const make = (event: Event): void => {
    event.preventDefault();
    action.run(async () => {
      const key = { name: name.trim(), roles, ...(expiresAt === "" ? {} : { expiresAt }) };
      const made = await guard.hold(() => makeApiKey(http, key));
      setSecret(made.secret);
      onChange();
      return `${made.key.name} is made.`;
    });
  };
  if (secret !== undefined) {
    return (
      <Dialog title={`Key ${name.trim()}`} onClose={onClose}>
        <Secret label="The key itself" value={secret} />
        <p>
          It is shown here and never again: nobody keeps it but you. If it gets lost, revoke it and
          make another one.
        </p>
        <div class="buttons">
          <Button onClick={onClose}>I have kept it</Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="New API key" onClose={onClose}>
      <form onSubmit={make} noValidate>
        <Input label="Name" value={name} onInput={setName} hint="Says what it is for." />
        <RolePicker value={roles} onInput={setRoles} />
        <MomentInput
          label="Expires"
          value={expiresAt}
          onInput={setExpiresAt}
          hint="Empty: not before it is revoked."
        />
        <Outcome progress={action.progress} />
        <div class="buttons">
          <Button
            type="submit"
            kind="primary"
            pending={action.progress.state === "pending"}
            disabled={name.trim() === ""}
          >
            Make the key
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}
