/** The audit trail: who did what, and who was not let, the newest first, as it grows. */

import { useEffect, useState } from "preact/hooks";
import { PAGE_LEN, POLL_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { auditPath, readRecord } from "../data/audit.js";
import type { AuditFilter, AuditRecord } from "../data/audit.js";
import { Pages, readPageOf } from "../data/pages.js";
import { href, replace } from "../route.js";
import type { Route } from "../route.js";
import { Badge } from "../ui/badge.js";
import { Input, Select } from "../ui/field.js";
import { Brief } from "../ui/json-tree.js";
import { MomentInput } from "../ui/moment-field.js";
import { Pager } from "../ui/pager.js";
import { Empty, Panel } from "../ui/panel.js";
import { Table } from "../ui/table.js";
import { Moment } from "../ui/time.js";
import { ChainCheck } from "./audit-verify.js";

type Filters = Extract<Route, { view: "audit" }>;

export function AuditView({ filter }: { filter: Filters }) {
  return (
    <>
      <h1 tabIndex={-1}>Audit trail</h1>
      <FilterForm filter={filter} />
      <Records filter={filter} />
      <ChainCheck key={filter.chain} chain={filter.chain} />
    </>
  );
}

const CHAINS = [
  ["", "This tenant's"],
  ["cluster", "The cluster's"],
] as const;

/** How long somebody must have stopped typing before the list changes. */
const TYPED_MS = 300;

function FilterForm({ filter }: { filter: Filters }) {
  const [principal, setPrincipal] = useState(filter.principal);
  const [action, setAction] = useState(filter.action);
  // A link in the list sets a filter as well.
  useEffect(() => {
    setPrincipal(filter.principal);
    setAction(filter.action);
  }, [filter.principal, filter.action]);
  useEffect(() => {
    if (principal === filter.principal && action === filter.action) return;
    const timer = setTimeout(() => {
      replace({ ...filter, principal: principal.trim(), action: action.trim() });
    }, TYPED_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [principal, action, filter]);
  return (
    <form
      class="filters"
      data-filter
      role="search"
      aria-label="Filter the audit trail"
      onSubmit={(event) => {
        event.preventDefault();
      }}
    >
      <Select
        label="Chain"
        value={filter.chain}
        options={CHAINS}
        onInput={(chain) => {
          replace({ ...filter, chain });
        }}
      />
      <Input label="Principal" value={principal} onInput={setPrincipal} />
      <Input label="Action" value={action} onInput={setAction} suggestions={ACTIONS} />
      <MomentInput
        label="Since"
        value={filter.since}
        onInput={(since) => {
          replace({ ...filter, since });
        }}
      />
      <MomentInput
        label="Until"
        value={filter.until}
        onInput={(until) => {
          replace({ ...filter, until });
        }}
      />
    </form>
  );
}

/** Resources whose changes are recorded; an action may be named whole as well. */
const ACTIONS = [
  "api-key",
  "audit",
  "cluster",
  "limit",
  "login",
  "policy",
  "role",
  "session",
  "signing-key",
  "subject",
  "token",
  "user",
] as const;

const COLUMNS = [
  { title: "No.", numeric: true, wide: true },
  { title: "Time" },
  { title: "Principal", wide: true },
  { title: "Action" },
  { title: "On", wide: true },
  { title: "Outcome" },
  { title: "Detail", wide: true },
  { title: "Hash", wide: true },
] as const;

function Records({ filter }: { filter: Filters }) {
  const { http } = useConsole();
  const { chain, principal, action, since, until } = filter;
  const pages = useOwned(() => {
    const asked: AuditFilter = { chain, principal, action, since, until };
    return new Pages(POLL_MS, async (cursor, signal) =>
      readPageOf(await http.read(auditPath(asked, PAGE_LEN, cursor), signal), readRecord),
    );
  }, [http, chain, principal, action, since, until]);
  const records = pages.items.value;
  const number = pages.number.value;
  return (
    <Panel
      title={number === 1 ? "Newest first" : `Newest first, page ${number}`}
      source={pages.page}
      aside={<span class="live">{`live, every ${POLL_MS / 1_000} s`}</span>}
    >
      {records === undefined || records.length === 0 ? (
        <Empty source={pages.page}>
          {pages.hasNext.value
            ? "Nothing in the part that was looked through; older records may match."
            : "No record matches these filters."}
        </Empty>
      ) : (
        <Table label="Audit records" columns={COLUMNS}>
          {records.map((record) => (
            <RecordRow key={record.number} record={record} filter={filter} />
          ))}
        </Table>
      )}
      <Pager pages={pages} of="record" back="Newer" on="Older" />
      <p class="hint">
        {"A whole trail to be kept elsewhere: "}
        <code>selvedge audit export</code>.
      </p>
    </Panel>
  );
}

function RecordRow({ record, filter }: { record: AuditRecord; filter: Filters }) {
  const detail = record.detail == null ? null : <Brief value={record.detail} />;
  const who = (
    <a href={href({ ...filter, principal: record.principal })} title="Only of this principal">
      {record.principal}
    </a>
  );
  return (
    <tr>
      <td class="numeric wide">{record.number}</td>
      <td class="when">
        <Moment at={record.at} />
      </td>
      <td class="wide id">{who}</td>
      <td class="deed">
        <a href={href({ ...filter, action: record.action })} title="Only this action">
          {record.action}
        </a>
        <span class="narrow target">{record.target}</span>
        <span class="narrow note">
          no. {record.number} by {record.principal}
        </span>
        <div class="narrow">{detail}</div>
      </td>
      <td class="wide target">{record.target}</td>
      <td>
        <OutcomeBadge record={record} />
      </td>
      <td class="wide detail">{detail}</td>
      <td class="wide">
        <code title={record.hash}>{record.hash.slice(0, HASH_SHOWN)}</code>
      </td>
    </tr>
  );
}

/** Enough of a hash to compare at a glance; all of it is in the title. */
const HASH_SHOWN = 8;

function OutcomeBadge({ record: { outcome, code } }: { record: AuditRecord }) {
  if (outcome === "done") return <Badge tone="good" word="done" />;
  return (
    <>
      <Badge tone={outcome === "refused" ? "bad" : "quiet"} word={outcome} />
      {code !== undefined && <span class="note block">{code}</span>}
    </>
  );
}
