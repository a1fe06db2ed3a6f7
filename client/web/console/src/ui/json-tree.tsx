/** A value as a tree that opens and closes. Large ones show their beginning until somebody asks for more. */

import { useState } from "preact/hooks";
import { JSON_ENTRIES_MAX, JSON_TEXT_MAX } from "../bounds.js";
import { count } from "../format.js";
import { inline } from "../json.js";

interface TreeProps {
  value: unknown;
  /** Levels that are open at first. */
  depth?: number;
}

export function JsonTree({ value, depth = 2 }: TreeProps) {
  return (
    <div class="json">
      <Value value={value} depth={depth} />
    </div>
  );
}

function Value({ value, depth, name }: TreeProps & { depth: number; name?: string }) {
  const label = name === undefined ? null : <span class="name">{name}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <>
        {label}
        <Scalar value={value} />
      </>
    );
  }
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const size = isList ? count(entries.length, "item") : count(entries.length, "member");
  if (entries.length === 0) {
    return (
      <>
        {label}
        <span class="mark">{isList ? "[]" : "{}"}</span>
      </>
    );
  }
  return (
    <details open={depth > 0}>
      <summary>
        {label}
        <span class="mark">{size}</span>
        <Preview value={value} />
      </summary>
      <Entries entries={entries} isList={isList} depth={depth - 1} />
    </details>
  );
}

/** The beginning of what is closed: its first members, and no look into what is in them. */
function Preview({ value }: { value: object }) {
  const parts: string[] = [];
  for (const name in value) {
    if (parts.length === PREVIEW_MEMBERS) {
      parts.push("…");
      break;
    }
    const member = (value as Record<string, unknown>)[name];
    parts.push(Array.isArray(value) ? glimpse(member) : `${name}: ${glimpse(member)}`);
  }
  return <span class="preview">{parts.join(", ")}</span>;
}

const PREVIEW_MEMBERS = 4;
const PREVIEW_TEXT = 32;

function glimpse(value: unknown): string {
  if (Array.isArray(value)) return "[…]";
  if (typeof value === "object" && value !== null) return "{…}";
  if (typeof value !== "string") return String(value);
  return value.length > PREVIEW_TEXT ? `${value.slice(0, PREVIEW_TEXT)}…` : value;
}

/** A text of this length still reads as one line. */
const LINE_LENGTH = 72;

/** A value in a cell of a table: in one line where it fits. */
export function Brief({ value }: { value: unknown }) {
  const text = inline(value);
  if (text === "{}") return null;
  return text.length <= LINE_LENGTH ? <code>{text}</code> : <JsonTree value={value} depth={0} />;
}

interface EntriesProps {
  entries: [string, unknown][];
  isList: boolean;
  depth: number;
}

function Entries({ entries, isList, depth }: EntriesProps) {
  const [shown, setShown] = useState(JSON_ENTRIES_MAX);
  const more = entries.length - shown;
  return (
    <ul>
      {entries.slice(0, shown).map(([name, value]) => (
        <li key={name} class={isList ? "item" : "member"}>
          <Value value={value} name={name} depth={depth} />
        </li>
      ))}
      {more > 0 && (
        <li>
          <button
            type="button"
            class="link"
            onClick={() => {
              setShown(shown + JSON_ENTRIES_MAX);
            }}
          >
            {`Show ${Math.min(more, JSON_ENTRIES_MAX)} of ${more} more`}
          </button>
        </li>
      )}
    </ul>
  );
}

function Scalar({ value }: { value: unknown }) {
  const [isWhole, setWhole] = useState(false);
  if (value === undefined) return <span class="mark">nothing</span>;
  if (typeof value !== "string")
    return <span class={`scalar ${typeof value}`}>{JSON.stringify(value)}</span>;
  const isLong = value.length > JSON_TEXT_MAX && !isWhole;
  return (
    <span class="scalar string">
      {`"${isLong ? value.slice(0, JSON_TEXT_MAX) : value}"`}
      {isLong && (
        <button
          type="button"
          class="link"
          onClick={() => {
            setWhole(true);
          }}
        >
          {`… all ${value.length} characters`}
        </button>
      )}
    </span>
  );
}
