/** Whether the chain of the audit trail is whole: asked on demand, as the node reads every record for it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { useConsole } from "../console.js";
import { verify } from "../data/audit.js";
import type { Verified } from "../data/audit.js";
import { count, whole } from "../format.js";
import { Button, Outcome, useAction } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import { Panel } from "../ui/panel.js";
import { Fact, Facts } from "../ui/table.js";

export function ChainCheck({ chain }: { chain: string }) {
  const { http } = useConsole();
  const [found, setFound] = useState<Verified | undefined>(undefined);
  const [last, setLast] = useState(0);
  const action = useAction();
  const abort = useRef<AbortController | undefined>(undefined);
  useEffect(
    () => () => {
      abort.current?.abort();
    },
    [],
  );
  const check = (): void => {
    action.run(async () => {
      abort.current = new AbortController();
      setFound(undefined);
      setLast(0);
      setFound(await verify(http, chain, setLast, abort.current.signal));
      return "Verified just now.";
    });
  };
  const pending = last === 0 ? "Verifying…" : `Verified up to record ${whole(last)}…`;
  return (
    <Panel title="Is the chain whole?" aside={found !== undefined && <Word found={found} />}>
      <p class="hint">
        Each record holds the hash of the one before. The node reads all of them and compares.
      </p>
      {found !== undefined && <Result found={found} />}
      <Outcome progress={action.progress} pending={pending} />
      <div class="buttons">
        <Button pending={action.progress.state === "pending"} onClick={check}>
          Verify
        </Button>
      </div>
    </Panel>
  );
}

function Word({ found }: { found: Verified }) {
  return found.result === "whole" ? (
    <Badge tone="good" word="whole" />
  ) : (
    <Badge tone="bad" word="damaged" />
  );
}

function Result({ found }: { found: Verified }) {
  if (found.result === "damaged") {
    return (
      <p class="problem">
        <code>damaged</code>
        {` at record ${whole(found.number)}: ${found.message} `}
        <span class="remedy">
          Stop writing to the store, keep a copy of it, and compare with the last export.
        </span>
      </p>
    );
  }
  const { records, first, head } = found;
  return (
    <Facts>
      <Fact name="Records">{count(records, "record")}</Fact>
      {records > 0 && (
        <Fact name="Kept">{`${whole(first)} to ${whole(head?.number ?? first)}`}</Fact>
      )}
      {head !== undefined && (
        <Fact name="Hash of the last, to be kept elsewhere">
          <code class="hash">{head.hash}</code>
        </Fact>
      )}
    </Facts>
  );
}
