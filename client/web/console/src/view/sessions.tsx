/** Sessions: this tab's own with what became of it, and those that the node knows. */

import { POLL_MS, WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Polled } from "../data/poll.js";
import { count } from "../format.js";
import { inline, list, members, text } from "../json.js";
import { Badge } from "../ui/badge.js";
import { Empty, Panel } from "../ui/panel.js";
import { Fact, Facts, Table } from "../ui/table.js";
import { Ago, Moment } from "../ui/time.js";
import { time } from "../data/operation.js";

export function SessionsView() {
  return (
    <>
      <h1 tabIndex={-1}>Sessions</h1>
      <div class="columns">
        <Own />
        <Journal />
      </div>
      <All />
    </>
  );
}

function Own() {
  const { http, session } = useConsole();
  const info = session.info.value;
  const { state, since } = session.connection.value;
  const about = useOwned(
    () => new Polled(WHY_MS, async (signal) => members(await http.json("version", signal))),
    [http],
  );
  return (
    <Panel title="This tab">
      <Facts>
        <Fact name="Session">
          <code>{info?.id ?? "none"}</code>
        </Fact>
        <Fact name="At node">{info?.node ?? "–"}</Fact>
        <Fact name="Connection">{carried(state, info?.transport)}</Fact>
        <Fact name="Since">
          <Ago at={new Date(since)} />
        </Fact>
        <Fact name="Page served by">{served(about.value.value)}</Fact>
        <Fact name="Last Welcome">
          {info?.resumed === true ? "resumed this session" : "opened it"}
        </Fact>
      </Facts>
    </Panel>
  );
}

/** How the connection is, and how it travels. */
function carried(state: string, transport: "websocket" | "webtransport" | undefined): string {
  if (transport === undefined) return state;
  return `${state}, by ${transport === "webtransport" ? "WebTransport" : "WebSocket"}`;
}

/** What the node that serves this page says of itself. */
function served(about: Record<string, unknown> | undefined): string {
  if (about === undefined) return "–";
  const { node, version, schema } = about;
  const words = [text(node), `version ${inline(version)}`, `schema ${inline(schema)}`];
  return words.filter((word) => word !== undefined).join(", ");
}

function Journal() {
  const { session } = useConsole();
  return (
    <Panel title="What became of the connection">
      <ol class="journal">
        {session.journal.value.map((entry) => (
          <li key={`${entry.at} ${entry.text}`}>
            <Moment at={new Date(entry.at)} /> {entry.text}
          </li>
        ))}
      </ol>
    </Panel>
  );
}

/** A page of the node's sessions: whatever it says of them. */
interface Page {
  /** Undefined: the node has no such list. */
  items: Record<string, unknown>[] | undefined;
  isAll: boolean;
}

function All() {
  const { http } = useConsole();
  const sessions = useOwned(
    () =>
      new Polled<Page>(POLL_MS, async (signal) => {
        const answer = await http.json("v1/sessions", signal);
        if (answer === undefined) return { items: undefined, isAll: true };
        const page = members(answer);
        const isAll = text(page["cursor"]) === undefined;
        return { items: list(page["items"]).map(members), isAll };
      }),
    [http],
  );
  const page = sessions.value.value;
  const items = page?.items;
  return (
    <Panel
      title="Sessions of the node"
      source={sessions}
      aside={
        items === undefined
          ? undefined
          : `${count(items.length, "session")}${page?.isAll === false ? ", and more" : ""}`
      }
    >
      {page === undefined || items?.length === 0 ? (
        <Empty source={sessions}>There is none.</Empty>
      ) : items === undefined ? (
        <p class="empty">Not available: this node does not list sessions.</p>
      ) : (
        <SessionTable items={items} />
      )}
    </Panel>
  );
}

/** What has a column of its own, in this order; whatever else a node says comes after it. */
const KNOWN = ["id", "principal", "connected", "since", "transport", "tenant", "node"] as const;
/** Columns that a table still reads with. */
const COLUMNS_MAX = 9;

function SessionTable({ items }: { items: readonly Record<string, unknown>[] }) {
  const { session } = useConsole();
  const found = new Set(items.flatMap((item) => Object.keys(item)));
  const known = KNOWN.filter((name) => found.has(name));
  const others = [...found].filter((name) => !KNOWN.some((it) => it === name));
  const names = [...known, ...others].slice(0, COLUMNS_MAX);
  const columns = names.map((name, index) => ({ title: heading(name), wide: index > 3 }));
  return (
    <Table label="Sessions of the node" columns={columns}>
      {items.map((item) => (
        <tr key={inline(item["id"])}>
          {names.map((name, index) => (
            <td key={name} class={index > 3 ? "wide" : ""}>
              <Cell name={name} value={item[name]} />
              {name === "id" && item["id"] === session.info.value?.id && (
                <span class="note"> this tab</span>
              )}
            </td>
          ))}
        </tr>
      ))}
    </Table>
  );
}

/** `idleMs` as "Idle ms". */
function heading(name: string): string {
  const words = name.replace(/([A-Z])/g, " $1").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function Cell({ name, value }: { name: string; value: unknown }) {
  if (name === "connected" && typeof value === "boolean") {
    return <Badge tone={value ? "good" : "quiet"} word={value ? "connected" : "detached"} />;
  }
  const at = /(At|[sS]ince)$/.test(name) ? time(value) : undefined;
  if (at !== undefined) return <Ago at={at} />;
  if (name === "id") return <code class="id">{inline(value)}</code>;
  return <>{value === undefined || value === null ? "–" : inline(value)}</>;
}
