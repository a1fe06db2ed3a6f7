/** `/metrics`, `/version` and `/v1/sessions` of the fake cluster, for a console that Vite serves. */

import type { Connect, Plugin } from "vite";

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

const SESSIONS = {
  items: [
    {
      id: "0190163d-8694-739b-aea5-966c26f8ad91",
      principal: "admin",
      tenant: "default",
      node: "node-1",
      connected: true,
      since: new Date(Date.now() - 90_000).toISOString(),
      transport: "websocket",
    },
    {
      id: "0190163d-9111-7000-8000-966c26f8ad92",
      principal: "admin",
      tenant: "default",
      node: "node-1",
      connected: false,
      since: new Date(Date.now() - 20_000).toISOString(),
    },
  ],
  cursor: null,
};

/** The plugin that answers them. */
export function fakeMetrics(): Plugin {
  const began = Date.now();
  const answer: Connect.NextHandleFunction = (request, response, next) => {
    const path = request.url?.split("?")[0];
    if (path === "/metrics") {
      response.setHeader("content-type", "text/plain; version=0.0.4");
      response.end(metricsText((Date.now() - began) / 1_000 + 600));
    } else if (path === "/v1/sessions") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(SESSIONS));
    } else if (path === "/version") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ node: "node-1", version: "0.5.0", protocol: [1], schema: 3 }));
    } else {
      next();
    }
  };
  return {
    name: "fake-metrics",
    configureServer: (server) => void server.middlewares.use(answer),
    configurePreviewServer: (server) => void server.middlewares.use(answer),
  };
}
