/** The JSON form against the golden frames of the protocol, which never change. */

import { describe, expect, test } from "vitest";

import { SelvedgeError } from "../../src/errors.js";
import { tryBase64 } from "../../src/wire/base64.js";
import { decode } from "../../src/wire/decode.js";
import { encode } from "../../src/wire/encode.js";
import type { ClientFrame, ServerFrame } from "../../src/wire/frames.js";
import { fromJson, ofClient, ofServer } from "../support/golden.js";

type Fields = Record<string, unknown>;

test("the file has frames of both ends", () => {
  expect(ofClient.length).toBeGreaterThan(30);
  expect(ofServer.length).toBeGreaterThan(40);
});

test.each(ofClient)("writes $name", ({ text }) => {
  expect(JSON.parse(encode(fromJson(text)))).toEqual(JSON.parse(text));
});

test.each(ofServer)("reads $name", ({ text }) => {
  const [type, held] = Object.entries(JSON.parse(text) as Record<string, Fields>)[0] ?? [""];
  const fields: Fields = { ...(type === "notice" ? { notice: held } : held) };
  if (type === "chunk") fields["data"] = tryBase64(String(fields["data"]));
  expect(decode(text)).toEqual({ type, ...fields });
});

describe("what the machine leaves out", () => {
  test("is not in the text", () => {
    const frame: ClientFrame = {
      type: "command",
      number: 1,
      id: undefined,
      acknowledged: 0,
      target: { actor: { kind: "room", key: "42" } },
      name: "say",
      body: '{"text":"hi"}',
    };
    expect(encode(frame)).toBe(
      '{"command":{"number":1,"acknowledged":0,"target":{"actor":{"kind":"room","key":"42"}},"name":"say","body":{"text":"hi"}}}',
    );
  });
});

/** Every way to reach a member of a value. */
function paths(value: unknown, at: string[] = []): string[][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([name, held]) => [
    [...at, name],
    ...paths(held, [...at, name]),
  ]);
}

/** The value with a member of another sort. */
function changed(value: unknown, [name, ...rest]: string[], to: unknown): unknown {
  if (name === undefined) return to;
  const object = value as Fields;
  return { ...object, [name]: changed(object[name], rest, to) };
}

/** Members that hold JSON of the application, whatever it is. */
const FREE = ["body", "data", "snapshot", "input"];

function refusal(text: string): SelvedgeError {
  try {
    decode(text);
  } catch (error) {
    expect(error).toBeInstanceOf(SelvedgeError);
    return error as SelvedgeError;
  }
  throw new Error(`was read: ${text}`);
}

test.each(ofServer)("refuses what is wrong in $name, by name", ({ text }) => {
  const frame = JSON.parse(text) as Fields;
  for (const path of paths(frame)) {
    const isData = frame["chunk"] !== undefined && path.at(-1) === "data";
    if (path.some((name) => FREE.includes(name)) && !isData) continue;
    const error = refusal(JSON.stringify(changed(frame, path, [{}])));
    expect(error.code).toBe("malformed");
    // The type of a frame stands for a frame that is no object at all.
    const wanted = path.length === 1 ? path[0] : path.slice(1).join(".");
    const field = path[0] === "notice" ? `notice.${path.slice(1).join(".")}` : wanted;
    expect(error.field).toBe(path.join(".") === "notice" ? "notice" : field);
  }
});

test.each([
  ["nothing", ""],
  ["no object", "[]"],
  ["null", "null"],
  ["an empty object", "{}"],
  ["an unknown frame", '{"later":{}}'],
  ["a name of every object", '{"constructor":{}}'],
  ["no JSON", '{"pong":'],
  ["a number with a fraction", '{"pong":{"nonce":1.5}}'],
  ["a negative number", '{"pong":{"nonce":-1}}'],
  ["a number past 2^53", '{"pong":{"nonce":9007199254740993}}'],
  ["two variants", '{"window":{"request":{"query":1,"command":2},"bytes":1}}'],
  ["no variant", '{"window":{"request":{},"bytes":1}}'],
  ["bytes that are no base64", '{"chunk":{"request":{"query":1},"data":"%","last":true}}'],
  ["an unknown code", '{"goodbye":{"failure":{"code":"later","message":""}}}'],
])("refuses %s", (_, text) => {
  expect(refusal(text).code).toBe("malformed");
});

test("a message over its limit is refused unread, as is one that is no text", () => {
  const long: ServerFrame["type"] = "pong";
  expect(refusal(`{"${long}":{"nonce":1}}`.padEnd(196_609)).code).toBe("malformed");
  expect(() => decode(new ArrayBuffer(3))).toThrow("no frame");
});

test("members that are not known are passed over", () => {
  expect(decode('{"pong":{"nonce":1,"later":{}}}')).toMatchObject({ type: "pong", nonce: 1 });
});
