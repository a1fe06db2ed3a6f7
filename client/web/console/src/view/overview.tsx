/** The cluster at a glance: its nodes, who has which slots, what moves, why it is not at rest, and what it does. */

import { useEffect, useState } from "preact/hooks";
import { POLL_MS, WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { nodeNames, readPlan, readStatus, readWhy, runsText, slotMap } from "../data/cluster.js";
import type { Plan, Status, Why } from "../data/cluster.js";
import { STATUSES } from "../data/operation.js";
import { Polled } from "../data/poll.js";
import { count, quantity, whole } from "../format.js";
import { href } from "../route.js";
import { Badge, StatusBadge } from "../ui/badge.js";
import { Empty, Panel, Stale } from "../ui/panel.js";
import { colourOf, SlotBand } from "../ui/slots.js";
import { Fact, Facts, Table } from "../ui/table.js";
import { NodeTable } from "./nodes.js";

export function OverviewView() {
  const { client } = useConsole();
  const status = useOwned(
    () =>
      new Polled(POLL_MS, async (signal) => readStatus(await client.cluster.status({ signal }))),
    [client],
  );
  const why = useOwned(
    () =>
      new Polled(WHY_MS, async (signal) =>
        readWhy(await client.cluster.why(undefined, { signal })),
      ),
    [client],
  );
  return (
    <>
      <div class="title">
        <h1 tabIndex={-1}>Overview</h1>
        <Stale source={status} />
      </div>
      <Figures status={status} />
      <Rest why={why} />
      <Slots status={status} />
      <Panel title="Nodes" source={status}>
        {status.value.value === undefined ? (
          <Empty source={status}>No node is known.</Empty>
        ) : (
          <NodeTable
            status={status.value.value}
            onChange={() => {
              status.refresh();
              why.refresh();
            }}
          />
        )}
      </Panel>
      <OperationCounts />
    </>
  );
}

function Figures({ status }: { status: Polled<Status> }) {
  const { samples } = useConsole();
  const now = status.value.value;
  const serving = now?.nodes.filter((node) => node.state === "serving").length;
  const rate = (chart: string): string | undefined => {
    // Told by the node that serves this page, which may be away while the session goes on at another.
    const isTold = samples.metrics.problem.value === undefined;
    const value = isTold ? samples.latest(chart)[0]?.value : undefined;
    return value === undefined ? undefined : quantity(value);
  };
  return (
    <dl class="figures">
      <Figure name="Nodes serving" value={now === undefined ? undefined : `${serving ?? 0}`}>
        {now === undefined ? "" : `of ${now.nodes.length}`}
      </Figure>
      <Figure name="Slots owned" value={now === undefined ? undefined : whole(now.owned)}>
        {now === undefined ? "" : `of ${whole(now.slots)}`}
      </Figure>
      <Figure name="Slots moving" value={now === undefined ? undefined : whole(now.moving)}>
        {now === undefined ? "" : `plan ${now.plan}`}
      </Figure>
      <Figure
        name="Controller"
        value={now === undefined ? undefined : (now.controller ?? "none")}
      />
      <Figure name="Commands" value={rate("commands")}>
        a second, this page’s node
      </Figure>
      <Figure name="Commits" value={rate("commits")}>
        a second, this page’s node
      </Figure>
    </dl>
  );
}

interface FigureProps {
  name: string;
  value: string | undefined;
  children?: string;
}

function Figure({ name, value, children }: FigureProps) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <span class="value">{value ?? "–"}</span>
        {children !== undefined && children !== "" && <span class="unit">{children}</span>}
      </dd>
    </div>
  );
}

function Rest({ why }: { why: Polled<Why> }) {
  const now = why.value.value;
  return (
    <Panel title="At rest?" source={why}>
      {now === undefined ? (
        <Empty source={why}>Not known.</Empty>
      ) : now.atRest && now.reasons.length === 0 ? (
        <p>
          <Badge tone="good" word="At rest" />
          {" Every node has what the plan gives it, and nothing is on its way."}
        </p>
      ) : (
        <ul class="reasons">
          {now.reasons.map((reason) => (
            <li key={`${reason.code} ${reason.node ?? ""}`}>
              <Badge tone={now.atRest ? "quiet" : "warn"} word={reason.code.replaceAll("_", " ")} />
              {` ${reason.message}`}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** The plan is read again when its number has changed, or while something moves. */
function Slots({ status }: { status: Polled<Status> }) {
  const { client } = useConsole();
  const [highlighted, highlight] = useState<string | undefined>(undefined);
  const plan = useOwned(
    () => new Polled(WHY_MS, async (signal) => readPlan(await client.cluster.plan({ signal }))),
    [client],
  );
  const now = status.value.value;
  const change = `${now?.plan ?? 0} ${now?.moving ?? 0} ${now?.owned ?? 0}`;
  useEffect(() => {
    plan.refresh();
  }, [change, plan]);
  const known = plan.value.value;
  const names = nodeNames(now, known);
  return (
    <Panel
      title="Slots by node"
      source={plan}
      aside={known === undefined ? undefined : `${whole(known.slots)} slots, plan ${known.plan}`}
    >
      {known === undefined ? (
        <Empty source={plan}>There is no plan yet.</Empty>
      ) : (
        <>
          <SlotBand slots={slotMap(known)} nodes={names} highlighted={highlighted} />
          <Legend plan={known} nodes={names} highlight={highlight} />
          {known.moves.length > 0 && <Moves plan={known} />}
          <details class="more">
            <summary>Which slots, in numbers</summary>
            <Facts>
              {known.nodes.map(({ node, slots }) => (
                <Fact key={node} name={node}>
                  {runsText(slots)}
                </Fact>
              ))}
            </Facts>
          </details>
        </>
      )}
    </Panel>
  );
}

interface LegendProps {
  plan: Plan;
  nodes: readonly string[];
  highlight: (node: string | undefined) => void;
}

function Legend({ plan, nodes, highlight }: LegendProps) {
  const slots = slotMap(plan);
  const nobody = slots.filter(({ owner }) => owner === undefined).length;
  return (
    <ul class="legend">
      {nodes.map((node) => (
        <li
          key={node}
          onMouseEnter={() => {
            highlight(node);
          }}
          onMouseLeave={() => {
            highlight(undefined);
          }}
        >
          <span class={`swatch ${colourOf(nodes, node)}`} aria-hidden="true" />
          {`${node} ${whole(slots.filter(({ owner }) => owner === node).length)}`}
        </li>
      ))}
      {plan.moves.length > 0 && <li class="note">pale: on its way to another node</li>}
      {nobody > 0 && (
        <li>
          <span class="swatch nobody" aria-hidden="true" />
          {`nobody ${whole(nobody)}`}
        </li>
      )}
    </ul>
  );
}

function Moves({ plan }: { plan: Plan }) {
  const columns = [{ title: "From" }, { title: "To" }, { title: "Slots", numeric: true }] as const;
  return (
    <Table label="Slots on their way" columns={columns}>
      {plan.moves.map(({ from = "nobody", to = "nobody", count }) => (
        <tr key={`${from} ${to}`}>
          <td>{from}</td>
          <td>{to}</td>
          <td class="numeric">{whole(count)}</td>
        </tr>
      ))}
    </Table>
  );
}

function OperationCounts() {
  const { samples } = useConsole();
  const { counts } = samples;
  const now = counts.value.value;
  return (
    <Panel title="Operations by status" source={counts}>
      {now === undefined ? (
        <Empty source={counts}>Not known.</Empty>
      ) : (
        <ul class="counts" aria-label="Operations by status">
          {STATUSES.map(({ name }) => (
            <li key={name}>
              <a href={href({ view: "operations", status: name, type: "", label: "" })}>
                <span class="value">{`${whole(now[name].count)}${now[name].isExact ? "" : "+"}`}</span>
                <StatusBadge status={name} />
                <span class="unseen">{count(now[name].count, "operation")}</span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
