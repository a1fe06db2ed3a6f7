/** The actors of a kind, in the order of their keys, in pages. */

import { useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { KEYS_LEN, POLL_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { Polled } from "../data/poll.js";
import { count } from "../format.js";
import { members, texts } from "../json.js";
import { go, href, replace } from "../route.js";
import type { Client } from "../session/port.js";
import { Button } from "../ui/action.js";
import { Input } from "../ui/field.js";
import { Empty, Panel } from "../ui/panel.js";

/** Kinds of the demo application and of every node. No node tells which it has: others can be typed. */
const KINDS = ["counter", "room", "register", "schedule", "policy"] as const;
const KIND_PATTERN = /^[a-z][a-z0-9_.-]{0,63}$/;

export function ActorsView({ kind }: { kind: string }) {
  return (
    <>
      <h1 tabIndex={-1}>Actors</h1>
      <KindForm kind={kind} />
      {KIND_PATTERN.test(kind) ? (
        <Keys kind={kind} />
      ) : (
        <Panel title="Choose a kind">
          <ul class="chips">
            {KINDS.map((name) => (
              <li key={name}>
                <a class="button plain" href={href({ view: "actors", kind: name })}>
                  {name}
                </a>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <Open kind={kind} />
    </>
  );
}

function KindForm({ kind }: { kind: string }) {
  const [typed, setTyped] = useState(kind);
  const isWrong = typed !== "" && !KIND_PATTERN.test(typed);
  return (
    <form
      class="filters"
      data-filter
      role="search"
      aria-label="Choose a kind of actors"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isWrong) replace({ view: "actors", kind: typed });
      }}
    >
      <Input
        label="Kind"
        value={typed}
        suggestions={KINDS}
        onInput={(value) => {
          setTyped(value);
          if (KINDS.some((name) => name === value)) replace({ view: "actors", kind: value });
        }}
        error={isWrong ? "A letter a-z, then up to 63 of a-z, 0-9, '_', '.' and '-'." : undefined}
      />
      <Button type="submit">Show</Button>
    </form>
  );
}

/** A page of keys, read again every two seconds. */
class KeyPage {
  /** Where the pages before this one, and it, begin. */
  readonly afters = signal<readonly (string | undefined)[]>([undefined]);
  readonly page: Polled<string[]>;

  constructor(client: Client, kind: string) {
    this.page = new Polled(POLL_MS, async (signal) => {
      const after = this.afters.peek().at(-1);
      const options = { limit: KEYS_LEN, signal, ...(after === undefined ? {} : { after }) };
      return texts(members(await client.actors.list(kind, options))["keys"]);
    });
  }

  turn(afters: readonly (string | undefined)[]): void {
    this.afters.value = afters;
    this.page.restart();
  }

  dispose(): void {
    this.page.dispose();
  }
}

function Keys({ kind }: { kind: string }) {
  const { client } = useConsole();
  const pages = useOwned(() => new KeyPage(client, kind), [client, kind]);
  const keys = pages.page.value.value;
  const afters = pages.afters.value;
  const last = keys?.at(-1);
  return (
    <Panel
      title={`Actors of kind ${kind}`}
      source={pages.page}
      aside={keys === undefined ? undefined : count(keys.length, "key")}
    >
      {keys === undefined || keys.length === 0 ? (
        <Empty source={pages.page}>No actor of this kind was ever written to.</Empty>
      ) : (
        <ul class="keylist">
          {keys.map((key) => (
            <li key={key}>
              <a href={href({ view: "actor", kind, key })}>{`${kind}/${key}`}</a>
            </li>
          ))}
        </ul>
      )}
      <nav class="pages" aria-label="Pages of keys">
        <Button
          disabled={afters.length < 2}
          onClick={() => {
            pages.turn(afters.slice(0, -1));
          }}
        >
          Before
        </Button>
        <span>{`Page ${afters.length}`}</span>
        <Button
          disabled={keys === undefined || keys.length < KEYS_LEN}
          onClick={() => {
            pages.turn([...afters, last]);
          }}
        >
          After
        </Button>
      </nav>
    </Panel>
  );
}

/** Any actor by its name: one that nobody has written to has a state as well. */
function Open({ kind }: { kind: string }) {
  const [name, setName] = useState("");
  const [error, setError] = useState<string | undefined>(undefined);
  const open = (event: Event): void => {
    event.preventDefault();
    const at = name.indexOf("/");
    const [named, key] = at < 0 ? [kind, name] : [name.slice(0, at), name.slice(at + 1)];
    if (!KIND_PATTERN.test(named) || key === "") setError("Write kind/key, for example room/42.");
    else go({ view: "actor", kind: named, key });
  };
  return (
    <Panel title="Open by name">
      <form class="filters" onSubmit={open} noValidate>
        <Input label="Actor" value={name} onInput={setName} error={error} hint="kind/key" mono />
        <Button type="submit">Open</Button>
      </form>
    </Panel>
  );
}
