/** The golden frames of the protocol, which never change, in both of their forms. */

import { readFileSync } from "node:fs";

import { tryBase64 } from "../../src/wire/base64.js";
import type { ClientFrame } from "../../src/wire/frames.js";

type Fields = Record<string, unknown>;

const lines = (name: string): [name: string, text: string][] => {
  const path = new URL(`../../../../protocol/tests/golden/${name}`, import.meta.url);
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]);
};

const CLIENT: readonly string[] = [
  "hello",
  "command",
  "query",
  "subscribe",
  "unsubscribe",
  "ack",
  "ephemeral",
  "worker_ready",
  "step_result",
  "ping",
  "goodbye",
  "chunk",
];

const isOfClient = ({ name }: { name: string }): boolean =>
  CLIENT.includes(name.split(".")[0] ?? "");

const hex = new Map(lines("v1.txt"));

/** Every frame that has a form as JSON. */
const golden = lines("v1.json.txt").map(([name, text]) => ({
  name,
  text,
  bytes: Uint8Array.from(Buffer.from(hex.get(name) ?? "", "hex")),
}));

export const ofClient = golden.filter((frame) => isOfClient(frame));
export const ofServer = golden.filter((frame) => !isOfClient(frame));
/** Those that have no form as JSON. */
export const binaryOnly = [...hex].filter(([name]) => golden.every((it) => it.name !== name));

/** The frame as the machine would have it: its type, and JSON as text. */
export function fromJson(text: string): ClientFrame {
  const [type, held] = Object.entries(JSON.parse(text) as Record<string, Fields>)[0] ?? ["", {}];
  const fields = { ...held };
  for (const name of ["body", "data"]) {
    if (name in fields) fields[name] = JSON.stringify(fields[name]);
  }
  if (type === "chunk") fields["data"] = tryBase64(String(held["data"]));
  if (type === "stepResult") {
    const [how, what] = Object.entries(fields["report"] as Fields)[0] ?? [""];
    const told = how === "failure" ? what : what === null ? "" : JSON.stringify(what);
    fields["report"] = { [how]: told };
  }
  return { type, ...fields } as unknown as ClientFrame;
}
