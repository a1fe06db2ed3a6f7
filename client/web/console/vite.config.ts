/**
 * Builds the console into `dist`, which is committed: a node serves it without Node.js. `vite` and `vite preview` serve
 * it in front of the node that `SELVEDGE_HTTP` names; with `--mode fake` it talks to the fake cluster of its own tests,
 * to look at it without a node.
 */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import type { ProxyOptions } from "vite";
import { fakeNode } from "./test/fake/metrics-server.js";

const SDK = new URL("../src/index.ts", import.meta.url);
const FAKE = new URL("test/fake/sdk.ts", import.meta.url);

const NODE = process.env["SELVEDGE_HTTP"] ?? "http://127.0.0.1:7480";

/** What the node answers. It takes requests of its own origin alone, so they are made to be. */
const proxy: Record<string, ProxyOptions> = {
  "/ws": { target: NODE, ws: true, changeOrigin: true, rewriteWsOrigin: true },
};
for (const path of ["/metrics", "/version", "/v1", "/oauth", "/.well-known"]) {
  proxy[path] = { target: NODE, changeOrigin: true, headers: { origin: NODE } };
}

/** That of a node: see `bridge/hold.rs`. */
const POLICY =
  "default-src 'self'; connect-src 'self' ws: wss: http: https:; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export default defineConfig(({ mode }) => ({
  // Works at any path that a proxy serves it under.
  base: "./",
  resolve: { alias: { "@selvedge/client": fileURLToPath(mode === "fake" ? FAKE : SDK) } },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: mode === "fake" ? [fakeNode()] : [],
  server: { host: "127.0.0.1", proxy: mode === "fake" ? {} : proxy },
  preview: {
    host: "127.0.0.1",
    proxy: mode === "fake" ? {} : proxy,
    headers: { "Content-Security-Policy": POLICY },
  },
  build: {
    target: "es2022",
    // The polyfill is a script of its own that no browser which runs this needs.
    modulePreload: { polyfill: false },
    // Nothing inline: the page is served under a policy that allows only files.
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
}));
