/** The list of operations: filtered, in pages, live. */

import { useEffect, useState } from "preact/hooks";
import { POLL_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { readStatus, operationTypes } from "../data/cluster.js";
import { fraction, progressText, STATUSES } from "../data/operation.js";
import type { Operation } from "../data/operation.js";
import { OperationList } from "../data/operation-list.js";
import type { Filter } from "../data/operation-list.js";
import { count } from "../format.js";
import { href, replace } from "../route.js";
import type { Route } from "../route.js";
import { StatusBadge } from "../ui/badge.js";
import { Input, Select } from "../ui/field.js";
import { Pager } from "../ui/pager.js";
import { Empty, Panel } from "../ui/panel.js";
import { Table } from "../ui/table.js";
import { Ago } from "../ui/time.js";

type Filters = Extract<Route, { view: "operations" }>;

export function OperationsView({ filter }: { filter: Filters }) {
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>Operations</h1>
        <a class="button primary" href={href({ view: "submit", type: filter.type })}>
          Submit…
        </a>
      </div>
      <FilterForm filter={filter} />
      <List filter={filter} />
    </>
  );
}

const STATUS_OPTIONS = [
  ["", "Every status"],
  ...STATUSES.map(({ name }) => [name, name] as const),
] as const;

/** How long somebody must have stopped typing before the list changes. */
const TYPED_MS = 300;

function FilterForm({ filter }: { filter: Filters }) {
  const types = useTypes();
  const [type, setType] = useState(filter.type);
  const [label, setLabel] = useState(filter.label);
  useEffect(() => {
    if (type === filter.type && label === filter.label) return;
    const timer = setTimeout(() => {
      replace({ ...filter, type: type.trim(), label: label.trim() });
    }, TYPED_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [type, label, filter]);
  const isWrong = label.trim() !== "" && !label.includes("=");
  return (
    <form
      class="filters"
      data-filter
      role="search"
      aria-label="Filter operations"
      onSubmit={(event) => {
        event.preventDefault();
      }}
    >
      <Select
        label="Status"
        value={filter.status}
        options={STATUS_OPTIONS}
        onInput={(status) => {
          replace({ ...filter, status });
        }}
      />
      <Input label="Type" value={type} suggestions={types} onInput={setType} />
      <Input
        label="Label"
        value={label}
        onInput={setLabel}
        error={isWrong ? "Write name=value." : undefined}
      />
    </form>
  );
}

/** Operation types that nodes run, as suggestions; whoever may not ask the cluster gets none. */
export function useTypes(): string[] {
  const { client } = useConsole();
  const [types, setTypes] = useState<string[]>([]);
  useEffect(() => {
    const abort = new AbortController();
    client.cluster
      .status({ signal: abort.signal })
      .then((status) => {
        setTypes(operationTypes(readStatus(status)));
      })
      .catch(() => undefined);
    return () => {
      abort.abort();
    };
  }, [client]);
  return types;
}

function asked({ status, type, label }: Filters): Filter {
  // An address may name anything.
  const known = STATUSES.find(({ name }) => name === status);
  return {
    ...(known === undefined ? {} : { status: known.name }),
    ...(type === "" ? {} : { type }),
    ...(label.includes("=") ? { label } : {}),
  };
}

const COLUMNS = [
  { title: "Id" },
  { title: "Type", wide: true },
  { title: "Status" },
  { title: "Progress", wide: true },
  { title: "Attempt", numeric: true, wide: true },
  { title: "Created" },
  { title: "By", wide: true },
] as const;

function List({ filter }: { filter: Filters }) {
  const { client } = useConsole();
  const { status, type, label } = filter;
  const list = useOwned(
    () => new OperationList(client, asked(filter)),
    [client, status, type, label],
  );
  const { pages } = list;
  const items = list.items.value;
  const number = pages.number.value;
  return (
    <Panel
      title={number === 1 ? "Newest first" : `Newest first, page ${number}`}
      source={pages.page}
      aside={<span class="live">{`live, every ${POLL_MS / 1_000} s and with each event`}</span>}
    >
      {items === undefined || items.length === 0 ? (
        <Empty source={pages.page}>
          {status + type + label === ""
            ? "There is no operation yet. Submit one, or run “selvedge op submit”."
            : "No operation matches these filters."}
        </Empty>
      ) : (
        <Table label="Operations" columns={COLUMNS}>
          {items.map((item) => (
            <OperationRow key={item.id} item={item} />
          ))}
        </Table>
      )}
      <Pager pages={pages} of="operation" back="Newer" on="Older" />
    </Panel>
  );
}

function OperationRow({ item }: { item: Operation }) {
  return (
    <tr>
      <th scope="row" class="id">
        <a href={href({ view: "operation", id: item.id })} title={item.id}>
          {item.id}
        </a>
        <span class="note narrow">{item.type}</span>
      </th>
      <td class="wide">{item.type}</td>
      <td>
        <StatusBadge status={item.status} />
      </td>
      <td class="wide">
        <ProgressCell item={item} />
      </td>
      <td class="numeric wide">{item.attempt}</td>
      <td class="when">
        <Ago at={item.createdAt} />
      </td>
      <td class="wide">{item.createdBy}</td>
    </tr>
  );
}

function ProgressCell({ item }: { item: Operation }) {
  const part = fraction(item.progress);
  const text = item.waitingFor ?? item.error?.message ?? progressText(item.progress);
  const words = text === "" && item.steps.length > 0 ? count(item.steps.length, "step") : text;
  return (
    <span class="progress">
      {part !== undefined && (
        <progress value={part} max={1} aria-label={`Progress of ${item.id}`} />
      )}
      <span class="clipped" title={words}>
        {words}
      </span>
    </span>
  );
}
