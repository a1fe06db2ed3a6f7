/** One actor: its state as a tree, seq and version, its events as they come, and a command to send. */

import { useState } from "preact/hooks";
import { useConsole, useOwned } from "../console.js";
import { ActorWatch } from "../data/actor-watch.js";
import { whole } from "../format.js";
import { inline, parseJson } from "../json.js";
import { ConsoleError } from "../problem.js";
import { href } from "../route.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { EventPanel } from "../ui/event-table.js";
import { Input, TextArea } from "../ui/field.js";
import { JsonTree } from "../ui/json-tree.js";
import { Panel } from "../ui/panel.js";
import { ProblemNote } from "../ui/problem.js";
import { Fact, Facts } from "../ui/table.js";

/** Commands of known kinds, to begin with. */
const EXAMPLES: Readonly<Record<string, readonly [string, string]>> = {
  counter: ["add", '{"by": 1}'],
  room: ["say", '{"text": "hello"}'],
  register: ["write", '{"value": 1}'],
  schedule: ["pause", "{}"],
  policy: ["set", '{"concurrency": 2}'],
};

export function ActorView({ kind, name }: { kind: string; name: string }) {
  const { client } = useConsole();
  const watch = useOwned(() => new ActorWatch(client, kind, name), [client, kind, name]);
  const state = watch.state.value;
  const problem = watch.problem.value;
  return (
    <>
      <p class="crumbs">
        <a href={href({ view: "actors", kind })}>{`Actors of kind ${kind}`}</a>
        {kind === "room" && (
          <>
            {" · "}
            <a href={href({ view: "room", key: name })}>Open as a room</a>
          </>
        )}
      </p>
      <h1 tabIndex={-1}>
        <span class="unseen">Actor </span>
        {`${kind}/${name}`}
      </h1>
      {problem !== undefined && <ProblemNote problem={problem} />}
      <div class="columns">
        <Panel title="State">
          {state === undefined ? (
            problem === undefined && <p class="empty">Loading…</p>
          ) : (
            <>
              <Facts>
                <Fact name="Seq">{whole(state.seq)}</Fact>
                <Fact name="Version">{whole(state.version)}</Fact>
              </Facts>
              <JsonTree value={state.body} />
            </>
          )}
        </Panel>
        <SendPanel kind={kind} watch={watch} />
      </div>
      <EventPanel log={watch.log.value} />
    </>
  );
}

function SendPanel({ kind, watch }: { kind: string; watch: ActorWatch }) {
  const [example, body] = EXAMPLES[kind] ?? ["", "{}"];
  const [command, setCommand] = useState(example);
  const [text, setText] = useState(body);
  const [reply, setReply] = useState<unknown>(undefined);
  const action = useAction();
  const parsed = parseJson(text);
  const send = (event: Event): void => {
    event.preventDefault();
    setReply(undefined);
    action.run(async () => {
      if (command.trim() === "") {
        throw new ConsoleError("invalid", "name the command", "command");
      }
      if ("wrong" in parsed) throw new ConsoleError("invalid", parsed.wrong, "body");
      const answer = await watch.actor.send(command.trim(), parsed.value);
      setReply(answer.body);
      watch.refresh();
      return `Committed: seq ${whole(answer.seq)}, version ${whole(answer.version)}.`;
    });
  };
  return (
    <Panel title="Send a command">
      <form onSubmit={send} noValidate>
        <Input label="Command" value={command} onInput={setCommand} mono />
        <TextArea
          label="Body"
          value={text}
          rows={4}
          onInput={setText}
          hint="JSON"
          error={"wrong" in parsed ? parsed.wrong : undefined}
        />
        <div class="buttons">
          <Button type="submit" kind="primary" pending={action.progress.state === "pending"}>
            Send
          </Button>
        </div>
        <Outcome
          progress={action.progress}
          pending="Sending… it takes effect once, also over a lost connection."
        />
        {reply !== undefined && reply !== null && inline(reply) !== "" && (
          <JsonTree value={reply} />
        )}
      </form>
    </Panel>
  );
}
