/** Roles and the rules that they give: those that every tenant has, and the tenant's own. */

import { useState } from "preact/hooks";
import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { withQuery } from "../data/http.js";
import { Pages, readPageOf } from "../data/pages.js";
import { readRole, removeRole } from "../data/roles.js";
import type { Role } from "../data/roles.js";
import { Button } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import { Confirm } from "../ui/dialog.js";
import { resting, useGuard } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";
import { Table } from "../ui/table.js";
import { Moment } from "../ui/time.js";
import { AccessPage } from "./access.js";
import { RoleDialog } from "./role-dialog.js";

const COLUMNS = [
  { title: "Role" },
  { title: "Rules" },
  { title: "Changed", wide: true },
  { title: "Actions" },
] as const;

const NEW: Role = { name: "", rules: [], isBuiltIn: false, version: 0, updatedAt: undefined };

export function RolesView() {
  const { http } = useConsole();
  const [asked, ask] = useState<{ deed: "edit" | "remove"; role: Role } | undefined>(undefined);
  const guard = useGuard();
  const pages = useOwned(
    () =>
      new Pages(WHY_MS, async (cursor = "", signal) =>
        readPageOf(await http.read(withQuery("v1/roles", { cursor }), signal), readRole),
      ),
    [http],
  );
  const dialog = {
    guard,
    onChange: () => {
      pages.refresh();
    },
    onClose: () => {
      ask(undefined);
    },
  };
  return (
    <>
      <AccessPage
        here="roles"
        pages={pages}
        guard={guard}
        one="role"
        onNew={() => {
          ask({ deed: "edit", role: NEW });
        }}
        empty="There is none."
        hint="A role only ever gives; what no role gives is refused. Nobody gives what they do not have themselves."
      >
        <Table label="Roles" columns={COLUMNS}>
          {pages.items.value?.map((role) => (
            <RoleRow
              key={role.name}
              role={role}
              isOff={guard.why !== undefined}
              ask={(deed) => {
                ask({ deed, role });
              }}
            />
          ))}
        </Table>
      </AccessPage>
      {asked?.deed === "edit" && <RoleDialog role={asked.role} {...dialog} />}
      {asked?.deed === "remove" && <Remove role={asked.role} {...dialog} />}
    </>
  );
}

interface RemoveProps {
  role: Role;
  guard: Guard;
  onChange: () => void;
  onClose: () => void;
}

function Remove({ role, guard, onChange, onClose }: RemoveProps) {
  const { http } = useConsole();
  return (
    <Confirm
      title={`Remove ${role.name}?`}
      verb="Remove"
      work={async () => {
        await guard.hold(() => resting(() => removeRole(http, role), onChange));
        onChange();
        return `${role.name} is gone.`;
      }}
      onClose={onClose}
    >
      <p>Who has it has less from then on, within a second.</p>
    </Confirm>
  );
}

interface RowProps {
  role: Role;
  isOff: boolean;
  ask: (deed: "edit" | "remove") => void;
}

function RoleRow({ role, isOff, ask }: RowProps) {
  return (
    <tr>
      <th scope="row" class="id">
        <code>{role.name}</code>
      </th>
      <td class="rules">
        <ul class="names">
          {role.rules.map((rule) => (
            <li key={rule}>
              <code>{rule}</code>
            </li>
          ))}
        </ul>
      </td>
      <td class="wide when">
        <Moment at={role.updatedAt} />
      </td>
      <td class="actions">
        {role.isBuiltIn ? (
          <Badge tone="quiet" word="built in" />
        ) : (
          <span class="buttons">
            <Button
              label={`Change ${role.name}`}
              disabled={isOff}
              onClick={() => {
                ask("edit");
              }}
            >
              Change…
            </Button>
            <Button
              label={`Remove ${role.name}`}
              disabled={isOff}
              onClick={() => {
                ask("remove");
              }}
            >
              Remove…
            </Button>
          </span>
        )}
      </td>
    </tr>
  );
}
