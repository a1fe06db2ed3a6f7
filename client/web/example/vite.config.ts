import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** The node that pages are served beside: it answers here as well, so that the page has one origin. */
const node = process.env["SELVEDGE_HTTP"] ?? "127.0.0.1:7480";
const proxy = {
  "/version": { target: `http://${node}`, changeOrigin: true },
  "/ws": { target: `http://${node}`, ws: true, changeOrigin: true, rewriteWsOrigin: true },
};

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: {
    alias: { "@selvedge/client": fileURLToPath(new URL("../src/index.ts", import.meta.url)) },
  },
  server: { proxy },
  preview: { proxy },
});
