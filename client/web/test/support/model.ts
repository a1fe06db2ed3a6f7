/**
 * A model of a cluster, as text of the JSON subprotocol in and out: it executes at once, keeps every outcome, and holds
 * clients to the rules of wire.md (window, acknowledged, bytes ahead of a Window), which it breaks off with an error.
 *
 * Tests of the machine drive it by hand; the fake WebSocket carries it to the whole client.
 */

type Json = Record<string, unknown>;

interface Session {
  id: string;
  token: string;
  acknowledged: number;
  outcomes: Map<number, Json>;
}

/** A command as the client sends it. */
export interface SentCommand {
  number: number;
  id?: string;
  acknowledged: number;
  target: unknown;
  name: string;
  body: Json;
  payload?: { inline: string } | { attached: number } | { streamed: number } | "none";
  deadlineMs?: number;
}

/** What all links of a model share. */
export class World {
  readonly sessions = new Map<string, Session>();
  readonly #byId = new Map<string, Json>();
  /** How often each command took effect, by its tag in the body. */
  readonly effects = new Map<string, number>();
  /** Tags in the order in which they took effect. */
  readonly order: string[] = [];
  /** Bytes of payloads, by the tag of their command. */
  readonly payloads = new Map<string, Uint8Array>();
  readonly events: Json[] = [];
  /** Events up to this seq are no longer stored. */
  forgotten = 0;
  readonly limits = {
    window: 4,
    queries: 4,
    subscriptions: 8,
    inlineBytes: 65_536,
    payloadBytes: 8_388_608,
    idleMs: 30_000,
  };
  node = "node-1";
  ext: unknown[] | undefined;
  /** Tokens that are let in. */
  token = "secret";
  readonly hellos: Json[] = [];
  readonly commands: SentCommand[] = [];
  #sessions = 0;

  hello(hello: Json): Json {
    this.hellos.push(hello);
    if (hello["token"] !== this.token) {
      return goodbye("unauthenticated", "the token is not one of this cluster's");
    }
    const resume = hello["resume"];
    let session = typeof resume === "string" ? this.sessions.get(resume) : undefined;
    const resumed = session !== undefined;
    if (typeof resume === "string" && !resumed) return goodbye("session_expired", "unknown");
    if (session === undefined) {
      this.#sessions += 1;
      const id = `00000000-0000-7000-8000-${String(this.#sessions).padStart(12, "0")}`;
      session = { id, token: btoa(id), acknowledged: 0, outcomes: new Map() };
      this.sessions.set(session.token, session);
    }
    const { id, token } = session;
    const { node, limits, ext } = this;
    return { welcome: { version: 1, session: id, resumed, resumeToken: token, node, limits, ext } };
  }

  /** Every session is gone, as after 24 hours. */
  forget(): void {
    this.sessions.clear();
  }

  execute(session: Session, command: SentCommand, payload?: Uint8Array): Json {
    const known = command.id === undefined ? session.outcomes.get(command.number) : undefined;
    const stored = known ?? (command.id === undefined ? undefined : this.#byId.get(command.id));
    if (stored !== undefined) return stored;
    const tag = String(command.body["tag"]);
    this.effects.set(tag, (this.effects.get(tag) ?? 0) + 1);
    this.order.push(tag);
    if (payload !== undefined) this.payloads.set(tag, payload);
    this.events.push({ tag });
    const seq = this.events.length;
    const outcome = { success: { body: { tag }, seq, version: seq } };
    session.outcomes.set(command.number, outcome);
    if (command.id !== undefined) this.#byId.set(command.id, outcome);
    return outcome;
  }
}

interface Upload {
  command: SentCommand;
  length: number;
  parts: Uint8Array[];
  received: number;
  taken: number;
}

/** One connection to the model. What it has to say gathers in `out`. */
export class ModelLink {
  out: string[] = [];
  /** Whether the server has ended the connection. */
  isOver = false;
  session: Session | undefined;
  /** The next seq of each subscription. */
  readonly subscriptions = new Map<number, number>();
  readonly uploads = new Map<number, Upload>();
  readonly received: Json[] = [];
  /** Answers the next commands or queries with these failures. */
  readonly refusals: Json[] = [];
  /** Whether the link makes room for payloads by itself. */
  isTaking = true;

  constructor(readonly world: World) {}

  say(frame: Json): void {
    this.out.push(JSON.stringify(frame));
  }

  /** A message of the client. */
  receive(text: string): void {
    const frame = JSON.parse(text) as Record<string, Json>;
    this.received.push(frame);
    const [type, fields] = Object.entries(frame)[0] ?? ["", {}];
    if (type === "hello") {
      const answer = this.world.hello(fields);
      const welcome = answer["welcome"] as Json | undefined;
      this.session = this.world.sessions.get(String(welcome?.["resumeToken"]));
      this.isOver = welcome === undefined;
      this.say(answer);
      return;
    }
    if (this.session === undefined) throw new Error(`${type} came before the hello`);
    switch (type) {
      case "command":
        this.#command(fields as unknown as SentCommand, this.session);
        break;
      case "query":
        this.#query(fields);
        break;
      case "subscribe":
        this.#subscribe(fields);
        break;
      case "unsubscribe":
        this.subscriptions.delete(Number(fields["subscription"]));
        break;
      case "chunk":
        this.#chunk(fields);
        break;
      case "ack":
        this.session.acknowledged = Number(fields["acknowledged"]);
        break;
      case "ping":
        this.say({ pong: fields });
        break;
      case "goodbye":
        this.world.sessions.delete(this.session.token);
        this.isOver = true;
        break;
    }
  }

  #command(command: SentCommand, session: Session): void {
    const { number, acknowledged } = command;
    this.world.commands.push(command);
    session.acknowledged = Math.max(session.acknowledged, acknowledged);
    if (
      number <= session.acknowledged ||
      number > session.acknowledged + this.world.limits.window
    ) {
      throw new Error(`command ${number} is outside the window after ${session.acknowledged}`);
    }
    const refusal = this.refusals.shift();
    if (refusal !== undefined) {
      this.#reply({ command: number }, { failure: refusal });
      return;
    }
    const { payload } = command;
    if (typeof payload === "object" && !("inline" in payload)) {
      const length = "attached" in payload ? payload.attached : payload.streamed;
      this.uploads.set(number, { command, length, parts: [], received: 0, taken: 0 });
      if (this.uploads.size > 16) throw new Error("over 16 payloads are on their way");
      return;
    }
    const bytes = typeof payload === "object" ? bytesOf(payload.inline) : undefined;
    this.#reply({ command: number }, this.world.execute(session, command, bytes));
  }

  #chunk(fields: Json): void {
    const { command: number } = fields["request"] as { command: number };
    const upload = this.uploads.get(number);
    if (upload === undefined || this.session === undefined) return;
    const bytes = bytesOf(String(fields["data"]));
    upload.parts.push(bytes);
    upload.received += bytes.length;
    const { received, length } = upload;
    if (received > upload.taken + 262_144) throw new Error("bytes came ahead of the window");
    if (fields["last"] === true) {
      this.uploads.delete(number);
      const outcome =
        received === length
          ? this.world.execute(this.session, upload.command, joined(upload.parts))
          : { failure: { code: "invalid", message: "not as long as announced", field: "payload" } };
      this.#reply({ command: number }, outcome);
    } else if (this.isTaking) {
      this.take(number);
    }
  }

  /** Makes room for more of a payload. */
  take(number: number): void {
    const upload = this.uploads.get(number);
    if (upload === undefined) return;
    upload.taken = upload.received;
    this.say({ window: { request: { command: number }, bytes: upload.taken } });
  }

  #query(fields: Json): void {
    const number = Number(fields["number"]);
    const refusal = this.refusals.shift();
    if (refusal !== undefined) {
      this.#reply({ query: number }, { failure: refusal });
      return;
    }
    const seq = this.world.events.length;
    if (fields["name"] !== "large") {
      const body = { name: fields["name"], body: fields["body"] };
      this.#reply({ query: number }, { success: { body, seq, version: seq } });
      return;
    }
    const text = JSON.stringify("x".repeat(Number((fields["body"] as Json)["bytes"]) - 2));
    this.#reply({ query: number }, { success: { seq, version: seq } }, [[1, length(text.length)]]);
    this.#chunks({ query: number }, text);
  }

  #chunks(request: Json, text: string): void {
    for (let at = 0; at < text.length; at += 65_536) {
      const data = btoa(text.slice(at, at + 65_536));
      this.say({ chunk: { request, data, last: at + 65_536 >= text.length } });
    }
  }

  #subscribe(fields: Json): void {
    const number = Number(fields["subscription"]);
    const since = fields["since"] as { after: number } | "latest";
    const refusal = this.refusals.shift();
    if (refusal !== undefined) {
      this.#reply({ subscription: number }, { failure: refusal });
      return;
    }
    const after = since === "latest" ? this.world.events.length : since.after;
    this.subscriptions.set(number, after + 1);
    this.#reply({ subscription: number }, { success: { seq: after, version: 0 } });
    this.publish();
  }

  /** Sends the events that subscribers have not got. */
  publish(): void {
    const { events, forgotten } = this.world;
    for (const [subscription, next] of this.subscriptions) {
      let seq = next;
      if (seq <= forgotten) {
        const snapshot = { count: forgotten };
        this.say({ gap: { subscription, after: seq - 1, seq: forgotten, snapshot } });
        seq = forgotten + 1;
      }
      for (; seq <= events.length; seq += 1) {
        const data = events[seq - 1];
        this.say({ event: { subscription, seq, kind: "added", timeMs: seq, data } });
      }
      this.subscriptions.set(subscription, seq);
    }
  }

  /** Sends a gap with a snapshot of so many bytes. */
  largeGap(subscription: number, seq: number, bytes: number): void {
    const text = JSON.stringify("s".repeat(bytes - 2));
    const after = (this.subscriptions.get(subscription) ?? 1) - 1;
    this.say({ largeGap: { subscription, after, seq, length: text.length } });
    this.#chunks({ subscription }, text);
    this.subscriptions.set(subscription, seq + 1);
  }

  #reply(request: Json, outcome: Json, ext?: unknown[]): void {
    this.say({ reply: { request, outcome, ext } });
  }
}

export function goodbye(code: string, message: string): Json {
  return { goodbye: { failure: { code, message } } };
}

/** Eight bytes, big endian, in base64. */
export function length(bytes: number): string {
  const eight = new Uint8Array(8);
  new DataView(eight.buffer).setBigUint64(0, BigInt(bytes));
  return btoa(String.fromCharCode(...eight));
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytesOf(base64: string): Uint8Array {
  return Buffer.from(base64, "base64");
}

/** Chance that is the same for the same seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
