/**
 * Reads what a frame of the binary form holds, from bytes that may be anything: they are read within their bounds, and
 * what is wrong is told with the path of its field.
 */

import type { Kit } from "./codec.js";
import type { Member } from "./shapes.js";
import { SHAPES } from "./shapes.js";

type Fields = Record<string, unknown>;

/** The elements of any list, as wire.md has it. */
const LIST_MAX = 1_024;

/** What is wrong with bytes; the codec makes an error of the SDK of it. */
export class Wrong extends Error {}

export class Reader {
  readonly #kit: Kit;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  /** Where it is: the names of the field and of those that it is in. */
  readonly path: string[] = [];

  constructor(kit: Kit, bytes: Uint8Array) {
    this.#kit = kit;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  structure(members: readonly Member[]): Fields {
    const fields: Fields = {};
    for (const [name, type] of members) {
      this.path.push(name);
      this.#field(fields, name, type);
      this.path.pop();
    }
    return fields;
  }

  /** What is empty or none is left out, as in the JSON form. */
  #field(fields: Fields, name: string, type: string): void {
    if (type === "json") {
      this.#json(fields, name);
    } else if (type === "answer") {
      const bytes = this.#take();
      // Of its own: it is kept, and must not keep all that came with it.
      if (bytes.length > 0) fields["bytes"] = bytes.slice();
    } else {
      const value = this.#value(type);
      const isNone = value === undefined || (type === "ext*" && (value as unknown[]).length === 0);
      if (!isNone) fields[name] = value;
    }
  }

  #value(type: string): unknown {
    const of = type.slice(0, -1);
    if (type.endsWith("?")) return this.#flag() ? this.#value(of) : undefined;
    if (type.endsWith("*")) return this.#list(of);
    switch (type) {
      case "number":
        return this.#number();
      case "u8":
        return this.#byte();
      case "flag":
        return this.#flag();
      case "text":
        return this.#text(this.#take());
      case "uuid":
        return this.#uuid();
      case "bytes":
        return this.#kit.toBase64(this.#take());
      case "piece":
        return this.#take().slice();
      case "code":
        return this.#kit.ERROR_CODES[this.#number()] ?? this.#fail("an unknown code");
      case "ext":
        return [this.#number(), this.#kit.toBase64(this.#take())];
      default: {
        const members = SHAPES.get(type) ?? [];
        return type.startsWith("|") ? this.#variant(members) : this.structure(members);
      }
    }
  }

  #variant(members: readonly Member[]): unknown {
    const [name, type] = members[this.#number()] ?? this.#fail("an unknown variant");
    return type === "" ? name : this.structure([[name, type]]);
  }

  #list(type: string): unknown[] {
    const length = this.#number();
    if (length > LIST_MAX) this.#fail("a list that is too long");
    return Array.from({ length }, () => this.#value(type));
  }

  /** JSON is a value; bytes that are none are base64 under a name of their own. */
  #json(fields: Fields, name: string): void {
    const bytes = this.#take();
    if (bytes.length === 0) return;
    try {
      fields[name] = JSON.parse(UTF8.decode(bytes));
    } catch {
      fields[`${name}Base64`] = this.#kit.toBase64(bytes);
    }
  }

  #uuid(): string {
    const bytes = this.#take();
    if (bytes.length !== 16) this.#fail("a uuid that has not 16 bytes");
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  #text(bytes: Uint8Array): string {
    try {
      return UTF8.decode(bytes);
    } catch {
      return this.#fail("text that is no UTF-8");
    }
  }

  #flag(): boolean {
    const byte = this.#byte();
    return byte > 1 ? this.#fail("neither 0 nor 1") : byte === 1;
  }

  #number(): number {
    const first = this.#byte();
    if (first < 251) return first;
    const at = this.#at;
    if (first === 251) return (this.#skip(2), this.#view.getUint16(at, true));
    if (first === 252) return (this.#skip(4), this.#view.getUint32(at, true));
    if (first > 253) return this.#fail("a number of more than 64 bits");
    this.#skip(8);
    const number = Number(this.#view.getBigUint64(at, true));
    return Number.isSafeInteger(number) ? number : this.#fail("a number of more than 53 bits");
  }

  #byte(): number {
    this.#skip(1);
    return this.#view.getUint8(this.#at - 1);
  }

  /** As many bytes as are announced. */
  #take(): Uint8Array {
    const length = this.#number();
    this.#skip(length);
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #skip(bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) this.#fail("cut short");
    this.#at += bytes;
  }

  #fail(what: string): never {
    throw new Wrong(what);
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
