/**
 * Random lives of a client against a model of the cluster: every call is answered once, every command takes effect at
 * most once, every event is heard once and in order, whatever is lost, repeated, refused, halted or forgotten.
 */

import { expect, test } from "vitest";

import type { Output } from "../../src/session/machine.js";
import { Machine } from "../../src/session/machine.js";
import type { Pending } from "../../src/session/pending.js";
import type { Subscription } from "../../src/session/subscriptions.js";
import { Uploads } from "../../src/session/uploads.js";
import type { Command, Query, ServerFrame } from "../../src/wire/frames.js";
import { decode } from "../../src/wire/decode.js";
import { encode } from "../../src/wire/encode.js";
import { chance, ModelLink, World } from "../support/model.js";

const TARGET = { actor: { kind: "counter", key: "a" } };
const PAYLOAD = Uint8Array.from({ length: 270_000 }, (_, at) => at % 251);

interface Caller {
  tag: string;
  hasId: boolean;
  isQuery: boolean;
  answers: string[];
  pending?: Pending<Caller>;
}

type Out = Output<Caller, "listener">;

class Life {
  readonly world = new World();
  readonly machine = new Machine<Caller, "listener">();
  readonly uploads = new Uploads();
  readonly callers: Caller[] = [];
  readonly heard: number[] = [];
  readonly waiting: (Pending<Caller> | Subscription<"listener">)[] = [];
  readonly subscription: Subscription<"listener">;
  link = new ModelLink(this.world);
  isHalted = false;
  forgotten = 0;
  #loadsAt: number;

  constructor(readonly random: () => number) {
    this.world.limits.payloadBytes = 1_000_000;
    this.#loadsAt = Math.floor(random() * 100);
    this.subscription = this.machine.subscribe(TARGET, { after: 0 }, "listener");
    this.connect();
  }

  /** The connection breaks; what was on its way is lost. */
  connect(): void {
    this.link = new ModelLink(this.world);
    this.link.isTaking = this.random() < 0.5;
    this.machine.connected({ token: "secret", agent: "test" });
    this.pass();
    this.arrive();
    // One that is not known any more is told so, and comes again as another.
    if (!this.machine.isReady && this.link.out.length === 0) this.connect();
  }

  /** What the client says reaches the cluster. */
  pass(): void {
    for (;;) {
      const frames = this.machine.out.map(encode);
      this.machine.out = [];
      for (const text of frames) this.link.receive(text);
      const piece = frames.length === 0 ? this.uploads.next() : undefined;
      if (piece !== undefined) {
        const { from, length } = piece;
        const chunk = this.uploads.give(piece, PAYLOAD.subarray(from, from + length));
        if (chunk !== undefined) this.machine.say(chunk);
      } else if (frames.length === 0) {
        return;
      }
    }
  }

  /** The next message of the cluster arrives. */
  arrive(): void {
    const text = this.link.out.shift();
    if (text !== undefined) this.handle(decode(text));
  }

  handle(frame: ServerFrame): void {
    const output = this.machine.handle(frame, this.random());
    if (output !== undefined) this.carryOut(output);
    this.pass();
  }

  carryOut(output: Out): void {
    switch (output.type) {
      case "ready":
        for (const caller of output.unknown) caller.answers.push("unknown");
        break;
      case "answer":
        output.ticket.answers.push("success");
        break;
      case "failure":
        output.ticket.answers.push(output.failure.code);
        break;
      case "wait":
        this.waiting.push(output.again);
        break;
      case "item": {
        const { item } = output;
        if (item.type === "event") this.heard.push(item.seq);
        break;
      }
      case "reconnect":
        expect(output.reason.code).toBe("session_expired");
        this.forgotten += 1;
        break;
      case "subscribed":
        break;
      case "subscriptionEnded":
      case "task":
      case "notice":
      case "closed":
        throw new Error(JSON.stringify(output));
    }
  }

  call(isQuery: boolean): void {
    const tag = String(this.callers.length);
    const hasId = !isQuery && this.random() < 0.5;
    const caller: Caller = { tag, hasId, isQuery, answers: [] };
    this.callers.push(caller);
    const common = { number: 0, target: TARGET, name: "add", body: JSON.stringify({ tag }) };
    const hasPayload = !isQuery && this.random() < 0.08;
    const frame: Command | Query = isQuery
      ? {
          ...common,
          type: "query",
          name: this.random() < 0.2 ? "large" : "get",
          body: '{"bytes":70000}',
        }
      : { ...common, type: "command", acknowledged: 0, ...(hasId ? { id: `id-${tag}` } : {}) };
    if (frame.type === "command" && hasPayload) frame.payload = { attached: PAYLOAD.length };
    caller.pending = this.machine.requests.ask(frame, 1e9, caller);
    this.pass();
  }

  /** The code that sends payloads comes at some time. */
  load(): void {
    if (this.#loadsAt === 0) this.machine.requests.upload(this.uploads);
    this.#loadsAt -= 1;
    this.pass();
  }

  step(): void {
    this.load();
    const drawn = this.random();
    if (drawn < 0.2) this.call(false);
    else if (drawn < 0.27) this.call(true);
    else if (drawn < 0.7) this.arrive();
    else if (drawn < 0.76) this.link.refusals.push({ code: "unavailable", message: "a moment" });
    else if (drawn < 0.82) this.again();
    else if (drawn < 0.88) this.makeRoom();
    else if (drawn < 0.92) this.link.publish();
    else if (drawn < 0.95) this.toggle();
    else if (drawn < 0.96) this.repeat();
    else if (drawn < 0.97) this.leave();
    else if (drawn < 0.99) this.connect();
    else {
      this.world.forget();
      this.connect();
    }
  }

  again(): void {
    const [again] = this.waiting.splice(Math.floor(this.random() * this.waiting.length), 1);
    if (again !== undefined) this.machine.sendAgain(again);
    this.pass();
  }

  makeRoom(): void {
    for (const number of [...this.link.uploads.keys()]) this.link.take(number);
  }

  /** The consumer is behind, or has caught up. */
  toggle(): void {
    this.isHalted = !this.isHalted;
    if (this.isHalted) this.machine.halt(this.subscription);
    else this.machine.goOn(this.subscription);
    this.pass();
  }

  /** Old events come again. */
  repeat(): void {
    const text = this.link.out.find((message) => message.startsWith('{"event"'));
    if (text !== undefined) this.link.out.push(text);
  }

  leave(): void {
    const caller = this.callers[Math.floor(this.random() * this.callers.length)];
    if (caller?.answers.length !== 0 || caller.pending === undefined) return;
    this.machine.requests.abandon(caller.pending);
    caller.answers.push("left");
    this.pass();
  }

  /** Nothing goes wrong any more. */
  settle(): void {
    if (this.isHalted) this.toggle();
    this.link.refusals.length = 0;
    this.link.isTaking = true;
    for (let turn = 0; turn < 500; turn += 1) {
      this.makeRoom();
      this.again();
      this.link.publish();
      while (this.link.out.length > 0) this.arrive();
    }
  }

  judge(): void {
    for (const caller of this.callers) {
      const { tag, hasId, isQuery, answers } = caller;
      expect(answers, `call ${tag} has one end`).toHaveLength(1);
      const effects = this.world.effects.get(tag) ?? 0;
      expect(effects, `command ${tag} takes effect at most once`).toBeLessThanOrEqual(1);
      if (!isQuery && answers[0] === "success") expect(effects, `command ${tag}`).toBe(1);
      if (answers[0] === "unknown") expect(hasId, `command ${tag} has no id`).toBe(false);
    }
    const expected = this.world.events.map((_, at) => at + 1);
    expect(this.heard, "events in order, without gap or repeat").toEqual(expected);
    for (const payload of this.world.payloads.values()) {
      expect(Buffer.compare(payload, PAYLOAD), "the payload is whole").toBe(0);
    }
    expect(this.machine.requests.hasUnanswered).toBe(false);
    expect(this.machine.end()).toEqual({ callers: [], listeners: ["listener"] });
  }
}

test.each(Array.from({ length: Number(process.env["LIVES"] ?? 40) }, (_, seed) => seed))(
  "life %i",
  (seed) => {
    const life = new Life(chance(seed));
    for (let step = 0; step < 200; step += 1) life.step();
    life.settle();
    life.judge();
  },
);

test("lives see what they are meant to", () => {
  const seen = { unknown: 0, success: 0, left: 0, payloads: 0, forgotten: 0 };
  for (let seed = 0; seed < 10; seed += 1) {
    const life = new Life(chance(seed));
    for (let step = 0; step < 200; step += 1) life.step();
    for (const { answers } of life.callers) {
      for (const name of answers) seen[name as "success"] += 1;
    }
    seen.payloads += life.world.payloads.size;
    seen.forgotten += life.forgotten;
  }
  for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(2);
});
