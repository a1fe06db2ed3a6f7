/** The events of an actor or operation, the latest first, as they come. */

import { useState } from "preact/hooks";
import type { EventLog, Line } from "../data/event-log.js";
import { whole } from "../format.js";
import { Brief, JsonTree } from "./json-tree.js";
import { Panel } from "./panel.js";
import { ProblemNote } from "./problem.js";
import { Table } from "./table.js";
import { Moment } from "./time.js";

/** Events that are shown before somebody asks for more. */
const SHOWN = 50;

const COLUMNS = [
  { title: "Seq", numeric: true },
  { title: "Event" },
  { title: "Data" },
  { title: "Time" },
] as const;

export function EventPanel({ log }: { log: EventLog | undefined }) {
  const lines = log?.lines.value ?? [];
  const [shown, setShown] = useState(SHOWN);
  const latest = lines.slice(-shown).reverse();
  const dropped = log?.dropped.value ?? 0;
  const problem = log?.problem.value;
  return (
    <Panel title="Events" class="events">
      {problem !== undefined && <ProblemNote problem={problem} />}
      {lines.length === 0 ? (
        <p class="empty">No event yet. New ones appear here as they are committed.</p>
      ) : (
        <Table label="Events, the latest first" columns={COLUMNS}>
          {latest.map((line) => (
            <EventRow key={`${line.type}-${line.seq}`} line={line} />
          ))}
        </Table>
      )}
      {lines.length > shown && (
        <button
          type="button"
          class="link"
          onClick={() => {
            setShown(lines.length);
          }}
        >
          {`Show ${whole(lines.length - shown)} earlier ones`}
        </button>
      )}
      {dropped > 0 && (
        <p class="hint">{`${whole(dropped)} earlier events are not kept on this page.`}</p>
      )}
    </Panel>
  );
}

function EventRow({ line }: { line: Line }) {
  if (line.type === "gap") {
    return (
      <tr class="gap">
        <td class="numeric">{line.seq}</td>
        <td colSpan={3}>
          {`Events ${line.after + 1} to ${line.seq} are no longer stored. The state then:`}
          <JsonTree value={line.snapshot} depth={0} />
        </td>
      </tr>
    );
  }
  return (
    <tr>
      <td class="numeric">{line.seq}</td>
      <td>
        <code>{line.kind}</code>
      </td>
      <td class="data">
        <Brief value={line.data} />
      </td>
      <td class="when">
        <Moment at={line.time} />
      </td>
    </tr>
  );
}
