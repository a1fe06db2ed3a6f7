/** One operation: what it is, why it waits, its steps and failures, its events as they come, and its verbs. */

import { useConsole, useOwned } from "../console.js";
import { fraction, isFinal, progressText } from "../data/operation.js";
import type { Operation, Step, Why } from "../data/operation.js";
import { failures, OperationWatch } from "../data/operation-watch.js";
import type { Polled } from "../data/poll.js";
import { href } from "../route.js";
import { Badge, StatusBadge } from "../ui/badge.js";
import { EventPanel } from "../ui/event-table.js";
import { Brief, JsonTree } from "../ui/json-tree.js";
import { Empty, Panel } from "../ui/panel.js";
import { ProblemNote } from "../ui/problem.js";
import { Fact, Facts, Table } from "../ui/table.js";
import { Ago, Moment } from "../ui/time.js";
import { Verbs } from "./verbs.js";

export function OperationView({ id }: { id: string }) {
  const { client } = useConsole();
  const watch = useOwned(() => new OperationWatch(client, id), [client, id]);
  const operation = watch.operation.value;
  const problem = watch.problem.value;
  return (
    <>
      <p class="crumbs">
        <a href={href({ view: "operations", status: "", type: "", label: "" })}>Operations</a>
      </p>
      <h1 tabIndex={-1}>
        <span class="unseen">Operation </span>
        {id}
      </h1>
      {problem !== undefined && <ProblemNote problem={problem} />}
      {operation === undefined ? (
        problem === undefined && <p class="empty">Loading…</p>
      ) : (
        <Shown operation={operation} watch={watch} />
      )}
    </>
  );
}

function Shown({ operation, watch }: { operation: Operation; watch: OperationWatch }) {
  return (
    <>
      <Summary operation={operation} watch={watch} />
      {!isFinal(operation) && <WhyPanel why={watch.why} />}
      <div class="columns">
        <Steps steps={operation.steps} />
        <Failures watch={watch} />
      </div>
      <Values operation={operation} />
      <EventPanel log={watch.log} />
    </>
  );
}

function Summary({ operation, watch }: { operation: Operation; watch: OperationWatch }) {
  const part = fraction(operation.progress);
  const { error, progress } = operation;
  const labels = Object.entries(operation.labels);
  return (
    <Panel title={operation.type} aside={<StatusBadge status={operation.status} />}>
      {/* Said when it changes, to those who listen. */}
      <p class="unseen" role="status">{`The operation is ${operation.status}`}</p>
      {error !== undefined && (
        <p class="problem">
          <code>{error.code}</code>
          {error.step === undefined ? "" : ` in step ${error.step}`}
          {`: ${error.message}`}
        </p>
      )}
      {progress !== undefined && progress !== null && (
        <p class="progress">
          {part !== undefined && <progress value={part} max={1} aria-label="Progress" />}
          <span>{progressText(progress)}</span>
        </p>
      )}
      <Facts>
        <Fact name="Created">
          <Moment at={operation.createdAt} /> by {operation.createdBy}
        </Fact>
        <Fact name="Updated">
          <Ago at={operation.updatedAt} />
        </Fact>
        <Fact name="Attempt">{operation.attempt}</Fact>
        <Fact name="Version">{operation.version}</Fact>
        <Fact name="Priority">{operation.priority}</Fact>
        {operation.deadline !== undefined && (
          <Fact name="Deadline">
            <Moment at={operation.deadline} />
          </Fact>
        )}
        {operation.runAt !== undefined && (
          <Fact name="Not before">
            <Moment at={operation.runAt} />
          </Fact>
        )}
        {labels.length > 0 && (
          <Fact name="Labels">
            {labels.map(([name, value]) => (
              <code key={name}>{`${name}=${String(value)} `}</code>
            ))}
          </Fact>
        )}
      </Facts>
      <Verbs operation={operation} watch={watch} />
    </Panel>
  );
}

function WhyPanel({ why }: { why: Polled<Why> }) {
  const now = why.value.value;
  return (
    <Panel title="Why" source={why} class="why">
      {now === undefined ? (
        <Empty source={why}>Not known.</Empty>
      ) : (
        <>
          <p>{sentence(now.summary)}</p>
          {now.waits.length > 0 && <Waits why={now} />}
          <Facts>
            {now.nextAttemptAt !== undefined && (
              <Fact name="Next attempt">
                <Ago at={now.nextAttemptAt} />
              </Fact>
            )}
            {now.lastError !== undefined && (
              <Fact name="Last error">{`${now.lastError.code}: ${now.lastError.message}`}</Fact>
            )}
            {now.compensations.length > 0 && (
              <Fact name="Would be undone">{now.compensations.join(", then ")}</Fact>
            )}
            {now.owner !== undefined && (
              <Fact name="Owner">{`${now.owner.node}, slot ${now.owner.slot}`}</Fact>
            )}
          </Facts>
        </>
      )}
    </Panel>
  );
}

/** The node's words as a sentence of this page. */
function sentence(words: string): string {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function Waits({ why }: { why: Why }) {
  const columns = [
    { title: "For" },
    { title: "In words" },
    { title: "Step", wide: true },
    { title: "Since" },
    { title: "Until" },
  ] as const;
  return (
    <Table label="What it waits for" columns={columns}>
      {why.waits.map((wait, index) => (
        <tr key={index}>
          <td>
            <Badge tone="warn" word={wait.reason} />
          </td>
          <td>{wait.detail.replace(`${wait.reason}: `, "")}</td>
          <td class="wide">{wait.step ?? "–"}</td>
          <td class="when">
            <Ago at={wait.since} />
          </td>
          <td class="when">
            <Ago at={wait.until} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Steps({ steps }: { steps: readonly Step[] }) {
  const columns = [
    { title: "Step" },
    { title: "Status" },
    { title: "Attempt", numeric: true, wide: true },
    { title: "Result", wide: true },
    { title: "Finished" },
  ] as const;
  return (
    <Panel title="Steps" aside={steps.length === 0 ? undefined : `${steps.length} finished`}>
      {steps.length === 0 ? (
        <p class="empty">No step has finished yet.</p>
      ) : (
        <Table label="Steps" columns={columns}>
          {steps.map((step) => (
            <tr key={step.name}>
              <th scope="row">{step.name}</th>
              <td>
                <Badge tone={step.status === "succeeded" ? "good" : "warn"} word={step.status} />
              </td>
              <td class="numeric wide">{step.attempt}</td>
              <td class="wide">
                <Brief value={step.result} />
              </td>
              <td class="when">
                <Moment at={step.finishedAt} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Failures({ watch }: { watch: OperationWatch }) {
  const failed = failures(watch.log.lines.value);
  const columns = [
    { title: "Attempt", numeric: true },
    { title: "Error" },
    { title: "At" },
    { title: "Next" },
  ] as const;
  return (
    <Panel
      title="Failures and retries"
      aside={failed.length === 0 ? undefined : String(failed.length)}
    >
      {failed.length === 0 ? (
        <p class="empty">No attempt has failed.</p>
      ) : (
        <Table label="Attempts that failed" columns={columns}>
          {[...failed].reverse().map((it) => (
            <tr key={it.seq}>
              <td class="numeric">{it.attempt}</td>
              <td>
                <code>{it.error.code}</code>
                {it.error.step === undefined ? "" : ` in ${it.error.step}`}
                {`: ${it.error.message}`}
              </td>
              <td class="when">
                <Moment at={it.at} />
              </td>
              <td class="when">
                {it.nextAttemptAt === undefined ? "none" : <Ago at={it.nextAttemptAt} />}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function Values({ operation }: { operation: Operation }) {
  return (
    <div class="columns">
      <Panel title="Input">
        <JsonTree value={operation.input} />
      </Panel>
      <Panel title="Result">
        {operation.result === undefined ? (
          <p class="empty">None yet.</p>
        ) : (
          <JsonTree value={operation.result} />
        )}
      </Panel>
      <Panel title="Metadata">
        <JsonTree value={operation.metadata} />
      </Panel>
    </div>
  );
}
