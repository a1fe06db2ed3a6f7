/** A password for a user, typed twice. It is in this dialog alone, and goes with it. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { setPassword } from "../data/users.js";
import type { User } from "../data/users.js";
import { ConsoleError } from "../problem.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Dialog } from "../ui/dialog.js";
import { Input } from "../ui/field.js";
import { resting } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";

const CHARS_MIN = 15;
const CHARS_MAX = 128;

export const PASSWORD_HINT = `${CHARS_MIN} characters or more; some words in a row make a good one.`;

/** What is wrong with a password at first sight. What is too easy to guess only the node knows. */
export function wrongPassword(password: string): string | undefined {
  // A code point is a character.
  const chars = Array.from(password).length;
  if (chars < CHARS_MIN) return `It has ${chars} of at least ${CHARS_MIN} characters.`;
  return chars > CHARS_MAX ? `It has more than ${CHARS_MAX} characters.` : undefined;
}

interface PasswordProps {
  user: User;
  guard: Guard;
  onChange: () => void;
  onClose: () => void;
}

export function PasswordDialog({ user, guard, onChange, onClose }: PasswordProps) {
  const { http } = useConsole();
  const [password, setText] = useState("");
  const [again, setAgain] = useState("");
  const action = useAction();
  const wrong = password === "" ? undefined : wrongPassword(password);
  const differs = again !== "" && again !== password ? "It is not the same." : undefined;
  const set = (event: Event): void => {
    event.preventDefault();
    action.run(async () => {
      const fault = wrongPassword(password) ?? (again === password ? undefined : "Type it twice.");
      if (fault !== undefined) throw new ConsoleError("invalid", fault, "password");
      await guard.hold(() => resting(() => setPassword(http, user, password), onChange));
      setText("");
      setAgain("");
      onChange();
      return "It is the password now; all logins have ended.";
    });
  };
  return (
    <Dialog title={`Password of ${user.username}`} onClose={onClose}>
      <form onSubmit={set} noValidate>
        <Input
          label="New password"
          type="password"
          autocomplete="new-password"
          value={password}
          onInput={setText}
          hint={PASSWORD_HINT}
          error={wrong}
        />
        <Input
          label="The same again"
          type="password"
          autocomplete="new-password"
          value={again}
          onInput={setAgain}
          error={differs}
        />
        <Outcome progress={action.progress} />
        <div class="buttons">
          <Button type="submit" kind="primary" pending={action.progress.state === "pending"}>
            Set the password
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}
