/**
 * All slots as a band, each in the colour of the node that has it: a thousand threads, side by side. What it shows
 * stands in the table of nodes as well.
 */

import { useEffect, useState } from "preact/hooks";
import type { Slot } from "../data/cluster.js";
import { count } from "../format.js";

/** Colours of nodes; further nodes take them again, and their names tell them apart. */
export const NODE_COLOURS = 8;

/** Slots of a row: 1,024 make eight rows, or sixteen on a narrow screen. */
const ROW_WIDE = 128;
const ROW_NARROW = 64;

/** The colour class of a node, by its place among all. */
export function colourOf(nodes: readonly string[], node: string | undefined): string {
  const at = node === undefined ? -1 : nodes.indexOf(node);
  return at < 0 ? "nobody" : `node-${at % NODE_COLOURS}`;
}

interface BandProps {
  slots: readonly Slot[];
  nodes: readonly string[];
  /** The node that is looked at. */
  highlighted: string | undefined;
}

export function SlotBand({ slots, nodes, highlighted }: BandProps) {
  const row = useNarrow() ? ROW_NARROW : ROW_WIDE;
  const rows = Math.max(1, Math.ceil(slots.length / row));
  const path = (of: readonly number[]) => of.map((slot) => cell(slot, row)).join("");
  const groups = grouped(slots);
  return (
    <svg
      class="slots"
      viewBox={`0 0 ${row} ${rows}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={describe(groups)}
      data-highlighted={highlighted !== undefined}
    >
      {[...groups].map(([owner, { rest, moving }]) => (
        <g
          key={owner}
          class={`${colourOf(nodes, owner === NOBODY ? undefined : owner)} ${owner === highlighted ? "highlighted" : ""}`}
        >
          <path d={path(rest)} />
          {moving.length > 0 && <path class="moving" d={path(moving)} />}
        </g>
      ))}
    </svg>
  );
}

const NOBODY = "";

interface Group {
  rest: number[];
  moving: number[];
}

/** Slots by owner. */
function grouped(slots: readonly Slot[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  slots.forEach(({ owner = NOBODY, isMoving }, slot) => {
    const group = groups.get(owner) ?? { rest: [], moving: [] };
    (isMoving ? group.moving : group.rest).push(slot);
    groups.set(owner, group);
  });
  return groups;
}

function cell(slot: number, row: number): string {
  // A hair of ground stays between the threads.
  return `M${slot % row} ${Math.floor(slot / row)}h.86v.9h-.86z`;
}

/** Whether the screen is narrow, as it changes. */
function useNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(() => matchMedia(NARROW).matches);
  useEffect(() => {
    const narrow = matchMedia(NARROW);
    const look = (): void => {
      setNarrow(narrow.matches);
    };
    narrow.addEventListener("change", look);
    return () => {
      narrow.removeEventListener("change", look);
    };
  }, []);
  return isNarrow;
}

const NARROW = "(max-width: 640px)";

function describe(groups: ReadonlyMap<string, Group>): string {
  const parts = [...groups].map(([owner, { rest, moving }]) => {
    const name = owner === NOBODY ? "nobody" : owner;
    const onTheWay = moving.length > 0 ? `, ${moving.length} of them moving` : "";
    return `${name} ${count(rest.length + moving.length, "slot")}${onTheWay}`;
  });
  return `Slots by node: ${parts.join("; ")}`;
}
