/** What the fake cluster answers over HTTP, for a console that Vite serves. */

import type { Connect, Plugin } from "vite";
import { FakeApi, sessionRow } from "./api.js";

/** What a node of the demo writes, at a moment. */
export function metricsText(seconds: number): string {
  const commits = Math.floor(900 * seconds + 120 * Math.sin(seconds / 5) * seconds ** 0.5);
  const bucket = (le: string, part: number) =>
    `selvedge_fdb_commit_seconds_bucket{le="${le}"} ${Math.floor(commits * part)}`;
  return [
    "# HELP selvedge_actor_commits_total Commits of actors.",
    "# TYPE selvedge_actor_commits_total counter",
    `selvedge_actor_commits_total ${commits}`,
    "# TYPE selvedge_actor_commits_failed_total counter",
    `selvedge_actor_commits_failed_total ${Math.floor(seconds / 30)}`,
    "# TYPE selvedge_actor_commit_answers histogram",
    `selvedge_actor_commit_answers_bucket{le="1"} ${commits}`,
    `selvedge_actor_commit_answers_bucket{le="+Inf"} ${commits}`,
    `selvedge_actor_commit_answers_sum ${commits * 3}`,
    `selvedge_actor_commit_answers_count ${commits}`,
    "# TYPE selvedge_fdb_commit_seconds histogram",
    bucket("0.001", 0.4),
    bucket("0.005", 0.95),
    bucket("0.025", 0.998),
    bucket("+Inf", 1),
    "# TYPE selvedge_sessions gauge",
    `selvedge_sessions{transport="quic"} ${Math.round(240 + 40 * Math.sin(seconds / 20))}`,
    `selvedge_sessions{transport="websocket"} ${Math.round(80 + 20 * Math.sin(seconds / 13))}`,
    "# TYPE process_resident_memory_bytes gauge",
    `process_resident_memory_bytes ${Math.round(1.8e8 + 1e7 * Math.sin(seconds / 9))}`,
    "# TYPE process_cpu_seconds_total counter",
    `process_cpu_seconds_total ${(seconds * 0.42).toFixed(2)}`,
    "# TYPE selvedge_edge_received_bytes_total counter",
    `selvedge_edge_received_bytes_total ${Math.floor(seconds * 2_400_000)}`,
    "# TYPE selvedge_edge_sent_bytes_total counter",
    `selvedge_edge_sent_bytes_total ${Math.floor(seconds * 7_100_000)}`,
    "# TYPE selvedge_guests_total counter",
    'selvedge_guests_total{type="import"} 12',
    "",
  ].join("\n");
}

/** What a page that Vite serves finds at first. */
function filled(): FakeApi {
  const api = new FakeApi();
  const { directory, trail } = api;
  const own = sessionRow("0190163d-8694-739b-aea5-966c26f8ad91", "admin");
  api.sessions.push(own, sessionRow("0190163d-9111-7000-8000-966c26f8ad92", "user:ann"));
  directory.user("ann", ["operator", "teller"]);
  directory.user("bob").enabled = false;
  trail.add("user.create", "ann", { roles: ["operator", "teller"] });
  trail.add("policy.set", "import", { before: {}, after: { concurrency: 2 } });
  trail.add("cluster.drain", "node-2", undefined, "permission_denied");
  return api;
}

/** The plugin that answers for a node. */
export function fakeNode(): Plugin {
  const began = Date.now();
  const api = filled();
  const answer: Connect.NextHandleFunction = (request, response, next) => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    const json = (status: number, body: unknown): void => {
      response.statusCode = status;
      response.setHeader("content-type", "application/json");
      response.end(body === undefined ? undefined : JSON.stringify(body));
    };
    if (url.pathname === "/metrics") {
      response.setHeader("content-type", "text/plain; version=0.0.4");
      response.end(metricsText((Date.now() - began) / 1_000 + 600));
    } else if (url.pathname === "/version") {
      json(200, { node: "node-1", version: "0.5.0", protocol: [1], schema: 3 });
    } else if (url.pathname.startsWith("/v1/")) {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        const headers = new Headers();
        const tag = request.headers["if-match"];
        if (tag !== undefined) headers.set("if-match", tag);
        const answered = api.answer({ method: request.method ?? "GET", url, headers, body });
        json(answered.status, answered.body);
      });
    } else {
      next();
    }
  };
  return {
    name: "fake-node",
    configureServer: (server) => void server.middlewares.use(answer),
    configurePreviewServer: (server) => void server.middlewares.use(answer),
  };
}
