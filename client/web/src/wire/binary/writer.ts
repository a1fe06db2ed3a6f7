/** Writes what a frame of the binary form holds. The machine's frames were checked; what is left out is none or zero. */

import type { Kit } from "./codec.js";
import type { Member } from "./shapes.js";
import { SHAPES } from "./shapes.js";

type Fields = Record<string, unknown>;

export class Writer {
  readonly #kit: Kit;
  #bytes = new Uint8Array(256);
  #length = 0;

  /** Leaves so many bytes free at the start. */
  constructor(kit: Kit, head: number) {
    this.#kit = kit;
    this.#length = head;
  }

  /** What was written, to be changed by nobody but the one who asked. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  structure(members: readonly Member[], fields: Fields): void {
    for (const [name, type] of members) this.#value(type, fields[name]);
  }

  #value(type: string, value: unknown): void {
    const of = type.slice(0, -1);
    if (type.endsWith("?")) {
      const isSome = value !== undefined && value !== null;
      this.#number(isSome ? 1 : 0);
      if (isSome) this.#value(of, value);
      return;
    }
    if (type.endsWith("*")) {
      const list = (value ?? []) as unknown[];
      this.#number(list.length);
      for (const item of list) this.#value(of, item);
      return;
    }
    this.#leaf(type, value);
  }

  #leaf(type: string, value: unknown): void {
    switch (type) {
      case "number":
        this.#number((value ?? 0) as number);
        break;
      case "u8":
      case "flag":
        this.#put([Number(value ?? 0)]);
        break;
      case "text":
      case "json":
      case "answer":
        this.#blob(UTF8.encode((value ?? "") as string));
        break;
      case "uuid": {
        const pairs = (value as string).replaceAll("-", "").match(/../g) ?? [];
        this.#blob(pairs.map((pair) => parseInt(pair, 16)));
        break;
      }
      case "bytes":
        this.#blob(this.#kit.tryBase64(value as string) ?? []);
        break;
      case "piece":
        this.#blob(value as Uint8Array);
        break;
      case "code":
        this.#number((this.#kit.ERROR_CODES as readonly unknown[]).indexOf(value));
        break;
      case "ext": {
        const [number, text] = value as [number, string];
        this.#number(number);
        this.#blob(this.#kit.tryBase64(text) ?? []);
        break;
      }
      default: {
        const members = SHAPES.get(type) ?? [];
        if (type.startsWith("|")) this.#variant(members, value);
        else this.structure(members, value as Fields);
      }
    }
  }

  /** One that holds nothing is its name, another an object with that one member; nothing is the first. */
  #variant(members: readonly Member[], value: unknown): void {
    const name =
      value === undefined || typeof value === "string" ? value : Object.keys(value as Fields)[0];
    const ordinal = Math.max(
      members.findIndex((member) => member[0] === name),
      0,
    );
    this.#number(ordinal);
    const [key, type] = members[ordinal] ?? ["", ""];
    if (type !== "") this.#value(type, (value as Fields)[key]);
  }

  #blob(bytes: ArrayLike<number>): void {
    this.#number(bytes.length);
    this.#put(bytes);
  }

  /** In the shortest form that holds it. */
  #number(value: number): void {
    if (value < 251) {
      this.#put([value]);
      return;
    }
    const view = new DataView(new ArrayBuffer(9));
    const [mark, bytes] = value < 2 ** 16 ? [251, 2] : value < 2 ** 32 ? [252, 4] : [253, 8];
    view.setUint8(0, mark);
    view.setBigUint64(1, BigInt(value), true);
    this.#put(new Uint8Array(view.buffer, 0, 1 + bytes));
  }

  #put(bytes: ArrayLike<number>): void {
    const end = this.#length + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
  }
}

const UTF8 = new TextEncoder();
