/** The users of the tenant, and how one is added. */

import { useState } from "preact/hooks";
import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Pages, readPageOf } from "../data/pages.js";
import { withQuery } from "../data/http.js";
import { createUser, readUser, USERS } from "../data/users.js";
import type { User } from "../data/users.js";
import { go, href } from "../route.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import { Dialog } from "../ui/dialog.js";
import { Input } from "../ui/field.js";
import { useGuard } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";
import { RoleNames, RolePicker } from "../ui/roles.js";
import { Table } from "../ui/table.js";
import { Moment } from "../ui/time.js";
import { AccessPage } from "./access.js";
import { PASSWORD_HINT, wrongPassword } from "./password.js";

const COLUMNS = [
  { title: "User" },
  { title: "State" },
  { title: "Roles" },
  { title: "Email", wide: true },
  { title: "Password since", wide: true },
  { title: "Made", wide: true },
] as const;

export function UsersView() {
  const { http } = useConsole();
  const [isNew, setNew] = useState(false);
  const guard = useGuard();
  const pages = useOwned(
    () =>
      new Pages(WHY_MS, async (cursor = "", signal) =>
        readPageOf(await http.read(withQuery(USERS, { cursor }), signal), readUser),
      ),
    [http],
  );
  return (
    <>
      <AccessPage
        here="users"
        pages={pages}
        guard={guard}
        one="user"
        onNew={() => {
          setNew(true);
        }}
        empty="There is no user yet. Add one, or run “selvedge user add”."
      >
        <Table label="Users" columns={COLUMNS}>
          {pages.items.value?.map((user) => (
            <UserRow key={user.id} user={user} />
          ))}
        </Table>
      </AccessPage>
      {isNew && (
        <NewUserDialog
          guard={guard}
          onClose={() => {
            setNew(false);
          }}
        />
      )}
    </>
  );
}

export function UserBadge({ user }: { user: User }) {
  if (!user.isEnabled) return <Badge tone="quiet" word="disabled" />;
  return user.passwordChangedAt === undefined ? (
    <Badge tone="warn" word="no password" title="Cannot log in until it has one" />
  ) : (
    <Badge tone="good" word="enabled" />
  );
}

function UserRow({ user }: { user: User }) {
  return (
    <tr>
      <th scope="row" class="id">
        <a href={href({ view: "user", id: user.id })}>{user.username}</a>
      </th>
      <td>
        <UserBadge user={user} />
      </td>
      <td>
        <RoleNames roles={user.roles} />
      </td>
      <td class="wide">{user.email ?? "–"}</td>
      <td class="wide when">
        <Moment at={user.passwordChangedAt} />
      </td>
      <td class="wide when">
        <Moment at={user.createdAt} />
      </td>
    </tr>
  );
}

function NewUserDialog({ guard, onClose }: { guard: Guard; onClose: () => void }) {
  const { http } = useConsole();
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [roles, setRoles] = useState<string[]>(["viewer"]);
  const action = useAction();
  const create = (event: Event): void => {
    event.preventDefault();
    action.run(async () => {
      const user = await guard.hold(() =>
        createUser(http, {
          username: username.trim(),
          roles,
          ...(email.trim() === "" ? {} : { email: email.trim() }),
          ...(password === "" ? {} : { password }),
        }),
      );
      go({ view: "user", id: user.id });
      return `${user.username} is made.`;
    });
  };
  return (
    <Dialog title="New user" onClose={onClose}>
      <form onSubmit={create} noValidate>
        <Input
          label="Username"
          value={username}
          onInput={setUsername}
          hint="Letters, digits and ._@+-; capitals are folded."
        />
        <Input label="Email" value={email} onInput={setEmail} hint="Optional." />
        <Input
          label="Password"
          type="password"
          autocomplete="new-password"
          value={password}
          onInput={setPassword}
          hint={`${PASSWORD_HINT} Without one the user cannot log in yet.`}
          error={password === "" ? undefined : wrongPassword(password)}
        />
        <RolePicker value={roles} onInput={setRoles} />
        <Outcome progress={action.progress} />
        <div class="buttons">
          <Button
            type="submit"
            kind="primary"
            pending={action.progress.state === "pending"}
            disabled={username.trim() === ""}
          >
            Make the user
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}
