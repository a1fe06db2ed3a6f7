/** The binary form against the golden frames of the protocol, which never change, and against bytes that are anything. */

import { describe, expect, test } from "vitest";

import { ERROR_CODES, SelvedgeError } from "../../src/errors.js";
import { toBase64, tryBase64 } from "../../src/wire/base64.js";
import { Codec } from "../../src/wire/binary/codec.js";
import { decode } from "../../src/wire/decode.js";
import type { ServerFrame } from "../../src/wire/frames.js";
import { binaryOnly, fromJson, ofClient, ofServer } from "../support/golden.js";
import { chance } from "../support/model.js";

const codec = new Codec({ SelvedgeError, ERROR_CODES, toBase64, tryBase64 });

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));

/** With the body of a success as the JSON form has it. */
function comparable(frame: ServerFrame): ServerFrame {
  if (frame.type !== "reply" || !("success" in frame.outcome)) return frame;
  const { bytes, ...success } = frame.outcome.success;
  const body: unknown = bytes && JSON.parse(new TextDecoder().decode(bytes));
  return { ...frame, outcome: { success: { ...success, ...(bytes && { body }) } } };
}

test("the file has frames of both ends, and few without a form as JSON", () => {
  expect(ofClient.length).toBeGreaterThan(30);
  expect(ofServer.length).toBeGreaterThan(40);
  expect(binaryOnly.map(([name]) => name)).toEqual(["ping.u64_most"]);
});

test.each(ofClient)("writes $name", ({ text, bytes }) => {
  expect(hexOf(codec.encode(fromJson(text)))).toBe(hexOf(bytes));
});

test.each(ofServer)("reads $name", ({ text, bytes }) => {
  const read = codec.decode(bytes);
  if (read === undefined) throw new Error("it is not whole");
  expect(read.length).toBe(bytes.length);
  expect(comparable(read.frame)).toEqual(decode(text));
});

test("what the machine leaves out is none, nothing or zero", () => {
  const { bytes } = ofClient.find(({ name }) => name === "command.actor") ?? {};
  const frame = codec.encode({
    type: "command",
    number: 1,
    id: undefined,
    acknowledged: 0,
    target: { actor: { kind: "room", key: "42" } },
    name: "say",
    body: '{"text":"hi"}',
  });
  expect(hexOf(frame)).toBe(hexOf(bytes ?? new Uint8Array()));
});

describe.each(ofServer)("hostile bytes: $name", ({ bytes }) => {
  test("cut short, it is not whole, or wrong", () => {
    for (let length = 0; length < bytes.length; length += 1) {
      const part = bytes.slice(0, length);
      expect(codec.decode(part)).toBeUndefined();
      if (length < 6) continue;
      // As if that were all of it.
      new DataView(part.buffer).setUint32(0, length - 4);
      expect(() => codec.decode(part)).toThrow(SelvedgeError);
    }
  });

  test("a byte left over is refused, what follows is left alone", () => {
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(codec.decode(longer)?.length).toBe(bytes.length);
    new DataView(longer.buffer).setUint32(0, bytes.length - 3);
    expect(() => codec.decode(longer)).toThrow("longer than what it holds");
  });

  test("with any byte changed it is a frame, or malformed", () => {
    for (let at = 0; at < bytes.length; at += 1) {
      for (const value of [0, 1, 2, 127, 128, 250, 251, 252, 253, 254, 255]) {
        const changed = bytes.slice();
        changed[at] = value;
        expectFrameOrMalformed(changed);
      }
    }
  });
});

function expectFrameOrMalformed(bytes: Uint8Array): void {
  try {
    const read = codec.decode(bytes);
    expect(read?.frame.type ?? "").toBeTypeOf("string");
  } catch (error) {
    expect(error).toBeInstanceOf(SelvedgeError);
    expect((error as SelvedgeError).code).toBe("malformed");
  }
}

test("bytes of chance are a frame, or malformed", () => {
  const random = chance(7);
  for (let turn = 0; turn < 20_000; turn += 1) {
    const bytes = Uint8Array.from({ length: 6 + random() * 60 }, () => random() * 256);
    const ordinal = 129 + Math.floor(random() * 13);
    bytes.set([0, 0, 0, bytes.length - 4, 1, ordinal]);
    expectFrameOrMalformed(bytes);
  }
});

test.each([
  ["a frame of a client", "000000030109fa", "frame 9 of version 1"],
  ["another version", "000000030289fa", "frame 137 of version 2"],
  ["an unknown frame", "00000003018efa", "frame 142 of version 1"],
  ["a length under that of a head", "000000010189", "wrong length"],
  ["a length over any", "000140030189", "wrong length"],
  ["a number over 2^53", "0000000b0189fd0000000000002000", "more than 53 bits"],
  ["a number of 128 bits", "000000030189fe", "more than 64 bits"],
  ["a text that is no UTF-8", "00000005018701ff00", "no UTF-8"],
  ["a list over its bound", "000000090187016efc00001000", "too long"],
  ["an unknown variant", "00000004018d0900", "an unknown variant"],
  ["an unknown code", "000000080188011f01610000", "an unknown code"],
])("refuses %s", (_, hex, message) => {
  expect(() => codec.decode(bytesOf(hex))).toThrow(message);
});

test("names the field that is wrong", () => {
  const bytes = ofServer.find(({ name }) => name === "reply.command")?.bytes.slice();
  bytes?.set([9], 6);
  expect(() => codec.decode(bytes ?? new Uint8Array())).toThrow(
    expect.objectContaining({ code: "malformed", field: "request" }) as Error,
  );
});

test("bytes that are no JSON are told as bytes", () => {
  const { bytes = new Uint8Array() } = ofServer.find(({ name }) => name === "event") ?? {};
  const changed = bytes.slice();
  changed[changed.length - 1] = 0x22;
  const { frame } = codec.decode(changed) ?? {};
  expect(frame).not.toHaveProperty("data");
  expect(frame).toHaveProperty("dataBase64");
});
