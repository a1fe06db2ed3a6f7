/** API keys: who may what with which, and how they are made, revoked and forgotten. */

import { useState } from "preact/hooks";
import { WHY_MS } from "../bounds.js";
import { useConsole, useOwned } from "../console.js";
import { API_KEYS, keyState, readApiKey, removeApiKey, revokeApiKey } from "../data/api-keys.js";
import type { ApiKey, KeyState } from "../data/api-keys.js";
import { now } from "../data/clock.js";
import { withQuery } from "../data/http.js";
import { Pages, readPageOf } from "../data/pages.js";
import { shortId } from "../format.js";
import { Button } from "../ui/action.js";
import { Badge } from "../ui/badge.js";
import type { Tone } from "../ui/badge.js";
import { Confirm } from "../ui/dialog.js";
import { resting, useGuard } from "../ui/guard.js";
import type { Guard } from "../ui/guard.js";
import { RoleNames } from "../ui/roles.js";
import { Table } from "../ui/table.js";
import { Ago, Moment } from "../ui/time.js";
import { AccessPage } from "./access.js";
import { NewKeyDialog } from "./new-key.js";

const COLUMNS = [
  { title: "Key" },
  { title: "State" },
  { title: "Roles" },
  { title: "Last used", wide: true },
  { title: "Expires", wide: true },
  { title: "Made", wide: true },
  { title: "By", wide: true },
  { title: "Actions" },
] as const;

const TONES: Readonly<Record<KeyState, Tone>> = { good: "good", expired: "quiet", revoked: "bad" };

type Deed = "revoke" | "remove";

export function ApiKeysView() {
  const { http } = useConsole();
  const [isNew, setNew] = useState(false);
  const [asked, ask] = useState<{ deed: Deed; value: ApiKey } | undefined>(undefined);
  const guard = useGuard();
  const pages = useOwned(
    () =>
      new Pages(WHY_MS, async (cursor = "", signal) =>
        readPageOf(await http.read(withQuery(API_KEYS, { cursor }), signal), readApiKey),
      ),
    [http],
  );
  const onChange = (): void => {
    pages.refresh();
  };
  return (
    <>
      <AccessPage
        here="api-keys"
        pages={pages}
        guard={guard}
        one="key"
        onNew={() => {
          setNew(true);
        }}
        empty="There is no key yet."
      >
        <Table label="API keys" columns={COLUMNS}>
          {pages.items.value?.map((value) => (
            <KeyRow
              key={value.id}
              value={value}
              isOff={guard.why !== undefined}
              ask={(deed) => {
                ask({ deed, value });
              }}
            />
          ))}
        </Table>
      </AccessPage>
      {isNew && (
        <NewKeyDialog
          guard={guard}
          onChange={onChange}
          onClose={() => {
            setNew(false);
          }}
        />
      )}
      {asked !== undefined && (
        <Asked
          {...asked}
          guard={guard}
          onChange={onChange}
          onClose={() => {
            ask(undefined);
          }}
        />
      )}
    </>
  );
}

interface RowProps {
  value: ApiKey;
  isOff: boolean;
  ask: (deed: Deed) => void;
}

function KeyRow({ value, isOff, ask }: RowProps) {
  const state = keyState(value, now.peek());
  const deed: Deed = state === "revoked" ? "remove" : "revoke";
  const verb = deed === "revoke" ? "Revoke" : "Forget";
  return (
    <tr>
      <th scope="row" class="id">
        {value.name}
        <code class="note" title={value.id}>
          {` ${shortId(value.id)}`}
        </code>
      </th>
      <td>
        <Badge tone={TONES[state]} word={state} />
      </td>
      <td>
        <RoleNames roles={value.roles} />
      </td>
      <td class="wide when">
        <Ago at={value.lastUsedAt} />
      </td>
      <td class="wide when">
        {value.expiresAt === undefined ? "never" : <Moment at={value.expiresAt} />}
      </td>
      <td class="wide when">
        <Moment at={value.createdAt} />
      </td>
      <td class="wide">{value.createdBy}</td>
      <td class="actions">
        <Button
          label={`${verb} ${value.name}`}
          disabled={isOff}
          onClick={() => {
            ask(deed);
          }}
        >
          {`${verb}…`}
        </Button>
      </td>
    </tr>
  );
}

interface AskedProps {
  deed: Deed;
  value: ApiKey;
  guard: Guard;
  onChange: () => void;
  onClose: () => void;
}

function Asked({ deed, value: key, guard, onChange, onClose }: AskedProps) {
  const { http } = useConsole();
  const [title, words, done] =
    deed === "revoke"
      ? [
          `Revoke ${key.name}?`,
          "Whoever came with it is let go within a second, and nobody comes with it again. It cannot be taken back.",
          "Revoked.",
        ]
      : [`Forget ${key.name}?`, "It goes off this list. The audit trail keeps it.", "Forgotten."];
  return (
    <Confirm
      title={title}
      verb={deed === "revoke" ? "Revoke" : "Forget"}
      work={async () => {
        const work = () => (deed === "revoke" ? revokeApiKey(http, key) : removeApiKey(http, key));
        await guard.hold(() => resting(work, onChange));
        onChange();
        return done;
      }}
      onClose={onClose}
    >
      <p>{words}</p>
    </Confirm>
  );
}
