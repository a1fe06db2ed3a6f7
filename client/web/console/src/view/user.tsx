/** A user: what it is and may, and what can be done about it. */

import { useState } from "preact/hooks";
import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Polled } from "../data/poll.js";
import { changeUser, getUser, removeUser } from "../data/users.js";
import type { User } from "../data/users.js";
import { AUDIT, go, href } from "../route.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Confirm, Dialog } from "../ui/dialog.js";
import { Input } from "../ui/field.js";
import { Refused, resting, useGuard } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";
import { Empty, Panel } from "../ui/panel.js";
import { RoleNames, RolePicker } from "../ui/roles.js";
import { Fact, Facts } from "../ui/table.js";
import { Moment } from "../ui/time.js";
import { Logins } from "./logins.js";
import { PasswordDialog } from "./password.js";
import { UserBadge } from "./users.js";

export function UserView({ id }: { id: string }) {
  const { http } = useConsole();
  const guard = useGuard();
  const polled = useOwned(
    () => new Polled(WHY_MS, (signal) => getUser(http, id, signal)),
    [http, id],
  );
  const user = polled.value.value;
  return (
    <>
      <p class="crumbs">
        <a href={href({ view: "users" })}>Users</a>
      </p>
      <div class="title">
        <h1 tabIndex={-1}>{user?.username ?? "User"}</h1>
        {user !== undefined && <UserBadge user={user} />}
      </div>
      <Panel title="About" source={polled}>
        {user === undefined ? (
          <Empty source={polled}>There is no such user.</Empty>
        ) : (
          <>
            <About user={user} />
            <Deeds
              user={user}
              guard={guard}
              onChange={() => {
                polled.refresh();
              }}
            />
          </>
        )}
      </Panel>
      {user !== undefined && <Logins user={user} guard={guard} />}
    </>
  );
}

function About({ user }: { user: User }) {
  return (
    <Facts>
      <Fact name="Roles">
        <RoleNames roles={user.roles} />
      </Fact>
      <Fact name="Email">{user.email ?? "–"}</Fact>
      <Fact name="Password since">
        <Moment at={user.passwordChangedAt} />
      </Fact>
      <Fact name="Made">
        <Moment at={user.createdAt} />
      </Fact>
      <Fact name="Changed">
        <Moment at={user.updatedAt} />
      </Fact>
      <Fact name="Version">{user.version}</Fact>
      <Fact name="Id">
        <code class="id">{user.id}</code>
      </Fact>
      <Fact name="What it did">
        <a href={href({ ...AUDIT, principal: `user:${user.username}` })}>Audit trail</a>
      </Fact>
    </Facts>
  );
}

interface DeedsProps {
  user: User;
  guard: Guard;
  onChange: () => void;
}

type Deed = "change" | "password" | "disable" | "remove";

function Deeds({ user, guard, onChange }: DeedsProps) {
  const { http } = useConsole();
  const action = useAction();
  const [asked, ask] = useState<Deed | undefined>(undefined);
  const enable = (): void => {
    action.run(async () => {
      await guard.hold(() => resting(() => changeUser(http, user, { enabled: true }), onChange));
      onChange();
      return `${user.username} may log in again.`;
    });
  };
  const button = (words: string, deed: Deed, kind: "plain" | "danger" = "plain") => (
    <Button
      kind={kind}
      disabled={guard.why !== undefined}
      onClick={() => {
        ask(deed);
      }}
    >
      {words}
    </Button>
  );
  const common = {
    user,
    guard,
    onChange,
    onClose: () => {
      ask(undefined);
    },
  };
  return (
    <>
      <div class="buttons">
        {button("Change…", "change")}
        {button("Set password…", "password")}
        {user.isEnabled ? (
          button("Disable…", "disable")
        ) : (
          <Button
            pending={action.progress.state === "pending"}
            disabled={guard.why !== undefined}
            onClick={enable}
          >
            Enable
          </Button>
        )}
        {button("Remove…", "remove", "danger")}
      </div>
      <Refused guard={guard} />
      <Outcome progress={action.progress} />
      {asked === "change" && <ChangeDialog {...common} />}
      {asked === "password" && <PasswordDialog {...common} />}
      {asked === "disable" && <Disable {...common} />}
      {asked === "remove" && <Remove {...common} />}
    </>
  );
}

interface DialogProps extends DeedsProps {
  onClose: () => void;
}

function ChangeDialog({ user, guard, onChange, onClose }: DialogProps) {
  const { http } = useConsole();
  // What the form began with; another one where somebody else came first.
  const [base, setBase] = useState(user);
  const [email, setEmail] = useState(user.email ?? "");
  const [roles, setRoles] = useState<string[]>(user.roles);
  const [isAnother, setAnother] = useState(false);
  const action = useAction();
  const show = (present: User): void => {
    setBase(present);
    setEmail(present.email ?? "");
    setRoles(present.roles);
    onChange();
  };
  const reload = async (): Promise<void> => {
    show(await getUser(http, user.id));
    setAnother(true);
  };
  const save = (event: Event): void => {
    event.preventDefault();
    setAnother(false);
    action.run(async () => {
      const change = { roles, email: email.trim() === "" ? null : email.trim() };
      show(await guard.hold(() => resting(() => changeUser(http, base, change), reload)));
      return "Changed. What is open takes it up within a second.";
    });
  };
  return (
    <Dialog title={`Change ${user.username}`} onClose={onClose}>
      <form onSubmit={save} noValidate>
        <Input label="Email" value={email} onInput={setEmail} hint="Empty: none." />
        <RolePicker value={roles} onInput={setRoles} />
        <Outcome progress={action.progress} />
        {isAnother && <p class="hint">The form shows what it is now.</p>}
        <div class="buttons">
          <Button type="submit" kind="primary" pending={action.progress.state === "pending"}>
            Save
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}

function Disable({ user, guard, onChange, onClose }: DialogProps) {
  const { http } = useConsole();
  return (
    <Confirm
      title={`Disable ${user.username}?`}
      verb="Disable"
      work={async () => {
        await guard.hold(() => resting(() => changeUser(http, user, { enabled: false }), onChange));
        onChange();
        return `${user.username} cannot log in any more.`;
      }}
      onClose={onClose}
    >
      <p>Its logins end, and its sessions are closed within a second. It can be enabled again.</p>
    </Confirm>
  );
}

function Remove({ user, guard, onChange, onClose }: DialogProps) {
  const { http } = useConsole();
  return (
    <Confirm
      title={`Remove ${user.username}?`}
      verb="Remove"
      work={async () => {
        await guard.hold(() => resting(() => removeUser(http, user), onChange));
        go({ view: "users" });
        return `${user.username} is gone.`;
      }}
      onClose={onClose}
    >
      <p>Its logins end with it. What it did stays in the audit trail.</p>
    </Confirm>
  );
}
