/** Roles of a user or key: chosen from those that the tenant has, or written where they may not be seen. */

import { useEffect, useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { roleNames } from "../data/roles.js";
import { isAborted } from "../problem.js";
import { Input } from "./field.js";

interface RolePickerProps {
  value: readonly string[];
  onInput: (roles: string[]) => void;
}

export function RolePicker({ value, onInput }: RolePickerProps) {
  const known = useRoleNames();
  if (known === "unknown") {
    return (
      <Input
        label="Roles"
        value={value.join(" ")}
        hint="Names with spaces between. You may not see which there are."
        onInput={(text) => {
          onInput(text.split(/[\s,]+/).filter((name) => name !== ""));
        }}
        mono
      />
    );
  }
  // What is no role any more can be taken away.
  const all = [...new Set([...(known ?? []), ...value])];
  return (
    <fieldset class="choice">
      <legend>Roles</legend>
      {known === undefined && <p class="empty">Loading…</p>}
      {all.map((name) => (
        <label key={name} class="check">
          <input
            type="checkbox"
            checked={value.includes(name)}
            onChange={(event) => {
              const others = value.filter((other) => other !== name);
              onInput(event.currentTarget.checked ? [...others, name] : others);
            }}
          />
          <span>{name}</span>
          {known?.includes(name) === false && <span class="note">no role any more</span>}
        </label>
      ))}
    </fieldset>
  );
}

function useRoleNames(): readonly string[] | "unknown" | undefined {
  const { http } = useConsole();
  const [names, setNames] = useState<readonly string[] | "unknown" | undefined>(undefined);
  useEffect(() => {
    const abort = new AbortController();
    roleNames(http, abort.signal)
      .then(setNames)
      .catch((error: unknown) => {
        if (!isAborted(error)) setNames("unknown");
      });
    return () => {
      abort.abort();
    };
  }, [http]);
  return names;
}

/** Names in a cell. */
export function RoleNames({ roles }: { roles: readonly string[] }) {
  return roles.length === 0 ? (
    <span class="note">none</span>
  ) : (
    <ul class="names">
      {roles.map((role) => (
        <li key={role}>
          <code>{role}</code>
        </li>
      ))}
    </ul>
  );
}
