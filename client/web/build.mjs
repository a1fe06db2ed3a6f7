// Bundles the SDK into ES modules: what every program needs, and the worker, which is loaded when it is asked for.
// `npm run build` calls it and then writes the types beside them.

import { rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
await build({
  entryPoints: ["src/index.ts"],
  outdir: "dist",
  bundle: true,
  splitting: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: ["es2022"],
});
