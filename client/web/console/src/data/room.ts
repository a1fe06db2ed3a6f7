/**
 * The shared room: what was said, what this tab is saying, and who is typing. Messages come as events and are
 * kept in order; typing is an ephemeral message, which may be lost. The view owns one for each room.
 */

import { computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { MESSAGES_MAX, TELL_TYPING_MS, TYPING_MAX, TYPING_MS } from "../bounds.js";
import { list, members, number, text } from "../json.js";
import { toProblem } from "../problem.js";
import type { Problem } from "../problem.js";
import type { Actor, Client, Item, Items } from "../session/port.js";
import { now } from "./clock.js";

export interface Message {
  /** What tells messages apart: seq, or where it stood in the first state. */
  key: string;
  text: string;
  by: string;
  at: Date;
}

/** A message of this tab that is not in the room yet. */
export interface Outgoing {
  number: number;
  text: string;
  /** What became of it, if it came to nothing. */
  problem?: Problem;
}

export class Room {
  readonly #client: Client;
  readonly #actor: Actor;
  readonly #messages = signal<readonly Message[]>([]);
  readonly #outgoing = signal<readonly Outgoing[]>([]);
  readonly #typing = signal<ReadonlyMap<string, number>>(new Map());
  readonly #isOpen = signal(false);
  readonly #problem = signal<Problem | undefined>(undefined);
  #items: Items | undefined;
  readonly #over = new AbortController();
  #numbers = 0;
  #toldAt = 0;

  constructor(client: Client, key: string) {
    this.#client = client;
    this.#actor = client.actor("room", key);
    void this.#run();
  }

  get messages(): ReadonlySignal<readonly Message[]> {
    return this.#messages;
  }

  get outgoing(): ReadonlySignal<readonly Outgoing[]> {
    return this.#outgoing;
  }

  /** Whether the messages of before are here. */
  get isOpen(): ReadonlySignal<boolean> {
    return this.#isOpen;
  }

  /** Why no more will come. */
  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem;
  }

  /** Sessions in which somebody is typing just now. */
  readonly typing = computed<readonly string[]>(() => {
    const live = [...this.#typing.value].filter(([, at]) => now.value - at < TYPING_MS);
    return live.map(([session]) => session);
  });

  /** Says something. What becomes of it shows in `outgoing`, then in `messages`. */
  async say(words: string): Promise<void> {
    this.#numbers += 1;
    const outgoing: Outgoing = { number: this.#numbers, text: words };
    this.#outgoing.value = [...this.#outgoing.value, outgoing];
    try {
      await this.#actor.send("say", { text: words });
      this.forget(outgoing.number);
    } catch (error) {
      const problem = toProblem(error);
      this.#outgoing.value = this.#outgoing.value.map((it) =>
        it.number === outgoing.number ? { ...it, problem } : it,
      );
    }
  }

  /** Lets a message go that came to nothing. */
  forget(number: number): void {
    this.#outgoing.value = this.#outgoing.value.filter((it) => it.number !== number);
  }

  /** Tells the others, now and then, that somebody is typing here. */
  tellTyping(): void {
    const at = Date.now();
    if (at - this.#toldAt < TELL_TYPING_MS) return;
    this.#toldAt = at;
    this.#actor.tell("typing", {});
  }

  dispose(): void {
    this.#over.abort();
    this.#items?.close();
  }

  async #run(): Promise<void> {
    try {
      const state = await this.#actor.state();
      if (this.#over.signal.aborted) return;
      this.#messages.value = messagesOf(state.body, state.seq);
      this.#isOpen.value = true;
      // Ends when it is closed.
      this.#items = this.#actor.events({ after: state.seq });
      for await (const item of this.#items) this.#take(item);
    } catch (error) {
      if (!this.#over.signal.aborted) this.#problem.value = toProblem(error);
    }
  }

  #take(item: Item): void {
    switch (item.type) {
      case "event":
        if (item.kind === "said") this.#heard(readMessage(item.data, `${item.seq}`, item.time));
        break;
      case "gap":
        this.#messages.value = messagesOf(item.snapshot, item.seq);
        break;
      case "ephemeral":
        if (item.name === "typing" && item.from !== this.#client.session?.id) {
          this.#types(item.from);
        }
        break;
    }
  }

  #heard(message: Message): void {
    // The answer to this tab's own message may come later than the event: it is not shown twice.
    const own = this.#outgoing.value.find(
      (it) => it.text === message.text && it.problem === undefined,
    );
    if (own !== undefined) this.forget(own.number);
    this.#messages.value = [...this.#messages.value, message].slice(-MESSAGES_MAX);
  }

  #types(session: string): void {
    const at = Date.now();
    const live = [...this.#typing.value].filter(([, since]) => at - since < TYPING_MS);
    const kept = new Map(live.slice(-TYPING_MAX + 1));
    this.#typing.value = kept.set(session, at);
  }
}

/** The messages of a state. */
function messagesOf(state: unknown, seq: number): Message[] {
  const messages = list(members(state)["messages"]);
  return messages.map((value, index) => readMessage(value, `${seq}-${index}`, new Date(0)));
}

function readMessage(value: unknown, key: string, time: Date): Message {
  const message = members(value);
  const at = number(message["at"]);
  return {
    key,
    text: text(message["text"]) ?? "",
    by: text(message["by"]) ?? "?",
    at: at === undefined ? time : new Date(at),
  };
}
