/** Limits over the cluster: the rates that are set, and whom this node refuses. */

import { useState } from "preact/hooks";
import { POLL_MS, WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Polled } from "../data/poll.js";
import { deleteLimit, getLimited, getLimits } from "../data/rates.js";
import type { Limited, RateLimit } from "../data/rates.js";
import { whole } from "../format.js";
import { Button } from "../ui/action.js";
import { Confirm } from "../ui/dialog.js";
import { Refused, useGuard } from "../ui/guard.js";
import { Empty, Panel } from "../ui/panel.js";
import { Principal } from "../ui/principal.js";
import { Table } from "../ui/table.js";
import { Moment } from "../ui/time.js";
import { LimitDialog } from "./limit-dialog.js";

const COLUMNS = [
  { title: "Of" },
  { title: "Limit", wide: true },
  { title: "Rate", numeric: true },
  { title: "Burst", numeric: true, wide: true },
  { title: "Ahead", numeric: true, wide: true },
  { title: "Changed", wide: true },
  { title: "By", wide: true },
  { title: "Actions" },
] as const;

type Asked = { deed: "set"; limit: RateLimit | undefined } | { deed: "delete"; limit: RateLimit };

export function RatesPanel() {
  const { http } = useConsole();
  const [asked, ask] = useState<Asked | undefined>(undefined);
  const guard = useGuard();
  const polled = useOwned(() => new Polled(WHY_MS, (signal) => getLimits(http, signal)), [http]);
  const limits = polled.value.value;
  const mayNot = polled.problem.value?.code === "permission_denied";
  const isOff = guard.why !== undefined;
  const dialog = {
    guard,
    onChange: () => {
      polled.refresh();
    },
    onClose: () => {
      ask(undefined);
    },
  };
  return (
    <Panel title="Rates over the cluster" source={polled}>
      {limits === undefined || limits.length === 0 ? (
        <Empty source={polled}>No limit is set: everybody gets what the nodes can give.</Empty>
      ) : (
        <Table label="Rates" columns={COLUMNS}>
          {limits.map((limit) => (
            <RateRow
              key={`${limit.tenant ?? ""} ${limit.scope} ${limit.limit}`}
              limit={limit}
              isOff={isOff}
              ask={(deed) => {
                ask({ deed, limit });
              }}
            />
          ))}
        </Table>
      )}
      {!mayNot && (
        <div class="buttons">
          <Button
            disabled={isOff}
            onClick={() => {
              ask({ deed: "set", limit: undefined });
            }}
          >
            Set a limit…
          </Button>
        </div>
      )}
      <Refused guard={guard} />
      <p class="hint">
        In force on every node within a second. “Ahead” is what each node may be ahead of all
        others: the bound by which all of them together may go over the rate.
      </p>
      {asked?.deed === "set" && <LimitDialog limit={asked.limit} {...dialog} />}
      {asked?.deed === "delete" && (
        <Confirm
          title={`Delete the limit of ${asked.limit.limit} of ${asked.limit.scope}?`}
          verb="Delete"
          work={async () => {
            await guard.hold(() => deleteLimit(http, asked.limit));
            dialog.onChange();
            return "There is none now.";
          }}
          onClose={dialog.onClose}
        >
          <p>A wider limit, of all tenants or all principals, holds then if there is one.</p>
        </Confirm>
      )}
    </Panel>
  );
}

interface RowProps {
  limit: RateLimit;
  isOff: boolean;
  ask: (deed: "set" | "delete") => void;
}

function RateRow({ limit, isOff, ask }: RowProps) {
  const { scope, tenant } = limit;
  const what = `the limit of ${limit.limit} of ${scope}`;
  return (
    <tr>
      <th scope="row" class="id">
        <code>{scope}</code>
        {scope.startsWith("principal:") && <span class="note"> of {tenant}</span>}
        <span class="narrow note">{limit.limit}</span>
      </th>
      <td class="wide">{limit.limit}</td>
      <td class="numeric">{limit.rate}</td>
      <td class="numeric wide">{whole(limit.burst)}</td>
      <td class="numeric wide">{whole(limit.batch)}</td>
      <td class="wide when">
        <Moment at={limit.changedAt} />
      </td>
      <td class="wide">{limit.changedBy}</td>
      <td class="actions">
        <span class="buttons">
          <Button
            label={`Change ${what}`}
            disabled={isOff}
            onClick={() => {
              ask("set");
            }}
          >
            Change…
          </Button>
          <Button
            label={`Delete ${what}`}
            disabled={isOff}
            onClick={() => {
              ask("delete");
            }}
          >
            Delete…
          </Button>
        </span>
      </td>
    </tr>
  );
}

const TOP_COLUMNS = [
  { title: "Principal" },
  { title: "Tenant", wide: true },
  { title: "Limit" },
  { title: "Of" },
  { title: "Refused", numeric: true },
] as const;

export function LimitedPanel() {
  const { http } = useConsole();
  const polled = useOwned(() => new Polled(POLL_MS, (signal) => getLimited(http, signal)), [http]);
  const limited = polled.value.value;
  return (
    <Panel title="Refused most in the last minute" source={polled} aside="by this node">
      {limited === undefined || limited.length === 0 ? (
        <Empty source={polled}>Nobody was refused.</Empty>
      ) : (
        <Table label="Who is refused most" columns={TOP_COLUMNS}>
          {limited.map((row) => (
            <LimitedRow
              key={`${row.tenant} ${row.principal} ${row.limit} ${row.scope}`}
              row={row}
            />
          ))}
        </Table>
      )}
    </Panel>
  );
}

function LimitedRow({ row }: { row: Limited }) {
  return (
    <tr>
      <th scope="row" class="id">
        <Principal name={row.principal} />
      </th>
      <td class="wide">{row.tenant}</td>
      <td>{row.limit}</td>
      <td>the {row.scope}</td>
      <td class="numeric">{whole(row.refused)}</td>
    </tr>
  );
}
