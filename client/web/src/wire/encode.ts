/** Client frames as text of the JSON subprotocol. The machine calls it with frames whose parts were checked. */

import type { ClientFrame, StepReport } from "./frames.js";

/** The message that carries this frame. */
export function encode(frame: ClientFrame): string {
  switch (frame.type) {
    case "command":
    case "query": {
      const { type, body, ...fields } = frame;
      return message(type, fields, "body", body);
    }
    case "ephemeral": {
      const { type, data, ...fields } = frame;
      return message(type, fields, "data", data);
    }
    case "stepResult":
      return message(frame.type, { lease: frame.lease }, "report", report(frame.report));
    case "hello":
    case "subscribe":
    case "unsubscribe":
    case "ack":
    case "workerReady":
    case "ping":
    case "goodbye":
    case "chunk": {
      const { type, ...fields } = frame;
      return message(type, fields, "", "");
    }
  }
}

/** A frame whose last field is JSON text already; what is empty is left out. */
function message(name: string, fields: object, rawName: string, raw: string): string {
  const text = JSON.stringify(fields).slice(0, -1);
  if (raw === "") return `{"${name}":${text}}}`;
  return `{"${name}":${text}${text === "{" ? "" : ","}"${rawName}":${raw}}}`;
}

function report(told: StepReport): string {
  if ("heartbeat" in told)
    return `{"heartbeat":${told.heartbeat === "" ? "null" : told.heartbeat}}`;
  if ("success" in told) return `{"success":${told.success}}`;
  return JSON.stringify(told);
}
