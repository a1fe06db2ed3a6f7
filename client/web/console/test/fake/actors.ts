/** Actors of the fake cluster: rooms, counters and policies. */

import { FakeError } from "./error.js";
import { Feed } from "./feed.js";

interface Stored {
  state: unknown;
  version: number;
  feed: Feed;
}

export class FakeActors {
  readonly #all = new Map<string, Stored>();

  keys(kind: string): string[] {
    const names = [...this.#all].filter(([, { version }]) => version > 0).map(([name]) => name);
    return names
      .filter((name) => name.startsWith(`${kind}/`))
      .map((name) => name.slice(kind.length + 1))
      .sort();
  }

  find(kind: string, key: string): Stored {
    const name = `${kind}/${key}`;
    const found = this.#all.get(name) ?? { state: begin(kind, key), version: 0, feed: new Feed() };
    this.#all.set(name, found);
    return found;
  }

  send(
    kind: string,
    key: string,
    name: string,
    body: unknown,
  ): { body: unknown; seq: number; version: number } {
    const actor = this.find(kind, key);
    const reply = decide(kind, actor, name, body as Record<string, unknown>);
    actor.version += 1;
    return { body: reply, seq: actor.feed.seq, version: actor.version };
  }
}

function begin(kind: string, key: string): unknown {
  switch (kind) {
    case "room":
      return { messages: [] };
    case "counter":
      return { value: 0 };
    case "policy":
      return {
        type: key,
        patch: {},
        effective:
          key === "*"
            ? null
            : { concurrency: 16, retry: { attemptsMax: 5 }, stepTimeoutMs: 60_000 },
        breaker: key === "*" ? null : { state: "closed" },
        changedBy: null,
        changedAt: null,
      };
    default:
      throw new FakeError("unknown_kind", `no code is registered for the kind ${kind}`);
  }
}

function decide(kind: string, actor: Stored, name: string, body: Record<string, unknown>): unknown {
  switch (`${kind} ${name}`) {
    case "room say": {
      if (typeof body["text"] !== "string" || body["text"] === "") {
        throw new FakeError("invalid", "a message has 1 to 4096 bytes", "text");
      }
      const message = { text: body["text"], by: "admin", at: Date.now() };
      const { messages } = actor.state as { messages: unknown[] };
      actor.state = { messages: [...messages, message] };
      actor.feed.append("said", message);
      return null;
    }
    case "counter add": {
      const { value } = actor.state as { value: number };
      actor.state = { value: value + Number(body["by"]) };
      actor.feed.append("added", { ...body, ...(actor.state as object) });
      return actor.state;
    }
    case "policy set": {
      const before = actor.state as Record<string, object>;
      actor.state = {
        ...before,
        patch: { ...before["patch"], ...body },
        effective: { ...before["effective"], ...body },
        changedBy: "admin",
        changedAt: new Date().toISOString(),
      };
      actor.feed.append("policy.changed", { after: body });
      return actor.state;
    }
    default:
      throw new FakeError("unknown_command", `${kind} has no command ${name}`);
  }
}
