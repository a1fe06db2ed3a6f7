// Bundles the SDK into ES modules: what every program needs, and what few do, which is loaded when it is asked for.
// `npm run build` calls it and then writes the types beside them; tests name another directory.

import { rmSync } from "node:fs";
import { build } from "rolldown";

const dir = process.argv[2] ?? "dist";

rmSync(dir, { recursive: true, force: true });
await build({
  input: "src/index.ts",
  platform: "browser",
  logLevel: "warn",
  output: {
    dir,
    format: "esm",
    // Whoever bundles them gives them names for their caches.
    chunkFileNames: "[name].js",
    sourcemap: true,
    comments: { annotation: false, jsdoc: false, legal: false },
    minify: { compress: { target: "es2022" }, mangle: { toplevel: true } },
  },
});
