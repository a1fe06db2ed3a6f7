/** The nodes of the cluster in a table, and what its administrator can do about each. */

import { useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { nodeNames } from "../data/cluster.js";
import type { Node, Status } from "../data/cluster.js";
import { whole } from "../format.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { NodeBadge } from "../ui/badge.js";
import { Confirm } from "../ui/dialog.js";
import { colourOf } from "../ui/slots.js";
import { Table } from "../ui/table.js";

const COLUMNS = [
  { title: "Node" },
  { title: "State" },
  { title: "Slots", numeric: true },
  { title: "Shall have", numeric: true, wide: true },
  { title: "Roles", wide: true },
  { title: "For clients", wide: true },
  { title: "For nodes", wide: true },
  { title: "Version", wide: true },
  { title: "Actions" },
] as const;

interface NodesProps {
  status: Status;
  /** Something was changed. */
  onChange: () => void;
}

export function NodeTable({ status, onChange }: NodesProps) {
  const action = useAction();
  const [asked, ask] = useState<{ verb: "drain" | "remove"; node: string } | undefined>(undefined);
  const { client } = useConsole();
  const names = nodeNames(status, undefined);
  const undrain = (node: string): void => {
    action.run(async () => {
      await client.cluster.undrain(node);
      onChange();
      return `${node} takes its share again.`;
    });
  };
  return (
    <>
      <Table label="Nodes" columns={COLUMNS}>
        {status.nodes.map((node) => (
          <tr key={node.node}>
            <th scope="row">
              <span class="whole">
                <span class={`swatch ${colourOf(names, node.node)}`} aria-hidden="true" />
                {node.node}
              </span>
              {node.controller && <span class="note"> controller</span>}
            </th>
            <td>
              <NodeBadge state={node.state} />
            </td>
            <td class="numeric">{whole(node.slots)}</td>
            <td class="numeric wide">{whole(node.planned)}</td>
            <td class="wide">{node.roles.join(", ")}</td>
            <td class="wide">{node.quic ?? "–"}</td>
            <td class="wide">{node.peer ?? "–"}</td>
            <td class="wide">{node.binary}</td>
            <td class="actions">
              <NodeActions node={node} undrain={undrain} ask={ask} />
            </td>
          </tr>
        ))}
      </Table>
      <Outcome progress={action.progress} />
      {asked !== undefined && (
        <Asked
          {...asked}
          onDone={onChange}
          onClose={() => {
            ask(undefined);
          }}
        />
      )}
    </>
  );
}

interface ActionsProps {
  node: Node;
  undrain: (node: string) => void;
  ask: (asked: { verb: "drain" | "remove"; node: string }) => void;
}

function NodeActions({ node, undrain, ask }: ActionsProps) {
  const { node: name, state, drained } = node;
  if (state === "dead" || state === "left") {
    return (
      <Button
        label={`Remove ${name}`}
        onClick={() => {
          ask({ verb: "remove", node: name });
        }}
      >
        Remove…
      </Button>
    );
  }
  if (drained) {
    return (
      <Button
        label={`Undrain ${name}`}
        onClick={() => {
          undrain(name);
        }}
      >
        Undrain
      </Button>
    );
  }
  return (
    <Button
      label={`Drain ${name}`}
      onClick={() => {
        ask({ verb: "drain", node: name });
      }}
    >
      Drain…
    </Button>
  );
}

interface AskedProps {
  verb: "drain" | "remove";
  node: string;
  onDone: () => void;
  onClose: () => void;
}

function Asked({ verb, node, onDone, onClose }: AskedProps) {
  const { client } = useConsole();
  const work = async (): Promise<string> => {
    if (verb === "drain") {
      await client.cluster.drain(node);
      return `${node} hands its slots over; the table shows how far it is.`;
    }
    await client.cluster.remove(node);
    return `${node} is forgotten.`;
  };
  const title = verb === "drain" ? `Drain ${node}?` : `Remove ${node}?`;
  return (
    <Confirm
      title={title}
      verb={verb === "drain" ? "Drain" : "Remove"}
      work={work}
      onClose={onClose}
      onDone={onDone}
    >
      <p>
        {verb === "drain"
          ? "It hands every slot to the other nodes and owns nothing until it is undrained, also when it starts again. Clients see no error."
          : "The cluster forgets it. A node of this name that starts again is a new one."}
      </p>
    </Confirm>
  );
}
