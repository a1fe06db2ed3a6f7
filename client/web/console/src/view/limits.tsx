/** Limits: rates over the cluster, the policies by which operations of each type run, and those of this session. */

import { useState } from "preact/hooks";
import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { operationTypes, readStatus } from "../data/cluster.js";
import { readPolicies, settings } from "../data/policies.js";
import type { Policy } from "../data/policies.js";
import { Polled } from "../data/poll.js";
import { bytes, duration, whole } from "../format.js";
import { Button } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import type { Tone } from "../ui/badge.js";
import { Empty, Panel } from "../ui/panel.js";
import { Table } from "../ui/table.js";
import { Moment } from "../ui/time.js";
import { PolicyDialog } from "./policy-dialog.js";
import { LimitedPanel, RatesPanel } from "./rates.js";

export function LimitsView() {
  return (
    <>
      <h1 tabIndex={-1}>Limits</h1>
      <RatesPanel />
      <LimitedPanel />
      <Policies />
      <SessionLimits />
    </>
  );
}

/** What the limits of a Welcome are, in words. */
const SESSION_LIMITS: Readonly<Record<string, readonly [string, (value: number) => string]>> = {
  window: ["Commands without an answer", whole],
  queries: ["Queries without an answer", whole],
  subscriptions: ["Subscriptions at a time", whole],
  inlineBytes: ["The largest body, or payload inside a frame", bytes],
  payloadBytes: ["The largest payload that is stored", bytes],
  idleMs: ["A connection silent for this long is closed", duration],
};

function SessionLimits() {
  const { session } = useConsole();
  const limits = Object.entries<number>({ ...session.info.value?.limits });
  const columns = [{ title: "Limit" }, { title: "Of" }, { title: "Value", numeric: true }] as const;
  return (
    <Panel title="This session">
      <Table label="Limits of this session" columns={columns}>
        {limits.map(([name, value]) => {
          const [words, format] = SESSION_LIMITS[name] ?? ["", whole];
          return (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td>{words}</td>
              <td class="numeric" title={whole(value)}>
                {format(value)}
              </td>
            </tr>
          );
        })}
      </Table>
    </Panel>
  );
}

const COLUMNS = [
  { title: "Type" },
  { title: "In force" },
  { title: "Breaker", wide: true },
  { title: "Changed", wide: true },
  { title: "By", wide: true },
  { title: "Actions" },
] as const;

function Policies() {
  const { client } = useConsole();
  const [edited, edit] = useState<Policy | undefined>(undefined);
  const policies = useOwned(
    () =>
      new Polled(WHY_MS, async (signal) => {
        // Whoever may not ask the cluster sees the policies that were set.
        const status = await client.cluster.status({ signal }).catch(() => undefined);
        const types = operationTypes(status === undefined ? undefined : readStatus(status));
        return readPolicies(client, types, signal);
      }),
    [client],
  );
  const known = policies.value.value;
  return (
    <Panel title="Policies of operation types" source={policies}>
      {known === undefined || known.length === 0 ? (
        <Empty source={policies}>No type is known, and no policy is set.</Empty>
      ) : (
        <Table label="Policies" columns={COLUMNS}>
          {known.map((policy) => (
            <PolicyRow
              key={policy.type}
              policy={policy}
              onEdit={() => {
                edit(policy);
              }}
            />
          ))}
        </Table>
      )}
      <p class="hint">Bold settings are this tenant's own; the others are the application's.</p>
      {edited !== undefined && (
        <PolicyDialog
          policy={edited}
          onChange={() => {
            policies.refresh();
          }}
          onClose={() => {
            edit(undefined);
          }}
        />
      )}
    </Panel>
  );
}

const BREAKER_TONES: Readonly<Record<string, Tone>> = {
  closed: "good",
  open: "bad",
  "half-open": "warn",
  halfOpen: "warn",
};

function PolicyRow({ policy, onEdit }: { policy: Policy; onEdit: () => void }) {
  const { type, breaker } = policy;
  return (
    <tr>
      <th scope="row">
        <code>{type}</code>
        {type === "*" && <span class="note"> every type</span>}
      </th>
      <td>
        <Settings policy={policy} />
      </td>
      <td class="wide">
        {breaker === undefined ? (
          "–"
        ) : (
          <Badge tone={BREAKER_TONES[breaker.state] ?? "quiet"} word={breaker.state} />
        )}
      </td>
      <td class="wide when">
        <Moment at={policy.changedAt} />
      </td>
      <td class="wide">{policy.changedBy ?? "–"}</td>
      <td class="actions">
        <Button label={`Change the policy of ${type}`} onClick={onEdit}>
          Change…
        </Button>
      </td>
    </tr>
  );
}

/** Each setting in force; what this tenant has set is marked. */
function Settings({ policy }: { policy: Policy }) {
  const all = settings(policy);
  if (all.length === 0) return <>nothing is set</>;
  return (
    <ul class="policy-settings">
      {all.map(({ name, text, isOwn }) => (
        <li key={name}>{isOwn ? <strong>{text}</strong> : text}</li>
      ))}
    </ul>
  );
}
