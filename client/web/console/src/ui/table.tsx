/** A table that scrolls by itself where the screen is narrow, by keyboard as well. */

import type { ComponentChildren } from "preact";

export interface Column {
  title: string;
  /** Numbers stand to the right. */
  numeric?: boolean;
  /** Left out on narrow screens. */
  wide?: boolean;
}

interface TableProps {
  label: string;
  columns: readonly Column[];
  children: ComponentChildren;
}

export function Table({ label, columns, children }: TableProps) {
  return (
    <div class="table" role="group" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} scope="col" class={classOf(column)}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

function classOf({ numeric = false, wide = false }: Column): string {
  return `${numeric ? "numeric" : ""} ${wide ? "wide" : ""}`.trim();
}

/** Names and what they are: the two columns of a description. */
export function Facts({ children }: { children: ComponentChildren }) {
  return <dl class="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
