/** Sessions: this tab's own with what became of it, and those that the node knows. */

import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Polled } from "../data/poll.js";
import { inline, members, text } from "../json.js";
import { Panel } from "../ui/panel.js";
import { Fact, Facts } from "../ui/table.js";
import { Ago, Moment } from "../ui/time.js";
import { NodeSessions } from "./node-sessions.js";

export function SessionsView() {
  return (
    <>
      <h1 tabIndex={-1}>Sessions</h1>
      <div class="columns">
        <Own />
        <Journal />
      </div>
      <NodeSessions />
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
