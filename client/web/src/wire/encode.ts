/** Client frames as text of the JSON subprotocol. The machine calls it with frames whose parts were checked. */

import { toBase64 } from "./base64.js";
import type { ClientFrame, StepReport } from "./frames.js";

/** The message that carries this frame. */
export function encode(frame: ClientFrame): string {
  const { type, ...fields } = frame;
  const text = JSON.stringify({ ...fields, body: undefined, data: undefined, report: undefined });
  const last = raw(frame);
  const comma = text === "{}" || last === "" ? "" : ",";
  return `{"${type}":${text.slice(0, -1)}${comma}${last}}}`;
}

/** The member that is text already, as it is; nothing where it is empty, or there is none. */
function raw(frame: ClientFrame): string {
  if ("body" in frame) return frame.body && `"body":${frame.body}`;
  if ("report" in frame) return `"report":${report(frame.report)}`;
  if (!("data" in frame)) return "";
  const data = typeof frame.data === "string" ? frame.data : `"${toBase64(frame.data)}"`;
  return data && `"data":${data}`;
}

function report(told: StepReport): string {
  if ("heartbeat" in told) return `{"heartbeat":${told.heartbeat || "null"}}`;
  if ("success" in told) return `{"success":${told.success}}`;
  return JSON.stringify(told);
}
