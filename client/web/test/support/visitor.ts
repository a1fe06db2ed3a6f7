/**
 * A client that works all the time: adds to counters, speaks in a room, listens to all of them, and judges what came of
 * it. It runs in Node.js and, as it imports nothing, in pages.
 */

import type { Client, Events } from "../../src/index.js";

/** Enough that each of three nodes owns some of them. */
const COUNTERS = 24;
/** Commands under way at a time: some whenever a node is lost, and few enough for a busy machine. */
const AT_ONCE = 4;
/** How long anything that is waited for may take: far longer than a lost node costs. */
const PATIENCE_MS = 30_000;

/** An actor, and what the client knows of it. */
interface Visited {
  kind: "counter" | "room";
  key: string;
  events: Events;
  /** What was said at each seq that an answer gave, empty for a counter. */
  answered: Map<number, string>;
  answers: number;
  /** Of each event, in the order of their coming. */
  heard: { seq: number; text: string }[];
}

export class Visitor {
  readonly client: Client;
  /** Where the session was, one after the other. */
  readonly nodes: string[] = [];
  /** Why it was left each time, or no connection came about. */
  readonly reasons: string[] = [];
  /** What must not happen. */
  readonly problems: string[] = [];
  done = 0;
  readonly #visited: Visited[];
  readonly #looks = new Set<() => void>();
  readonly #working: Promise<void>[];
  #isOver = false;

  constructor(client: Client, name: string) {
    this.client = client;
    this.#arrived();
    client.onState((state, why) => {
      if (why !== undefined) this.reasons.push(why.message);
      if (state === "open") this.#arrived();
    });
    const keys = Array.from({ length: COUNTERS }, (_, at) => `${name}-${at}`);
    this.#visited = [...keys.map((key) => this.#visit("counter", key)), this.#visit("room", name)];
    this.#working = Array.from({ length: AT_ONCE }, (_, at) => this.#work(at));
  }

  /** The node where the session is, or was last. */
  get node(): string {
    return this.nodes.at(-1) ?? "";
  }

  /** Returns when so many more commands are answered. */
  async advance(by: number): Promise<void> {
    const wanted = this.done + by;
    await this.#until(`${by} more answers`, () => this.done >= wanted);
  }

  /** Returns when the session is open at none of these nodes: the one where it is then. */
  async away(...from: string[]): Promise<string> {
    const isAway = (): boolean => this.client.state === "open" && !from.includes(this.node);
    await this.#until(`a session away from ${from.join(" and ")}`, isAway);
    return this.node;
  }

  /** Ends the work, and says what was not as it should be. */
  async finish(): Promise<string[]> {
    this.#isOver = true;
    await Promise.all(this.#working);
    for (const visited of this.#visited) await this.#judge(visited);
    return this.problems;
  }

  #arrived(): void {
    const { session } = this.client;
    if (session === undefined) return;
    if (this.nodes.length > 0 && !session.resumed) this.problems.push("the session was lost");
    this.nodes.push(session.node);
    this.#changed();
  }

  #visit(kind: Visited["kind"], key: string): Visited {
    const events = this.client.actor(kind, key).events({ after: 0 });
    const visited: Visited = { kind, key, events, answered: new Map(), answers: 0, heard: [] };
    void this.#listen(visited);
    return visited;
  }

  async #listen({ kind, key, events, heard }: Visited): Promise<void> {
    try {
      for await (const item of events) {
        if (item.type !== "event") this.problems.push(`${kind}/${key}: a ${item.type} came`);
        else heard.push({ seq: item.seq, text: textOf(item.data) });
        this.#changed();
      }
    } catch (error) {
      this.problems.push(`${kind}/${key}: its events ended: ${String(error)}`);
    }
  }

  /** One command after the other, each to another actor. */
  async #work(first: number): Promise<void> {
    for (let at = first; !this.#isOver; at += AT_ONCE) {
      const visited = this.#visited[at % this.#visited.length];
      if (visited === undefined) return;
      const { kind, key } = visited;
      const text = kind === "room" ? `message ${at}` : "";
      const actor = this.client.actor(kind, key);
      try {
        const sent = kind === "room" ? actor.send("say", { text }) : actor.send("add", { by: 1 });
        visited.answered.set((await sent).seq, text);
        visited.answers += 1;
        this.done += 1;
      } catch (error) {
        this.problems.push(`${kind}/${key}: command ${at} failed: ${String(error)}`);
        this.#isOver = true;
      }
      this.#changed();
    }
  }

  /** Each answer was of an effect of its own, each effect was heard once and in order, and there were no others. */
  async #judge({ kind, key, events, answered, answers, heard }: Visited): Promise<void> {
    await this.#until(`all events of ${kind}/${key}`, () => heard.length >= answers);
    const { seq, body } = await this.client.actor(kind, key).state();
    events.close();
    const wrong = (what: string): number => this.problems.push(`${kind}/${key}: ${what}`);
    const seqs = Array.from({ length: answers }, (_, at) => at + 1);
    if (seq !== answers) wrong(`${answers} answers and ${seq} effects`);
    if (
      !isSame(
        heard.map((event) => event.seq),
        seqs,
      )
    )
      wrong("events are not in order");
    if (
      !isSame(
        [...answered.keys()].sort((a, b) => a - b),
        seqs,
      )
    )
      wrong("answers share an effect");
    if (!heard.every((event) => answered.get(event.seq) === event.text)) wrong("other words came");
    const { value } = body as { value?: number };
    if (kind === "counter" && value !== answers) wrong(`it is ${String(value)}, not ${answers}`);
  }

  #changed(): void {
    for (const look of [...this.#looks]) look();
  }

  /** Returns when it is so; rejects where it does not come to be, or something has gone wrong already. */
  #until(what: string, isSo: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clearTimeout(timer);
        this.#looks.delete(look);
      };
      const fail = (why: string): void => {
        over();
        const { state } = this.client;
        const where = `${state}, was at ${this.nodes.join(", ")}, left for: ${this.reasons.join("; ")}`;
        reject(new Error(`${what}: ${why} (${where})`));
      };
      const look = (): void => {
        if (this.problems.length > 0) {
          fail(this.problems.join("; "));
        } else if (isSo()) {
          over();
          resolve();
        }
      };
      const timer = setTimeout(() => {
        fail(`waited for in vain, ${this.done} commands are answered`);
      }, PATIENCE_MS);
      this.#looks.add(look);
      look();
    });
  }
}

function textOf(data: unknown): string {
  const { text } = data as { text?: string };
  return text ?? "";
}

function isSame(one: number[], other: number[]): boolean {
  return one.length === other.length && one.every((value, at) => value === other[at]);
}
