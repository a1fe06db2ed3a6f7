/** Where a user has logged in and goes on, and how that is ended. */

import { useState } from "preact/hooks";
import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { now } from "../data/clock.js";
import { Polled } from "../data/poll.js";
import { endLogin, getLogins, isOpen } from "../data/users.js";
import type { User, UserLogin } from "../data/users.js";
import { count } from "../format.js";
import { toProblem } from "../problem.js";
import { Button } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import { Confirm } from "../ui/dialog.js";
import type { Guard } from "../ui/guard.js";
import { Empty, Panel } from "../ui/panel.js";
import { Table } from "../ui/table.js";
import { Ago, Moment } from "../ui/time.js";

const COLUMNS = [
  { title: "With" },
  { title: "State" },
  { title: "Used", wide: true },
  { title: "Began", wide: true },
  { title: "Until", wide: true },
  { title: "Actions" },
] as const;

export function Logins({ user, guard }: { user: User; guard: Guard }) {
  const { http } = useConsole();
  const [asked, ask] = useState<readonly UserLogin[] | undefined>(undefined);
  const polled = useOwned(
    () => new Polled(WHY_MS, (signal) => getLogins(http, user.id, signal)),
    [http, user.id],
  );
  const logins = polled.value.value;
  const open = logins?.filter((login) => isOpen(login, now.peek())) ?? [];
  const isOff = guard.why !== undefined;
  const end = async (): Promise<string> => {
    const ending = asked ?? [];
    for (const login of ending) await guard.hold(() => ended(endLogin(http, user.id, login.id)));
    polled.refresh();
    return ending.length === 1 ? "It has ended." : `${count(ending.length, "login")} have ended.`;
  };
  return (
    <Panel
      title="Logins"
      source={polled}
      aside={logins === undefined ? undefined : `${open.length} open`}
    >
      {logins === undefined || logins.length === 0 ? (
        <Empty source={polled}>It has not logged in.</Empty>
      ) : (
        <Table label="Logins" columns={COLUMNS}>
          {logins.map((login) => (
            <LoginRow
              key={login.id}
              login={login}
              isOff={isOff}
              onEnd={() => {
                ask([login]);
              }}
            />
          ))}
        </Table>
      )}
      {open.length > 1 && (
        <div class="buttons">
          <Button
            kind="danger"
            disabled={isOff}
            onClick={() => {
              ask(open);
            }}
          >
            End all…
          </Button>
        </div>
      )}
      {asked !== undefined && (
        <Confirm
          title={asked.length === 1 ? "End this login?" : `End ${count(asked.length, "login")}?`}
          verb="End"
          work={end}
          onClose={() => {
            ask(undefined);
          }}
        >
          <p>
            Nobody goes on with what came of it; sessions are closed within a second. The user can
            log in again.
          </p>
        </Confirm>
      )}
    </Panel>
  );
}

/** One that has ended by itself meanwhile is none that could not be ended. */
async function ended(ending: Promise<void>): Promise<void> {
  try {
    await ending;
  } catch (error) {
    if (toProblem(error).code !== "not_found") throw error;
  }
}

interface RowProps {
  login: UserLogin;
  isOff: boolean;
  onEnd: () => void;
}

function LoginRow({ login, isOff, onEnd }: RowProps) {
  const isGoing = isOpen(login, now.peek());
  return (
    <tr>
      <th scope="row">{login.client}</th>
      <td>
        {isGoing ? (
          <Badge tone="good" word="open" />
        ) : (
          <>
            <Badge tone="quiet" word={login.endedAt === undefined ? "expired" : "ended"} />
            {login.reason !== undefined && <span class="note"> {login.reason}</span>}
          </>
        )}
      </td>
      <td class="wide when">
        <Ago at={login.usedAt} />
      </td>
      <td class="wide when">
        <Moment at={login.createdAt} />
      </td>
      <td class="wide when">
        <Moment at={login.expiresAt} />
      </td>
      <td class="actions">
        {isGoing && (
          <Button label={`End the login with ${login.client}`} disabled={isOff} onClick={onEnd}>
            End…
          </Button>
        )}
      </td>
    </tr>
  );
}
