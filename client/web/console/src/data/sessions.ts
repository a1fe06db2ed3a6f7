/** Sessions that the node which serves this page has, and how they are closed. */

import { POLL_MS } from "../bounds.js";
import { flag, members, text } from "../json.js";
import { withQuery } from "./http.js";
import type { Http } from "./http.js";
import { time } from "./operation.js";
import { Pages, readPageOf } from "./pages.js";

export interface SessionRow {
  id: string;
  principal: string;
  tenant: string;
  node: string;
  isConnected: boolean;
  /** Since when it is connected, or not. */
  since: Date | undefined;
  transport: string | undefined;
  createdAt: Date | undefined;
}

const SESSIONS = "v1/sessions";

function readSession(value: unknown): SessionRow {
  const session = members(value);
  return {
    id: text(session["id"]) ?? "",
    principal: text(session["principal"]) ?? "?",
    tenant: text(session["tenant"]) ?? "?",
    node: text(session["node"]) ?? "?",
    isConnected: flag(session["connected"]),
    since: time(session["since"]),
    transport: text(session["transport"]),
    createdAt: time(session["createdAt"]),
  };
}

export function sessionPages(http: Http): Pages<SessionRow> {
  return new Pages(POLL_MS, async (cursor = "", signal) =>
    readPageOf(await http.read(withQuery(SESSIONS, { cursor }), signal), readSession),
  );
}

export async function closeSession(http: Http, id: string): Promise<void> {
  await http.send({ method: "DELETE", path: `${SESSIONS}/${encodeURIComponent(id)}` });
}

/** All of a principal, on whichever nodes they are. */
export async function closeSessionsOf(
  http: Http,
  { principal, tenant }: Pick<SessionRow, "principal" | "tenant">,
): Promise<void> {
  await http.send({ method: "DELETE", path: withQuery(SESSIONS, { principal }), tenant });
}
