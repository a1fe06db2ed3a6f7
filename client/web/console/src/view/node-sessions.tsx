/** The sessions of the node that serves this page, and how one is closed, or all of a principal. */

import { useState } from "preact/hooks";
import { useConsole, useOwned } from "../console.js";
import { closeSession, closeSessionsOf, sessionPages } from "../data/sessions.js";
import type { SessionRow } from "../data/sessions.js";
import { Button } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import { Confirm } from "../ui/dialog.js";
import { Refused, resting, useGuard } from "../ui/guard.js";
import { Pager } from "../ui/pager.js";
import { Empty, Panel } from "../ui/panel.js";
import { Principal } from "../ui/principal.js";
import { Table } from "../ui/table.js";
import { Ago } from "../ui/time.js";

const COLUMNS = [
  { title: "Principal" },
  { title: "State" },
  { title: "Since", wide: true },
  { title: "Tenant", wide: true },
  { title: "By", wide: true },
  { title: "Opened", wide: true },
  { title: "Session", wide: true },
  { title: "Actions" },
] as const;

interface Asked {
  deed: "one" | "all";
  row: SessionRow;
}

export function NodeSessions() {
  const { http, session } = useConsole();
  const [asked, ask] = useState<Asked | undefined>(undefined);
  const guard = useGuard();
  const pages = useOwned(() => sessionPages(http), [http]);
  const rows = pages.items.value;
  const node = rows?.[0]?.node;
  const refresh = (): void => {
    pages.refresh();
  };
  const close = async ({ deed, row }: Asked): Promise<string> => {
    const work = () => (deed === "one" ? closeSession(http, row.id) : closeSessionsOf(http, row));
    await guard.hold(() => resting(work, refresh));
    refresh();
    return deed === "one" ? "Closed." : "All nodes are told; within a second they are closed.";
  };
  return (
    <Panel title="Sessions of the node" source={pages.page} aside={node}>
      {rows === undefined || rows.length === 0 ? (
        <Empty source={pages.page}>There is none.</Empty>
      ) : (
        <Table label="Sessions of the node" columns={COLUMNS}>
          {rows.map((row) => (
            <Row
              key={row.id}
              row={row}
              isOwn={row.id === session.info.value?.id}
              isOff={guard.why !== undefined}
              ask={(deed) => {
                ask({ deed, row });
              }}
            />
          ))}
        </Table>
      )}
      <Pager pages={pages} of="session" />
      <Refused guard={guard} />
      {asked !== undefined && (
        <Confirm
          title={
            asked.deed === "one"
              ? `Close a session of ${asked.row.principal}?`
              : `Close all sessions of ${asked.row.principal}?`
          }
          verb={asked.deed === "one" ? "Close the session" : "Close them"}
          work={() => close(asked)}
          onClose={() => {
            ask(undefined);
          }}
        >
          <Consequence asked={asked} isOwn={asked.row.id === session.info.value?.id} />
        </Confirm>
      )}
    </Panel>
  );
}

function Consequence({ asked, isOwn }: { asked: Asked; isOwn: boolean }) {
  const reach =
    asked.deed === "one"
      ? "What waits in it for an answer is told that it may have taken effect."
      : "On whichever nodes they are, also those that this list does not show.";
  return (
    <>
      <p>{`${reach} Whoever has a credential that is good can open a new one.`}</p>
      {isOwn && <p>This tab's own is among them.</p>}
    </>
  );
}

interface RowProps {
  row: SessionRow;
  isOwn: boolean;
  isOff: boolean;
  ask: (deed: Asked["deed"]) => void;
}

function Row({ row, isOwn, isOff, ask }: RowProps) {
  return (
    <tr>
      <th scope="row" class="id">
        <Principal name={row.principal} />
        {isOwn && <span class="note"> this tab</span>}
      </th>
      <td>
        <Badge
          tone={row.isConnected ? "good" : "quiet"}
          word={row.isConnected ? "connected" : "detached"}
        />
      </td>
      <td class="wide when">
        <Ago at={row.since} />
      </td>
      <td class="wide">{row.tenant}</td>
      <td class="wide">{row.transport ?? "–"}</td>
      <td class="wide when">
        <Ago at={row.createdAt} />
      </td>
      <td class="wide">
        <code class="id">{row.id}</code>
      </td>
      <td class="actions">
        <span class="buttons">
          <Button
            label={`Close the session ${row.id}`}
            disabled={isOff}
            onClick={() => {
              ask("one");
            }}
          >
            Close…
          </Button>
          <Button
            label={`Close all sessions of ${row.principal}`}
            disabled={isOff}
            onClick={() => {
              ask("all");
            }}
          >
            Close all…
          </Button>
        </span>
      </td>
    </tr>
  );
}
