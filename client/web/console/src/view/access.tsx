/** What the pages of users, roles and API keys share: the way from one to the others, a list in pages, and a new one. */

import type { ComponentChildren } from "preact";
import type { Pages } from "../data/pages.js";
import { href } from "../route.js";
import type { Route } from "../route.js";
import { Button } from "../ui/action.js";
import { Refused } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";
import { Pager } from "../ui/pager.js";
import { Empty, Panel } from "../ui/panel.js";

const PAGES = [
  ["Users", { view: "users" }],
  ["Roles", { view: "roles" }],
  ["API keys", { view: "api-keys" }],
] as const satisfies readonly (readonly [string, Route])[];

interface AccessProps {
  here: (typeof PAGES)[number][1]["view"];
  pages: Pages<unknown>;
  guard: Guard;
  /** One of what is listed. */
  one: string;
  onNew: () => void;
  /** What stands where there is none. */
  empty: string;
  hint?: string;
  /** The table. */
  children: ComponentChildren;
}

export function AccessPage(props: AccessProps) {
  const { here, pages, guard, one, onNew, empty, hint, children } = props;
  const title = PAGES.find(([, { view }]) => view === here)?.[0] ?? "";
  // Whoever may not see them makes none either.
  const mayNot = pages.page.problem.value?.code === "permission_denied";
  const hasItems = (pages.items.value?.length ?? 0) > 0;
  return (
    <>
      <div class="heading">
        <h1 tabIndex={-1}>{title}</h1>
        {!mayNot && (
          <Button kind="primary" disabled={guard.why !== undefined} onClick={onNew}>
            {`New ${one}…`}
          </Button>
        )}
      </div>
      <nav class="tabs" aria-label="Access">
        <ul>
          {PAGES.map(([name, to]) => (
            <li key={name}>
              <a href={href(to)} aria-current={to.view === here ? "page" : undefined}>
                {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <Refused guard={guard} />
      <Panel title={`${title} of the tenant`} source={pages.page}>
        {hasItems ? children : <Empty source={pages.page}>{empty}</Empty>}
        {!mayNot && <Pager pages={pages} of={one} />}
        {hint !== undefined && <p class="hint">{hint}</p>}
      </Panel>
    </>
  );
}
