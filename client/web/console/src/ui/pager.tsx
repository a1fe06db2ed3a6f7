/** To the page of a list before this one and after it, and how much is on this one. */

import type { Pages } from "../data/pages.js";
import { count } from "../format.js";
import { Button } from "./action.js";

interface PagerProps {
  pages: Pages<unknown>;
  /** What is listed, one of it. */
  of: string;
  back?: string;
  on?: string;
}

export function Pager({ pages, of, back = "Back", on = "More" }: PagerProps) {
  const items = pages.items.value;
  return (
    <nav class="pages" aria-label={`Pages of ${of}s`}>
      <Button
        disabled={pages.number.value === 1}
        onClick={() => {
          pages.previous();
        }}
      >
        {back}
      </Button>
      <span>{items === undefined ? "" : count(items.length, of)}</span>
      <Button
        disabled={!pages.hasNext.value}
        onClick={() => {
          pages.next();
        }}
      >
        {on}
      </Button>
    </nav>
  );
}
